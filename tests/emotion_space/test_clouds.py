"""Ranks, distances and cells worked by hand or by definition."""

import numpy as np
import pytest

from mer_jax.emotion_space import clouds
from mer_jax.emotion_space.clouds import CELLS, effective_rank, energy_distance, reach
from tests.emotion_space.intensities import true_states


def test_the_effective_rank_by_hand():
    """Variances 3 : 1 have shares 3/4 and 1/4, of entropy .5623: exp is 1.7548; equal ones have 2."""
    corners = np.array([[1.0, 1], [1, -1], [-1, 1], [-1, -1]])
    assert effective_rank(corners) == pytest.approx(2)
    assert effective_rank(corners * np.sqrt([3, 1])) == pytest.approx(1.7548, abs=1e-4)
    turned = corners * np.sqrt([3, 1]) @ np.array([[0.6, 0.8], [-0.8, 0.6]])
    assert effective_rank(turned + 5) == pytest.approx(1.7548, abs=1e-4)


def test_a_line_has_rank_one_and_a_constant_none():
    line = np.outer(np.linspace(0, 1, 50), [1.0, -2, 3])
    assert effective_rank(line.astype(np.float32)) == pytest.approx(1, abs=1e-5)
    assert effective_rank(np.tile([0.1, 0.7, 0.3], (50, 1)).astype(np.float32)) == 0


def test_the_energy_distance_by_its_definition():
    """Of 40 rows in 2 groups all halvings are the same two halves, so that sums over pairs tell."""
    random = np.random.default_rng(0)
    truth, predicted = random.normal(size=(40, 3)), random.normal(size=(40, 3)) + 1
    groups = np.repeat([0, 1], 20)

    def mean_distance(x, y):
        return np.mean([np.linalg.norm(a - b) for a in x for b in y])

    def energy(x, y):
        return 2 * mean_distance(x, y) - mean_distance(x, x) - mean_distance(y, y)

    found = energy_distance(truth, predicted, groups)
    assert found.reference == pytest.approx(energy(truth[:20], truth[20:]))
    either = energy(predicted[:20], truth[20:]), energy(predicted[20:], truth[:20])
    assert min(either) < found.distance < max(either)
    assert found.ratio == pytest.approx(found.distance / found.reference)


def test_other_states_of_the_same_kind_are_as_far_as_two_halves_of_the_truth():
    ratios = [energy_distance(true_states(seed=s), true_states(seed=s + 50)).ratio for s in range(6)]
    assert np.mean(ratios) == pytest.approx(1, abs=0.35)


def test_the_same_seed_draws_the_same_rows(monkeypatch):
    monkeypatch.setattr(clouds, "MOST_ROWS", 60)
    truth = true_states(100)
    one, again, other = (energy_distance(truth, truth * 0.5, seed=seed) for seed in (3, 3, 4))
    assert one == again != other


def test_cells_are_reached_by_counting():
    """States on a diagonal of the whole grid; predictions on its lower half, and beside the map."""
    states = np.repeat((np.arange(CELLS) + 0.5)[:, None], 2, axis=1)
    predicted = np.concatenate([states[: CELLS // 2], [[-9.0, 3.0], [0.5, CELLS - 0.5]]])
    found = reach(lambda x: x, states, predicted)
    assert (found.cells, found.by_predictions, found.by_truth) == (CELLS, 0.5, 1.0)
    few = reach(lambda x: x, states[:5], predicted, states)
    assert (few.cells, few.by_truth) == (CELLS, 0.25)
