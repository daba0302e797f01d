import time

import numpy as np
import pytest
import scipy.stats

from mer_jax.errors import InputError
from mer_jax.evaluation.additive import CLASSIFICATION, REGRESSION, additive
from mer_jax.evaluation.intervals import bootstrap_interval, paired_difference, resampled
from mer_jax.evaluation.metrics import classification_metrics, regression_metrics
from mer_jax.evaluation.predictions import Predictions
from tests.evaluation.corpora import bound, classified, corpus, predicted


def random_case(n: int, groups: int, classes: int = 7, seed: int = 0) -> Predictions:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, n)
    probabilities = rng.dirichlet(np.ones(classes), n) * 0.7 + 0.3 * np.eye(classes)[labels]
    return classified(labels, probabilities, [f"d{g}" for g in rng.integers(0, groups, n)])


@pytest.mark.parametrize("metric", CLASSIFICATION)
def test_additive_forms_equal_the_metrics(metric):
    rows = random_case(300, 20)
    expected = classification_metrics(rows.labels, rows.probabilities, list("abcdefg"))[metric]
    assert additive(metric)(rows) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("metric", REGRESSION)
def test_additive_forms_equal_the_regression_metrics(metric):
    data = corpus(dialogues=20, intensities=True)
    rows = predicted(data, bound(data)).part("test")
    expected = regression_metrics(rows.intensities, rows.predicted_intensities, "abc")[metric]
    assert additive(metric)(rows) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("metric", ["balanced_accuracy", "macro_f1", "weighted_f1"])
def test_a_resample_is_the_metric_on_the_drawn_rows(metric):
    """Draws the same groups by hand and repeats their rows."""
    rows = random_case(60, 8, classes=4)
    names = np.unique(rows.dialogues)
    values = resampled(metric, rows, rows.dialogues, n=5, seed=3)
    drawn = np.random.default_rng(3).integers(0, len(names), (5, len(names)))
    for value, groups in zip(values, drawn, strict=True):
        chosen = np.concatenate([np.flatnonzero(rows.dialogues == names[g]) for g in groups])
        again = classification_metrics(rows.labels[chosen], rows.probabilities[chosen], list("abcd"))
        assert value == pytest.approx(again[metric])


def test_ungrouped_intervals_are_scipys():
    rows = random_case(500, 500)
    right = (rows.probabilities.argmax(axis=1) == rows.labels).astype(float)
    theirs = scipy.stats.bootstrap((right,), np.mean, n_resamples=4000, method="percentile", rng=0)
    ours = bootstrap_interval("accuracy", rows, rows.ids, n=4000)
    assert ours == pytest.approx(tuple(theirs.confidence_interval), abs=0.005)


def test_coverage_with_alike_utterances():
    """Accuracy varies by dialogue (beta-binomial, mean .6): resampling dialogues covers the
    truth about as often as it says, resampling rows far less."""
    rng = np.random.default_rng(0)
    inside = {"dialogue": 0, "id": 0}
    trials = 300
    for trial in range(trials):
        right = rng.random((50, 10)) < rng.beta(1.8, 1.2, 50)[:, None]
        labels = (~right).astype(int).ravel()
        dialogues = np.repeat([f"d{i}" for i in range(50)], 10)
        rows = classified(labels, np.tile([1.0, 0.0], (500, 1)), dialogues)
        for unit in inside:
            low, high = bootstrap_interval("accuracy", rows, rows.groups(unit), n=300, seed=trial)
            inside[unit] += low <= 0.6 <= high
    assert 0.90 <= inside["dialogue"] / trials <= 0.98
    assert inside["id"] / trials < 0.80


def test_a_thousand_resamples_of_3000_rows_take_less_than_a_second():
    rows = random_case(3000, 300)
    started = time.perf_counter()
    for metric in ("accuracy", "balanced_accuracy", "macro_f1"):
        bootstrap_interval(metric, rows, rows.dialogues)
    assert time.perf_counter() - started < 3


def test_paired_differences():
    rows = random_case(400, 40, seed=1)
    same = paired_difference("accuracy", rows, rows, rows.dialogues)
    assert (same.value, same.low, same.high, same.p) == (0, 0, 0, 1)
    better = classified(rows.labels, np.eye(7)[rows.labels], rows.dialogues)
    gain = paired_difference("accuracy", better, rows, rows.dialogues)
    assert gain.low > 0
    assert gain.p < 0.01
    assert gain.value == pytest.approx(1 - additive("accuracy")(rows))


def test_the_same_seed_gives_the_same_interval():
    rows = random_case(200, 20)
    first = bootstrap_interval("macro_f1", rows, rows.dialogues, seed=4)
    assert first == bootstrap_interval("macro_f1", rows, rows.dialogues, seed=4)
    assert first != bootstrap_interval("macro_f1", rows, rows.dialogues, seed=5)


def test_bad_input_is_refused():
    rows = random_case(20, 5)
    with pytest.raises(InputError, match="one group"):
        bootstrap_interval("accuracy", rows, rows.speakers)
    with pytest.raises(InputError, match="did you mean 'accuracy'"):
        bootstrap_interval("acuracy", rows, rows.ids)
    with pytest.raises(InputError, match="align them by id"):
        paired_difference("accuracy", rows, rows.where(np.arange(19)), rows.ids)
