"""Areas and errors beside scikit-learn and the bootstrap; axes beside scikit-learn's CCA."""

import numpy as np
import pytest
from sklearn.cross_decomposition import CCA
from sklearn.metrics import roc_auc_score

from mer_jax.emotion_space.separation import dimensions, presence, separation, strongest_axis
from tests.emotion_space.intensities import predictions, true_states


@pytest.fixture
def scored():
    random = np.random.default_rng(0)
    present = random.random(400) < 0.2
    return np.round(present + random.normal(size=400), 1), present


def test_the_area_is_scikit_learns_ties_included(scored):
    scores, present = scored
    assert separation(scores, present).auc == pytest.approx(roc_auc_score(present, scores))


def test_the_error_is_the_spread_over_resamples(scored):
    """The bootstrap of rows has the same error to within its own, about 4 % for 300 resamples."""
    scores, present = scored
    random = np.random.default_rng(1)
    draws = [random.integers(0, 400, 400) for _ in range(300)]
    spread = np.std([roc_auc_score(present[rows], scores[rows]) for rows in draws])
    assert separation(scores, present).error == pytest.approx(spread, rel=0.15)


def test_rows_said_three_times_are_no_new_witnesses_where_their_group_says_so(scored):
    scores, present = (np.repeat(x, 3) for x in scored)
    once = separation(*scored).error
    grouped = separation(scores, present, np.repeat(np.arange(400), 3)).error
    assert grouped == pytest.approx(once)
    assert separation(scores, present).error == pytest.approx(once / np.sqrt(3), rel=0.01)


def test_an_emotion_of_four_rows_is_not_judged():
    present = np.arange(50) < 4
    found = separation(np.arange(50.0), present)
    assert (found.auc, found.told(0.6)) == (None, False)


def test_the_strongest_axis_is_scikit_learns_first_canonical_variate():
    truth = true_states(300)
    predicted = predictions("truth and noise", truth)
    expected = CCA(1, max_iter=5000, tol=1e-12).fit(predicted, truth).transform(predicted)[:, 0]
    found = strongest_axis(predicted, truth)
    assert abs(np.corrcoef(found, expected)[0, 1]) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("kind", "count"),
    [("pure noise", 0), ("one axis", 1), ("one axis, noisy", 1), ("one axis, bent", 1), ("two emotions", 2)],
)
def test_dimensions_are_counted(kind, count, seed):
    truth = true_states(seed=seed)
    assert dimensions(truth, predictions(kind, truth, seed)).count == count


def test_dimensions_do_not_depend_on_the_units_of_predictions():
    truth = true_states()
    predicted = predictions("regression, R2 = .3", truth)
    mixed = dimensions(truth, predicted * np.array([1.0, 10, 0.1, 3, 1, 50]) + 7)
    plain = dimensions(truth, predicted)
    assert mixed.count == plain.count
    assert [s.auc for s in mixed.beyond] == pytest.approx([s.auc for s in plain.beyond])


def test_present_is_above_zero_or_where_nobody_is_without_it_above_the_median():
    rare = np.array([0, 0, 0, 0, 0.3, 1.0])
    everywhere = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 2.0])
    constant = np.full(6, 0.7)
    found = presence(np.stack([rare, everywhere, constant], axis=1))
    np.testing.assert_array_equal(found.T, [[0, 0, 0, 0, 1, 1], [0, 0, 0, 1, 1, 1], [0, 0, 0, 0, 0, 0]])
