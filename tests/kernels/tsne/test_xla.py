"""The blocked implementation passes the tests of the definition, whatever its blocks."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kernels.tsne import affinity, calibrate_points, divergence, joint, joint_affinities, kl_divergence
from kernels.tsne.blocks import by_rows, own, squared_distances
from tests.kernels.tsne import by_hand
from tests.kernels.tsne.base import KINDS, TSNETests, clusters, nearest, off

by_xla = functools.partial(kl_divergence, implementation="xla")


class TestXLA(TSNETests):
    implementation = "xla"


@pytest.mark.parametrize("kind", KINDS)
def test_blocks_of_a_few_rows_change_nothing(kind, monkeypatch):
    x, y = clusters(40), jnp.asarray(clusters(40, 2, seed=1))
    weights = jnp.asarray(np.linspace(0.5, 2, 40), jnp.float32)
    xla = TestXLA()

    def measured():
        p = xla.joint(kind, x, 10.0, weights)
        return p.negative_entropy, *xla.kl(y, p)

    wanted = measured()
    jax.clear_caches()
    for module in (affinity, divergence, joint_affinities):
        monkeypatch.setattr(module, "BLOCK", 300)
    monkeypatch.setattr(divergence, "EDGES", 300)
    monkeypatch.setattr(joint_affinities, "EDGES", 10_000)
    for found, exact in zip(measured(), wanted, strict=True):
        assert off(found, exact) < 2e-6


@pytest.mark.parametrize(("n", "rows"), [(1, 5), (7, 3), (9, 3), (10, 4), (5, 5)])
def test_blocks_are_put_together_in_order(n, rows):
    blocks = []

    def block(first):
        numbers = own(first, -(-n // -(-n // min(n, rows))))
        blocks.append(numbers.shape[0])
        return numbers, jnp.stack([numbers, -numbers], 1)

    found, pairs = by_rows(block, n, rows)
    np.testing.assert_array_equal(found, np.arange(n))
    np.testing.assert_array_equal(pairs[:, 1], -np.arange(n))
    assert max(blocks) <= rows


@pytest.mark.parametrize("d", [1, 16, 17, 50])
def test_distances_of_many_coordinates(d):
    x = clusters(20, d)
    found = squared_distances(jnp.asarray(x), jnp.asarray(x))
    assert off(found, by_hand.squared_distances(x)) < 1e-6
    assert not np.diagonal(found).any()


def test_edges_without_a_return_count_twice():
    x, y = clusters(40), clusters(40, 2, seed=1)
    distances, numbers = nearest(x, 9)
    rows = affinity.calibrate(jnp.asarray(distances), jnp.float32(4), jnp.asarray(numbers), None)
    p = np.zeros((40, 40))
    np.put_along_axis(p, numbers, np.asarray(rows.probabilities, np.float64), 1)
    assert ((p > 0) != (p.T > 0)).any()
    wanted, gradient = by_hand.divergence(y, by_hand.joint(p))
    sparse = joint(rows, neighbors=jnp.asarray(numbers))
    found, pulled = jax.value_and_grad(by_xla)(jnp.asarray(y), sparse)
    assert off(found, wanted) < 1e-5
    assert off(pulled, gradient) < 2e-5


def test_streaming_makes_no_array_of_all_pairs():
    n = 2048
    rows = jax.ShapeDtypeStruct((n, 6), jnp.float32)

    def step(x, y):
        return jax.value_and_grad(by_xla)(y, joint(calibrate_points(x, 30.0)))

    y = jax.ShapeDtypeStruct((n, 2), jnp.float32)
    taken = jax.jit(step).lower(rows, y).compile().memory_analysis().temp_size_in_bytes
    assert taken < 4 * n * n
