"""Hyper-parameters as arrays: the same numbers as in the config, zeros included."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mer_jax.models.early_fusion import EarlyFusionConfig
from mer_jax.nn.regularization import Dropout
from mer_jax.training.optimizer import OptimizerConfig, make_optimizer
from mer_jax.training.scalars import Member, is_zero, with_scalars

PARAMS = {"a": jnp.array([1.0, -2.0, 3.0]), "b": jnp.full((2, 2), 0.5)}
GRADS = {"a": jnp.array([4.0, 0.0, -3.0]), "b": jnp.full((2, 2), 2.0)}


def test_only_the_fields_below_the_prefix_are_replaced_and_in_a_copy():
    model, optimizer = EarlyFusionConfig(dropout=0.3), OptimizerConfig(clip=1.0)
    scalars = {"model.dropout": 0.7, "training.optimizer.clip": 2.0}
    changed = with_scalars(model, "model", scalars)
    assert (changed.dropout, model.dropout) == (0.7, 0.3)
    assert dataclasses.replace(changed, dropout=0.3) == model
    assert with_scalars(optimizer, "training.optimizer", scalars) == OptimizerConfig(clip=2.0)
    assert with_scalars(optimizer, "training", {"training.optimizer_rate": 1.0}) == optimizer
    assert with_scalars(model, "mod", scalars) == model
    assert with_scalars(model, "model", {}) == model


def test_a_traced_value_passes_the_checks_of_the_config():
    """`OptimizerConfig` refuses 0 where it can see it; a tracer can't be compared."""
    rate = jax.jit(lambda x: with_scalars(OptimizerConfig(), "o", {"o.learning_rate": x}).learning_rate)
    assert rate(jnp.float32(0.25)) == 0.25


@pytest.mark.parametrize(
    ("value", "zero"),
    [(0, True), (0.0, True), (-0.0, True), (1e-30, False), (np.float32(0), False), (jnp.zeros(()), False)],
)
def test_only_a_number_of_the_config_is_known_to_be_zero(value, zero):
    assert is_zero(value) is zero


def test_members_are_told_apart_by_seed_and_scalars():
    assert Member(1) == Member(1, {}) != Member(2)
    assert Member(1, {"model.dropout": 0.1}) != Member(1, {"model.dropout": 0.2})


def updates(config, steps=4):
    """What four steps on one gradient give."""
    rule, params = make_optimizer(config), PARAMS
    state = rule.init(params)
    for _ in range(steps):
        change, state = rule.update(GRADS, state, params)
        params = optax.apply_updates(params, change)
    return params


@pytest.mark.parametrize("name", ["adam", "adabelief"])
@pytest.mark.parametrize("amsgrad", [False, True])
def test_an_optimizer_with_arrays_is_that_of_the_config(name, amsgrad):
    """All points of a grid, zeros included, in one mapped call."""
    points = [
        {"learning_rate": rate, "weight_decay": decay, "clip": clip}
        for rate in (1e-3, 0.3)
        for decay in (0.0, 0.1)
        for clip in (0.0, 0.5, 100.0)
    ]
    base = OptimizerConfig(name=name, amsgrad=amsgrad)
    stacked = {f"o.{key}": jnp.array([point[key] for point in points]) for key in points[0]}
    found = jax.vmap(lambda scalars: updates(with_scalars(base, "o", scalars)))(stacked)
    for place, point in enumerate(points):
        expected = updates(dataclasses.replace(base, **point))
        for leaf in PARAMS:
            np.testing.assert_allclose(found[leaf][place], expected[leaf], rtol=2e-6, atol=1e-7)


def test_clipping_to_an_array_is_that_of_the_definition():
    """g min(1, c / |g|), and g where c is 0. The direction is left out: Adam hides the scale."""
    norm = np.sqrt(sum(np.square(g).sum() for g in GRADS.values()))

    def first_moment(clip):
        state = make_optimizer(with_scalars(OptimizerConfig(), "o", {"o.clip": clip}))
        moments = state.update(GRADS, state.init(PARAMS), PARAMS)[1][1].mu
        return jax.tree.map(lambda m: m / 0.1, moments)

    for clip in (0.0, 0.5, 1.0, 100.0):
        factor = 1 if clip == 0 else min(1, clip / norm)
        found = jax.jit(first_moment)(jnp.float32(clip))
        for leaf, gradient in GRADS.items():
            np.testing.assert_allclose(found[leaf], factor * gradient, rtol=1e-5)


def test_dropout_with_an_array_is_that_of_the_config():
    x, slots = jnp.ones((6, 50)), jnp.arange(6)

    def drop(rate):
        return Dropout(rate).apply({}, x, slots, rngs={"dropout": jax.random.key(3)})

    rates = (0.0, 0.25, 0.5, 0.9)
    found = jax.vmap(drop)(jnp.array(rates))
    for place, rate in enumerate(rates):
        np.testing.assert_allclose(found[place], drop(rate), rtol=1e-6)
        assert (np.asarray(found[place]) == 0).mean() == pytest.approx(rate, abs=0.08)
