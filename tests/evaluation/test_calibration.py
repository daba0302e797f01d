import dataclasses

import numpy as np
import pytest
import scipy.special
import sklearn.metrics
from sklearn.linear_model import LogisticRegression

from mer_jax.errors import InputError
from mer_jax.evaluation.calibration import TEMPERATURES, calibration, fit_temperature, scaled, temperatures
from mer_jax.evaluation.metrics import classification_metrics
from mer_jax.evaluation.predictions import Predictions

NAMES = ("a", "b", "c")


def sure(factor: float, n: int = 4000, seed: int = 0, classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Labels drawn from softmax(z), and softmax(factor z): too sure by `factor`."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(n, classes)) * 1.5
    labels = (scipy.special.softmax(z, axis=1).cumsum(axis=1) < rng.random((n, 1))).sum(axis=1)
    return labels, scipy.special.softmax(factor * z, axis=1)


def predictions(factors: tuple[float, ...], n: int = 600) -> Predictions:
    """One fold for each factor, with train, dev and test rows."""
    parts = []
    for fold, factor in enumerate(factors):
        for number, split in enumerate(("train", "dev", "test")):
            labels, p = sure(factor, n, seed=10 * fold + number)
            ids = [f"{fold}.{split}.{i}" for i in range(n)]
            columns = {"ids": ids, "dialogues": ids, "speakers": ids, "splits": [split] * n}
            parts.append(Predictions.make(**columns, folds=[fold] * n, labels=labels, probabilities=p))
    return Predictions.concatenate(parts)


def test_of_two_classes_it_is_sklearns_logistic_regression_on_the_logit():
    """1/T is the coefficient, without penalty and intercept, on log p_1 - log p_0."""
    labels, p = sure(2.5, classes=2)
    logit = (np.log(p[:, 1]) - np.log(p[:, 0]))[:, None]
    theirs = LogisticRegression(C=1e10, fit_intercept=False, tol=1e-10).fit(logit, labels)
    assert fit_temperature(labels, p) == pytest.approx(1 / theirs.coef_[0, 0], rel=1e-3)


def test_no_other_temperature_has_a_lower_log_loss():
    """scikit-learn's log_loss on a grid around it."""
    labels, p = sure(2.0)
    best = fit_temperature(labels, p)
    at = {
        t: sklearn.metrics.log_loss(labels, scipy.special.softmax(np.log(p) / t, axis=1))
        for t in best * np.array([0.98, 1, 1.02])
    }
    assert min(at, key=lambda t: at[t]) == best


@pytest.mark.parametrize("factor", [0.5, 1.0, 3.0])
def test_it_finds_how_much_too_sure_a_model_is(factor):
    found = calibration(predictions((factor,), n=3000))
    assert found.temperature == pytest.approx(factor, rel=0.1)
    assert found.ece_scaled < 0.04
    if factor != 1:
        assert found.ece > 2 * found.ece_scaled
        assert found.log_loss_scaled < found.log_loss
    assert found.at_bound is False


def test_before_and_after_are_the_metrics_of_the_test_rows():
    rows = predictions((2.0, 3.0))
    found = calibration(rows)
    for part, ece, loss in (
        (rows.part("test"), found.ece, found.log_loss),
        (scaled(rows).part("test"), found.ece_scaled, found.log_loss_scaled),
    ):
        metrics = classification_metrics(part.labels, part.probabilities, NAMES)
        assert (ece, loss) == pytest.approx((metrics["ece"], metrics["log_loss"]), rel=1e-6)


def test_every_fold_has_its_own_temperature():
    rows = predictions((1.5, 4.0), n=3000)
    found = temperatures(rows)
    assert found == pytest.approx({0: 1.5, 1: 4.0}, rel=0.1)
    geometric = np.sqrt(found[0] * found[1])
    assert calibration(rows).temperature == pytest.approx(geometric)


def test_test_and_train_rows_can_not_change_a_temperature():
    rows = predictions((2.0, 3.0))
    rng = np.random.default_rng(1)
    other = rows.splits != "dev"
    labels, p = rows.labels.copy(), rows.probabilities.copy()
    labels[other] = rng.integers(0, 3, other.sum())
    p[other] = rng.dirichlet(np.ones(3), other.sum())
    changed = dataclasses.replace(rows, labels=labels, probabilities=p)
    assert temperatures(changed) == temperatures(rows)
    assert temperatures(rows.where(rows.splits == "dev")) == temperatures(rows)
    labels[~other] = rng.integers(0, 3, (~other).sum())
    assert temperatures(dataclasses.replace(changed, labels=labels)) != temperatures(rows)


def test_scaling_changes_no_answer():
    rows = predictions((2.0, 0.5))
    after = scaled(rows)
    assert (after.probabilities.argmax(axis=1) == rows.probabilities.argmax(axis=1)).all()
    assert np.array_equal(after.ids, rows.ids)
    assert np.array_equal(after.labels, rows.labels)


@pytest.mark.parametrize(("label", "others", "bound"), [(0.8, 0.1, 0), (0.2, 0.4, 1)])
def test_a_dev_part_that_is_all_right_or_all_wrong_ends_at_a_bound(label, others, bound):
    rows = predictions((2.0,))
    dev = (rows.splits == "dev")[:, None]
    p = np.where(dev, np.where(np.eye(3)[rows.labels], label, others), rows.probabilities)
    found = calibration(dataclasses.replace(rows, probabilities=p.astype(np.float32)))
    assert found.at_bound is True
    assert found.temperature == pytest.approx(TEMPERATURES[bound], rel=0.01)


def test_certain_probabilities_are_scaled_too():
    labels = np.arange(300) % 3
    p = np.eye(3)[np.where(np.arange(300) < 60, (labels + 1) % 3, labels)]
    found = fit_temperature(labels, p)
    assert np.isfinite(found)
    assert found > 10


def test_bad_input_is_refused():
    rows = predictions((2.0, 3.0))
    with pytest.raises(InputError, match="fold 1 has no dev rows"):
        calibration(rows.where((rows.folds == 0) | (rows.splits != "dev")))
    with pytest.raises(InputError, match="no rows"):
        fit_temperature(rows.labels[:0], rows.probabilities[:0])
    flat = dataclasses.replace(rows, probabilities=rows.probabilities[:, :0])
    with pytest.raises(InputError, match="no probabilities"):
        temperatures(flat)
