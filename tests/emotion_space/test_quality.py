"""Measures of a map beside their definitions in float64 and scikit-learn's."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from sklearn.manifold import _t_sne

from mer_jax.emotion_space import quality


def trusted(rows, places, k):
    """Venna and Kaski's sum, a row at a time."""
    n, missed = len(rows), 0
    ranks = cdist(rows, rows).argsort(1, kind="stable").argsort(1, kind="stable")
    near = cdist(places, places).argsort(1, kind="stable")[:, 1 : k + 1]
    for i in range(n):
        missed += sum(max(0, ranks[i, j] - k) for j in near[i])
    return 1 - 2 / (n * k * (2 * n - 3 * k - 1)) * missed


def test_trustworthiness_and_continuity_are_the_sums_of_the_paper():
    rng = np.random.default_rng(0)
    rows, places = rng.normal(size=(80, 6)), rng.normal(size=(80, 2))
    places += rows[:, :2]
    assert quality.trustworthiness(rows, places) == pytest.approx(trusted(rows, places, 12), abs=1e-12)
    assert quality.continuity(rows, places, 5) == pytest.approx(trusted(places, rows, 5), abs=1e-12)
    assert quality.trustworthiness(rows, rows) == 1


def test_divergence_is_that_of_scikit_learn():
    rng = np.random.default_rng(0)
    rows, places = (rng.normal(size=(60, d)).astype(np.float32) for d in (6, 2))
    p = _t_sne._joint_probabilities(cdist(rows, rows, "sqeuclidean").astype(np.float32), 10.0, 0)
    wanted, _ = _t_sne._kl_divergence(places.astype(np.float64).ravel(), p, 1, 60, 2)
    assert quality.divergence(rows, places, 10.0) == pytest.approx(wanted, rel=1e-4)


def test_steps_of_a_line_are_even_and_a_jump_is_seen():
    rows = np.linspace(0, 1, 50, dtype=np.float32)[:, None] @ np.ones((1, 3), np.float32)
    even = quality.longest_steps(lambda x: x[:, :2], rows, paths=20, frames=11)
    radius = np.linalg.norm(rows[:, :2] - 0.5, axis=1).mean()
    assert even.shape == (20,)
    assert even.max() < np.sqrt(2) / 10 / radius + 1e-6
    jumps = quality.longest_steps(lambda x: (x[:, :2] > 0.5).astype(float), rows, paths=20, frames=11)
    crossed = jumps > 0
    assert crossed.any()
    np.testing.assert_allclose(jumps[crossed], 2.0, rtol=1e-6)  # the whole way, twice the radius


def test_states_between_are_near_and_within_bounds():
    rows = np.array([[0, 3.0]] * 2000)
    near = quality.between(rows, noise=0.15, low=0.0, high=3.0)
    assert near.min() >= 0
    assert near.max() <= 3
    assert np.abs(near - rows).mean() == pytest.approx(0.15 * np.sqrt(2 / np.pi) / 2, rel=0.05)


def test_neighbours_tell_classes():
    places = np.array([[0.0, 0], [0, 1], [5, 5], [5, 6]])
    accuracy = quality.nearest_neighbor_accuracy(
        places, np.array([0, 0, 1, 1]), np.array([[0, 0.4], [4, 4], [0, 2]]), np.array([0, 1, 1])
    )
    assert accuracy == pytest.approx(2 / 3)
