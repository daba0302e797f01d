"""Dropout and batch normalisation, also across devices."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from mer_jax.nn.regularization import BatchNorm, Dropout, fold_moments


def dropped(x, slots, rate=0.3):
    return Dropout(rate).apply({}, x, slots, rngs={"dropout": jax.random.key(0)})


def test_dropout_keeps_the_mean_and_scales_what_it_keeps():
    x = jnp.ones((64, 500))
    out = np.asarray(dropped(x, jnp.arange(64)))
    assert set(np.unique(out).round(5)) == {0.0, np.float32(1 / 0.7).round(5)}
    assert abs((out == 0).mean() - 0.3) < 0.01


def test_dropout_of_an_example_depends_on_its_slot_not_its_neighbours():
    x = jnp.ones((4, 50))
    whole = dropped(x, jnp.arange(4))
    np.testing.assert_array_equal(dropped(x[2:], jnp.arange(2, 4)), whole[2:])
    assert not np.array_equal(whole[0], whole[1])


def test_dropout_without_slots_is_the_identity():
    x = jnp.arange(6.0).reshape(2, 3)
    np.testing.assert_array_equal(Dropout(0.9).apply({}, x, None), x)


def trained_batch_norm(x, valid):
    layer = BatchNorm()
    variables = layer.init(jax.random.key(0), x, valid, False)

    def call(part, mask):
        y, seen = layer.apply(variables, part, mask, True, mutable=["intermediates"])
        return y, seen["intermediates"]

    return variables, jax.vmap(call, axis_name="data"), layer


def test_batch_norm_over_devices_equals_flax_on_the_whole_batch():
    x = jnp.asarray(np.random.default_rng(0).normal(2, 3, size=(8, 5)), jnp.float32)
    _, call, _ = trained_batch_norm(x, jnp.ones(8, bool))
    ours, seen = call(x.reshape(2, 4, 5), jnp.ones((2, 4), bool))
    theirs = nn.BatchNorm(use_running_average=False, epsilon=1e-3)
    expected, _ = theirs.init_with_output(jax.random.key(0), x)
    np.testing.assert_allclose(ours.reshape(8, 5), expected, atol=1e-5)
    np.testing.assert_allclose(seen["moments"]["mean"][0], np.asarray(x).mean(0), rtol=1e-5)
    np.testing.assert_allclose(seen["moments"]["variance"][0], np.asarray(x).var(0), rtol=1e-5)


def test_padding_is_not_part_of_the_moments():
    x = jnp.asarray(np.random.default_rng(0).normal(size=(8, 5)), jnp.float32)
    valid = jnp.asarray([True] * 6 + [False] * 2)
    _, call, _ = trained_batch_norm(x, valid)
    _, seen = call(x.at[6:].set(1e6).reshape(2, 4, 5), valid.reshape(2, 4))
    np.testing.assert_allclose(seen["moments"]["mean"][0], np.asarray(x[:6]).mean(0), rtol=1e-4, atol=1e-6)


def test_evaluation_uses_kept_statistics():
    x = jnp.asarray(np.random.default_rng(0).normal(size=(8, 5)), jnp.float32)
    variables, _, layer = trained_batch_norm(x, jnp.ones(8, bool))
    y = layer.apply(variables, x, jnp.ones(8, bool), False)
    np.testing.assert_allclose(y, np.asarray(x) / np.sqrt(1 + 1e-3), rtol=1e-5)


def test_moments_fold_into_statistics():
    statistics = {"a": {"mean": jnp.zeros(2), "variance": jnp.ones(2)}}
    moments = {"a": {"moments": {"mean": jnp.ones(2), "variance": 3 * jnp.ones(2)}}}
    folded = fold_moments(statistics, moments, 0.9)
    np.testing.assert_allclose(folded["a"]["mean"], 0.1, rtol=1e-6)
    np.testing.assert_allclose(folded["a"]["variance"], 0.9 + 0.3, rtol=1e-6)
