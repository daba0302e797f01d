"""Golden numbers: scikit-learn and scipy, or worked by hand where the score is ours."""

import json

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics as skm

from mer_jax.errors import InputError
from mer_jax.evaluation.metrics import (
    classification_metrics,
    concordance,
    expected_calibration_error,
    regression_metrics,
)

NAMES = ("a", "b", "c", "d")


@pytest.fixture
def case():
    rng = np.random.default_rng(0)
    labels = rng.choice(4, 400, p=[0.5, 0.3, 0.15, 0.05])
    probabilities = rng.dirichlet(np.ones(4), 400) * 0.6 + 0.4 * np.eye(4)[labels]
    probabilities[::3] = rng.dirichlet(np.ones(4), len(probabilities[::3]))
    return labels, probabilities / probabilities.sum(axis=1, keepdims=True)


def test_scores_are_scikit_learns(case):
    labels, p = case
    predicted, m = p.argmax(axis=1), classification_metrics(labels, p, NAMES)
    assert m["accuracy"] == pytest.approx(skm.accuracy_score(labels, predicted))
    assert m["balanced_accuracy"] == pytest.approx(skm.balanced_accuracy_score(labels, predicted))
    assert m["macro_f1"] == pytest.approx(skm.f1_score(labels, predicted, average="macro"))
    assert m["weighted_f1"] == pytest.approx(skm.f1_score(labels, predicted, average="weighted"))
    assert m["log_loss"] == pytest.approx(skm.log_loss(labels, p))
    onehot = np.eye(4, dtype=int)[labels]
    assert m["roc_auc_micro"] == pytest.approx(skm.roc_auc_score(onehot, p, average="micro"))
    assert m["roc_auc_macro"] == pytest.approx(
        skm.roc_auc_score(labels, p, multi_class="ovr", average="macro")
    )
    assert m["average_precision_macro"] == pytest.approx(
        skm.average_precision_score(onehot, p, average="macro")
    )
    report = skm.classification_report(labels, predicted, target_names=NAMES, output_dict=True)
    for name in NAMES:
        for key, theirs in (("precision", "precision"), ("recall", "recall"), ("f1", "f1-score")):
            assert m["per_class"][name][key] == pytest.approx(report[name][theirs])
        assert m["per_class"][name]["support"] == report[name]["support"]
    assert m["confusion"] == skm.confusion_matrix(labels, predicted).tolist()


def test_the_always_absent_predictor_of_m3ers_mosei_table():
    """Scored on the absent class, F1 = 2a/(1+a) for accuracy a (M3ER's MOSEI baseline: anger .889 at a = .80)."""
    labels = np.array([0] * 80 + [1] * 20)
    m = classification_metrics(labels, np.tile([1.0, 0.0], (100, 1)), ("absent", "anger"))
    assert m["accuracy"] == 0.8
    assert m["per_class"]["absent"]["f1"] == pytest.approx(2 * 0.8 / 1.8)
    assert m["balanced_accuracy"] == 0.5


def test_absent_classes_are_null_and_silent():
    m = classification_metrics(np.array([0, 0, 1, 1]), np.eye(4)[[0, 1, 1, 2]], NAMES)
    assert m["per_class"]["d"] == {"precision": None, "recall": None, "f1": None, "support": 0,
                                   "roc_auc": None, "average_precision": None}  # fmt: skip
    assert m["per_class"]["c"]["recall"] is None
    assert m["per_class"]["c"]["f1"] == 0
    assert m["balanced_accuracy"] == 0.5
    assert m["macro_f1"] == pytest.approx((2 / 3 + 1 / 2 + 0) / 3)
    json.dumps(m, allow_nan=False)


def test_one_class_alone_has_no_area():
    m = classification_metrics(np.zeros(3, int), np.eye(4)[[0, 0, 1]], NAMES)
    assert m["roc_auc_macro"] is None
    assert m["balanced_accuracy"] == pytest.approx(2 / 3)


def test_calibration_error_by_hand():
    """Three rows at .95 of which two are right, one at .60 that is right:
    3/4 |2/3 - .95| + 1/4 |1 - .60|."""
    p = np.array([[0.95, 0.05], [0.95, 0.05], [0.95, 0.05], [0.6, 0.4]])
    value = expected_calibration_error(np.array([0, 0, 1, 0]), p)
    assert value == pytest.approx(0.75 * abs(2 / 3 - 0.95) + 0.25 * 0.4)


def test_calibration_error_by_the_definition(case):
    labels, p = case
    confidence, right = p.max(axis=1), p.argmax(axis=1) == labels
    total = 0.0
    for b in range(15):
        inside = (confidence > b / 15) & (confidence <= (b + 1) / 15)
        if inside.any():
            total += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    assert expected_calibration_error(labels, p) == pytest.approx(total)


def test_regression_scores_are_scipys():
    rng = np.random.default_rng(1)
    truth = rng.normal(size=(50, 2))
    predicted = truth * 0.5 + rng.normal(size=(50, 2)) * 0.3 + 0.2
    m = regression_metrics(truth, predicted, ("x", "y"))
    r = [scipy.stats.pearsonr(t, p).statistic for t, p in zip(truth.T, predicted.T, strict=True)]
    assert [m["per_name"][k]["pearson"] for k in "xy"] == pytest.approx(r)
    assert m["pearson"] == pytest.approx(np.mean(r))
    assert m["mae"] == pytest.approx(skm.mean_absolute_error(truth, predicted))
    assert m["mse"] == pytest.approx(skm.mean_squared_error(truth, predicted))
    shift = (truth.mean(axis=0) - predicted.mean(axis=0)) ** 2
    scale = truth.std(axis=0), predicted.std(axis=0)
    independent = np.array(r) * 2 * scale[0] * scale[1] / (scale[0] ** 2 + scale[1] ** 2 + shift)
    assert [m["per_name"][k]["ccc"] for k in "xy"] == pytest.approx(independent)


def test_concordance_by_hand():
    """t = 1 2 3, p = 2 3 4: var = 2/3 each, cov = 2/3, shift 1: 4/3 / (4/3 + 1) = 4/7."""
    assert concordance(np.array([1.0, 2, 3]), np.array([2.0, 3, 4])) == pytest.approx(4 / 7)


def test_a_constant_prediction_has_no_correlation():
    m = regression_metrics(np.array([[1.0], [2.0]]), np.array([[1.5], [1.5]]), ("x",))
    assert (m["pearson"], m["ccc"], m["mae"]) == (None, 0.0, 0.5)


@pytest.mark.parametrize("labels", [[0, 4], [-1, 0]])
def test_labels_outside_the_classes_are_refused(labels):
    with pytest.raises(InputError, match="labels must be in 0"):
        classification_metrics(np.array(labels), np.eye(4)[[0, 1]], NAMES)


def test_wrong_shapes_are_refused():
    with pytest.raises(InputError, match="must be"):
        classification_metrics(np.array([0]), np.eye(3)[[0]], NAMES)
    with pytest.raises(InputError, match="must both be"):
        regression_metrics(np.zeros((3, 2)), np.zeros((3, 1)), ("x", "y"))
