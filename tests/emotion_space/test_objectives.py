"""Gradients of a step: those of the whole formula by autodiff, and, of drawn edges, on average the same."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from kernels.tsne import calibrate, joint, reference
from mer_jax.emotion_space import affinities as affinities_module
from mer_jax.emotion_space.affinities import affinities
from mer_jax.emotion_space.distinct_rows import distinct_rows
from mer_jax.emotion_space.network import EmbeddingNetwork
from mer_jax.emotion_space.objectives import AllRows, Batches, Edges, Settings, gradient, moved
from tests.emotion_space.states import generated_states
from tests.kernels.tsne import by_hand

NETWORK = EmbeddingNetwork((8,), 2)
SETTINGS = Settings(64, 0.0, 0.0, 1.0)


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


def ends_of(rows):
    return jnp.stack([rows.min(0), rows.max(0)])


def all_rows(rows, perplexity=7.0):
    found = affinities(rows, perplexity)
    return AllRows(jnp.asarray(rows), ends_of(jnp.asarray(rows)), found.joint, found.beta)


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
    data = all_rows(rows_of())
    value, slope = on_devices(devices, data, SETTINGS, 3.0)(0)
    wanted, expected = by_autodiff(data.rows, data.joint.values, 3.0)
    assert value == pytest.approx(float(wanted), rel=1e-5)
    near(slope, expected)


@pytest.mark.parametrize("share", [0.0, 0.4])
def test_noise_does_not_depend_on_the_devices(share):
    data = all_rows(rows_of())
    noisy = Settings(64, 0.2, share, 1.0)
    one, four = (on_devices(count, data, noisy)(0) for count in (1, 4))
    near(four, one, 1e-5)
    assert abs(one[0] - on_devices(1, data, SETTINGS)(0)[0]) > 1e-3


def test_noise_is_thrown_back_at_the_ends_of_the_range():
    rows = jnp.asarray(np.tile([[0.0, 3.0, 1.5]], (20_000, 1)), jnp.float32)
    ends = jnp.asarray([[0.0, 0.0, -50.0], [3.0, 3.0, 50.0]])
    found = np.asarray(moved(rows, ends, 0.5, jax.random.key(0))) - np.asarray(rows)
    half_normal = 0.5 * np.sqrt(2 / np.pi)
    np.testing.assert_allclose(found.mean(0), [half_normal, -half_normal, 0], atol=0.02)
    np.testing.assert_allclose(np.square(found).mean(0), 0.25, atol=0.02)
    far = np.asarray(moved(rows, ends, 30.0, jax.random.key(1)))
    assert (far[:, :2] >= 0).all()
    assert (far[:, :2] <= 3).all()
    assert moved(rows, ends, 0.0, jax.random.key(0)) is rows


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_affinities_go_a_share_of_the_way_with_the_noise(share):
    data = all_rows(rows_of())
    value, slope = on_devices(1, data, Settings(64, 0.3, share, 1.0))(5)
    rows = moved(data.rows, data.ends, 0.3, jax.random.split(jax.random.key(5))[1])
    there = np.asarray(data.rows + share * (rows - data.rows), np.float64)
    near_rows = scipy.special.softmax(
        np.where(np.eye(41), -np.inf, -np.float64(data.beta)[:, None] * by_hand.squared_distances(there)),
        axis=1,
    )
    p = by_hand.joint(near_rows)
    wanted, expected = by_autodiff(rows, jnp.asarray(p, jnp.float32))
    entropies = [float(scipy.special.xlogy(q, q).sum()) for q in (np.float64(data.joint.values), p)]
    assert value == pytest.approx(float(wanted) + entropies[0] - entropies[1], rel=1e-4)
    near(slope, expected, 1e-3)


def test_drawn_edges_get_the_rest_of_the_noise(monkeypatch):
    data = edges_of(rows_of(), np.ones(41, np.float32), monkeypatch)
    whole, rest = (on_devices(1, data, Settings(64, *noise, 1.0))(0) for noise in ((0.3, 0.0), (0.5, 0.4)))
    near(rest, whole, 1e-5)
    assert abs(whole[0] - on_devices(1, data, SETTINGS)(0)[0]) > 1e-3


def edges_of(rows, weights, monkeypatch):
    monkeypatch.setattr(affinities_module, "ALL_PAIRS", 10)
    found = affinities(rows, 5.0, weights)
    reached = jnp.asarray(np.cumsum(found.probabilities, axis=1))
    x, numbers = jnp.asarray(rows), jnp.asarray(found.numbers)
    return Edges(x, ends_of(x), numbers, reached, jnp.asarray(weights), found.joint.negative_entropy)


def test_drawn_edges_estimate_the_divergence_of_the_whole_graph(monkeypatch):
    rows, weights = rows_of(), np.random.default_rng(0).integers(1, 4, 41).astype(np.float32)
    data = edges_of(rows, weights, monkeypatch)
    found = affinities(rows, 5.0, weights)
    step = on_devices(1, data, Settings(4096, 0.0, 0.0, 1.0))
    values = [float(step(seed)[0]) for seed in range(8)]
    params = NETWORK.init(jax.random.key(1), data.rows[:1])
    places = NETWORK.apply(params, data.rows)
    p = reference.all_pairs(found.joint)
    wanted = float(reference.divergence(places, p, found.joint.weights))
    assert np.mean(values) == pytest.approx(wanted, abs=4 * np.std(values) / np.sqrt(8) + 2e-3)


def test_a_batch_of_all_rows_is_calibrated_as_they_are():
    rows = jnp.asarray(rows_of())
    data = Batches(rows, ends_of(rows), jnp.float32(7))
    value, slope = on_devices(2, data, Settings(41, 0.0, 0.0, 1.0))(0)
    wanted, expected = by_autodiff(
        rows, joint(calibrate(jnp.asarray(by_hand.squared_distances(rows), jnp.float32), 7.0)).values
    )
    assert value == pytest.approx(float(wanted), rel=1e-4)
    near(slope, expected, 1e-3)


@pytest.mark.parametrize("share", [0.0, 0.4])
def test_a_batch_is_calibrated_where_its_affinities_are(share):
    rows = jnp.asarray(rows_of())
    data = Batches(rows, ends_of(rows), jnp.float32(7))
    value, slope = on_devices(1, data, Settings(41, 0.3, share, 1.0))(5)
    draw, shake = jax.random.split(jax.random.key(5))
    still = rows[jax.random.choice(draw, 41, (41,), replace=False)]
    there = moved(still, data.ends, 0.3, shake)
    p, _ = by_hand.conditional(by_hand.squared_distances(still + share * (there - still)), 7.0)
    wanted, expected = by_autodiff(there, jnp.asarray(by_hand.joint(p), jnp.float32))
    assert value == pytest.approx(float(wanted), rel=1e-4)
    near(slope, expected, 1e-3)
