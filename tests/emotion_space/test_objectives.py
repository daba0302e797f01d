"""Gradients of a step: those of the whole formula by autodiff, and, of drawn edges, on average the same."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kernels.tsne import calibrate, joint, reference
from mer_jax.emotion_space import affinities as affinities_module
from mer_jax.emotion_space.affinities import affinities
from mer_jax.emotion_space.distinct_rows import distinct_rows
from mer_jax.emotion_space.network import EmbeddingNetwork
from mer_jax.emotion_space.objectives import AllRows, Batches, Edges, Settings, gradient
from tests.emotion_space.states import generated_states

NETWORK = EmbeddingNetwork((8,), 2)
SETTINGS = Settings(64, 0.0, 1.0)


def on_devices(count, data, settings, exaggeration=1.0):
    """A function from a seed to value and gradient, mapped over `count` devices; all give the same."""
    params = NETWORK.init(jax.random.key(1), data.rows[:1])

    def step(seed):
        key = jax.random.key(seed)
        return gradient(NETWORK.apply, params, data, settings, key, jnp.float32(exaggeration))

    mapped = jax.pmap(step, axis_name="data", devices=jax.devices()[:count])

    def of(seed):
        found = jax.tree.map(np.asarray, mapped(np.full(count, seed)))
        for leaf in jax.tree.leaves(found):
            assert (leaf == leaf[:1]).all()
        return jax.tree.map(lambda x: x[0], found)

    return of


def rows_of(n=41):
    return distinct_rows(generated_states(4 * n)).rows[:n]


def by_autodiff(rows, p, exaggeration=1.0):
    """The reference's divergence of the network's places."""
    params = NETWORK.init(jax.random.key(1), rows[:1])
    return jax.value_and_grad(
        lambda params: reference.divergence(NETWORK.apply(params, rows), p, exaggeration=exaggeration)
    )(params)


def near(found, wanted, tolerance=1e-4):
    largest = max(np.abs(leaf).max() for leaf in jax.tree.leaves(wanted))
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
        assert np.abs(a - b).max() < tolerance * largest


@pytest.mark.parametrize("devices", [1, 2, 4])
def test_all_rows_on_any_number_of_devices(devices):
    rows = jnp.asarray(rows_of())
    found = affinities(rows_of(), 7.0)
    value, slope = on_devices(devices, AllRows(rows, found.joint), SETTINGS, 3.0)(0)
    wanted, expected = by_autodiff(rows, found.joint.values, 3.0)
    assert value == pytest.approx(float(wanted), rel=1e-5)
    near(slope, expected)


def test_noise_does_not_depend_on_the_devices():
    data = AllRows(jnp.asarray(rows_of()), affinities(rows_of(), 7.0).joint)
    noisy = Settings(64, 0.2, 1.0)
    one, four = (on_devices(count, data, noisy)(0) for count in (1, 4))
    near(four, one, 1e-5)
    assert abs(one[0] - on_devices(1, data, SETTINGS)(0)[0]) > 1e-3


def test_drawn_edges_estimate_the_divergence_of_the_whole_graph(monkeypatch):
    monkeypatch.setattr(affinities_module, "ALL_PAIRS", 10)
    rows, weights = rows_of(), np.random.default_rng(0).integers(1, 4, 41).astype(np.float32)
    found = affinities(rows, 5.0, weights)
    reached = jnp.asarray(np.cumsum(found.probabilities, axis=1))
    numbers = jnp.asarray(found.numbers)
    data = Edges(jnp.asarray(rows), numbers, reached, jnp.asarray(weights), found.joint.negative_entropy)
    settings = Settings(4096, 0.0, 1.0)
    step = on_devices(1, data, settings)
    values = [float(step(seed)[0]) for seed in range(8)]
    params = NETWORK.init(jax.random.key(1), data.rows[:1])
    places = NETWORK.apply(params, data.rows)
    p = reference.all_pairs(found.joint)
    wanted = float(reference.divergence(places, p, found.joint.weights))
    assert np.mean(values) == pytest.approx(wanted, abs=4 * np.std(values) / np.sqrt(8) + 2e-3)


def test_a_batch_of_all_rows_is_calibrated_as_they_are():
    rows = rows_of()
    data = Batches(jnp.asarray(rows), jnp.asarray(rows), jnp.float32(7))
    value, slope = on_devices(2, data, Settings(41, 0.0, 1.0))(0)
    distances = jnp.asarray(np.square(rows[:, None] - rows[None]).sum(-1))
    wanted, expected = by_autodiff(jnp.asarray(rows), joint(calibrate(distances, 7.0)).values)
    assert value == pytest.approx(float(wanted), rel=1e-4)
    near(slope, expected, 1e-3)
