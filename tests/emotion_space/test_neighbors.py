"""Neighbours beside a sort of all distances in float64."""

import numpy as np
import pytest

from mer_jax.emotion_space import neighbors
from mer_jax.emotion_space.neighbors import neighbor_graph


def by_sorting(rows, k):
    distances = np.square(np.float64(rows)[:, None] - rows[None]).sum(-1)
    np.fill_diagonal(distances, np.inf)
    return np.sort(distances, axis=1)[:, :k]


@pytest.mark.parametrize("d", [6, 20])
def test_distances_are_those_of_all_pairs(d):
    rows = np.random.default_rng(0).normal(size=(200, d)).astype(np.float32)
    rows[7] = rows[3]
    found = neighbor_graph(rows, 15, seed=0)
    np.testing.assert_allclose(found.distances, by_sorting(rows, 15), rtol=1e-4, atol=1e-5)
    assert found.exact
    assert (found.numbers != np.arange(200)[:, None]).all()
    assert found.numbers[7, 0] == 3
    own = np.square(np.float64(rows)[:, None] - rows[found.numbers]).sum(-1)
    np.testing.assert_allclose(found.distances, own, rtol=1e-4, atol=1e-5)


def test_cells_miss_few(monkeypatch):
    for name, value in (("ALL_PAIRS", 100), ("CELL", 100), ("PROBES", 6)):
        monkeypatch.setattr(neighbors, name, value)
    rng = np.random.default_rng(0)
    rows = (4 * rng.normal(size=(10, 20))[rng.integers(0, 10, 1500)] + rng.normal(size=(1500, 20))).astype(
        np.float32
    )
    shares = []
    found = neighbor_graph(rows, 15, seed=0, tick=shares.append)
    assert not found.exact
    assert shares[-1] == 1
    assert shares == sorted(shares)
    reached = found.distances <= by_sorting(rows, 15)[:, -1:] * (1 + 1e-5)
    assert reached.mean() > 0.9
    assert (found.numbers != np.arange(1500)[:, None]).all()


def test_cells_with_too_few_rows_are_filled_with_minus_one(monkeypatch):
    for name, value in (("ALL_PAIRS", 10), ("CELL", 20), ("PROBES", 1)):
        monkeypatch.setattr(neighbors, name, value)
    rows = np.random.default_rng(0).normal(size=(100, 20)).astype(np.float32)
    found = neighbor_graph(rows, 60, seed=0)
    assert (found.numbers == -1).any()
    assert not found.distances[found.numbers == -1].any()
