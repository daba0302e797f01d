"""Scores on the host, by scikit-learn and scipy, as JSON-ready numbers.

A score that is undefined (no such class in the truth, a constant prediction) is None,
which JSON writes as null; it is never NaN and never silently zero.
"""

import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import scipy.stats
import sklearn.metrics as skm

from mer_jax.errors import InputError

ECE_BINS = 15
REGRESSION_SCORES = ("mae", "mse", "pearson", "ccc")
SMALLEST_PROBABILITY = float(np.finfo(np.float32).eps)


def number(value: Any) -> float | None:
    """A Python float, or None where the value is not finite."""
    value = float(value)
    return value if math.isfinite(value) else None


def classification_metrics(
    labels: np.ndarray, probabilities: np.ndarray, names: Sequence[str]
) -> dict[str, Any]:
    """Every classification score of one set of predictions.

    labels: [n] class numbers in 0..K-1. probabilities: [n, K], rows that sum to one.

    - accuracy, n
    - balanced_accuracy: mean recall over the classes that occur in `labels` (UAR)
    - macro_f1, weighted_f1: over the classes in `labels` or among the predictions
    - log_loss: -mean log p_y, probabilities clipped from below at 1.2e-7
    - ece: expected calibration error, see `expected_calibration_error`
    - roc_auc_micro: all (row, class) pairs as one binary problem; roc_auc_macro: mean of
      one class against the rest, over the classes in `labels`
    - average_precision_macro: the same mean of average precision (no trapezoids)
    - per_class: precision, recall, f1, support, roc_auc, average_precision
    - confusion: [K][K] counts, row = truth, column = prediction

    Raises InputError where shapes disagree or a label is outside the classes.
    """
    labels, probabilities = _checked(labels, probabilities, names)
    predicted = probabilities.argmax(axis=1)
    clipped = np.clip(probabilities[np.arange(len(labels)), labels], SMALLEST_PROBABILITY, None)
    per_class = _per_class(labels, predicted, probabilities, names)
    return {
        "n": len(labels),
        "accuracy": number(skm.accuracy_score(labels, predicted)),
        "balanced_accuracy": number(_recall(labels, predicted)),
        "macro_f1": _f1(labels, predicted, "macro"),
        "weighted_f1": _f1(labels, predicted, "weighted"),
        "log_loss": number(-np.log(clipped).mean()),
        "ece": number(expected_calibration_error(labels, probabilities)),
        "roc_auc_micro": _binary(skm.roc_auc_score, _one_hot(labels, len(names)), probabilities),
        "roc_auc_macro": _mean([c["roc_auc"] for c in per_class.values()]),
        "average_precision_macro": _mean([c["average_precision"] for c in per_class.values()]),
        "per_class": per_class,
        "confusion": skm.confusion_matrix(labels, predicted, labels=range(len(names))).tolist(),
    }


def expected_calibration_error(labels: np.ndarray, probabilities: np.ndarray, bins: int = ECE_BINS) -> float:
    """Expected calibration error (Guo et al., ICML 2017, eq. 3).

    ECE = sum_b |B_b| / n |accuracy(B_b) - confidence(B_b)|, where B_b holds the rows whose
    highest probability is in ((b-1)/bins, b/bins]. In 0..1, lower is better.
    """
    confidence = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == labels
    which = calibration_bin(confidence, bins)
    gap = np.bincount(which, correct - confidence, minlength=bins)
    return float(np.abs(gap).sum() / len(labels))


def calibration_bin(confidence: np.ndarray, bins: int = ECE_BINS) -> np.ndarray:
    """[n] number of the equal-width bin, closed on the right, of each confidence."""
    return np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)


def regression_metrics(truth: np.ndarray, predicted: np.ndarray, names: Sequence[str]) -> dict[str, Any]:
    """MAE, MSE, Pearson's r and Lin's concordance, per intensity and their means.

    truth, predicted: [n, E]. The mean is None where one of the intensities is undefined
    (Pearson's r of a constant prediction), so a collapsed dimension can't hide in it.
    """
    truth, predicted = np.asarray(truth, np.float64), np.asarray(predicted, np.float64)
    if truth.shape != predicted.shape or truth.ndim != 2 or truth.shape[1] != len(names) or not len(truth):
        raise InputError(
            f"metrics: truth {truth.shape} and predictions {predicted.shape} must both be "
            f"[n > 0, {len(names)}] for {list(names)}"
        )
    per_name = {
        name: {
            "mae": number(skm.mean_absolute_error(t, p)),
            "mse": number(skm.mean_squared_error(t, p)),
            "pearson": _pearson(t, p),
            "ccc": number(concordance(t, p)),
        }
        for name, t, p in zip(names, truth.T, predicted.T, strict=True)
    }
    means = {key: _strict_mean([row[key] for row in per_name.values()]) for key in REGRESSION_SCORES}
    return {"n": len(truth), **means, "per_name": per_name}


def concordance(truth: np.ndarray, predicted: np.ndarray) -> float:
    """Lin's concordance correlation coefficient (Biometrics 45, 1989), biased moments.

    ccc = 2 cov(t, p) / (var t + var p + (mean t - mean p)^2), in -1..1; 0 for a constant
    prediction, NaN where both are the same constant.
    """
    spread = truth.var() + predicted.var() + (truth.mean() - predicted.mean()) ** 2
    covariance = ((truth - truth.mean()) * (predicted - predicted.mean())).mean()
    return float(2 * covariance / spread) if spread > 0 else math.nan


def _checked(
    labels: np.ndarray, probabilities: np.ndarray, names: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    labels, probabilities = np.asarray(labels), np.asarray(probabilities, np.float64)
    if probabilities.shape != (len(labels), len(names)) or not len(labels):
        raise InputError(
            f"metrics: probabilities {probabilities.shape} must be [n > 0, {len(names)}] for "
            f"{len(labels)} labels of the classes {list(names)}"
        )
    if labels.min() < 0 or labels.max() >= len(names):
        raise InputError(
            f"metrics: labels must be in 0..{len(names) - 1}, found {labels.min()}..{labels.max()}; "
            "leave unlabelled rows out"
        )
    return labels, probabilities / probabilities.sum(axis=1, keepdims=True)


def _one_hot(labels: np.ndarray, classes: int) -> np.ndarray:
    return np.eye(classes, dtype=int)[labels]


def _recall(labels: np.ndarray, predicted: np.ndarray) -> float:
    present = np.unique(labels)
    return float(skm.recall_score(labels, predicted, labels=present, average="macro", zero_division=0))


def _f1(labels: np.ndarray, predicted: np.ndarray, average: Literal["macro", "weighted"]) -> float | None:
    return number(skm.f1_score(labels, predicted, average=average, zero_division=0))


def _per_class(
    labels: np.ndarray, predicted: np.ndarray, probabilities: np.ndarray, names: Sequence[str]
) -> dict[str, dict[str, Any]]:
    numbers = range(len(names))
    undefined: Any = np.nan
    scores = skm.precision_recall_fscore_support(labels, predicted, labels=numbers, zero_division=undefined)
    precision, recall, f1, support = map(np.asarray, scores)
    out: dict[str, dict[str, Any]] = {}
    for k, name in enumerate(names):
        hit, score = labels == k, probabilities[:, k]
        out[name] = {
            "precision": number(precision[k]),
            "recall": number(recall[k]),
            "f1": number(f1[k]),
            "support": int(support[k]),
            "roc_auc": _binary(skm.roc_auc_score, hit, score),
            "average_precision": _binary(skm.average_precision_score, hit, score),
        }
    return out


def _binary(score: Any, truth: np.ndarray, probabilities: np.ndarray) -> float | None:
    truth = np.ravel(truth)
    if truth.all() or not truth.any():
        return None
    return number(score(truth, np.ravel(probabilities)))


def _pearson(truth: np.ndarray, predicted: np.ndarray) -> float | None:
    if np.ptp(truth) == 0 or np.ptp(predicted) <= 1e-12 * np.abs(predicted).max():
        return None
    return number(scipy.stats.pearsonr(truth, predicted).statistic)


def _mean(values: list[float | None]) -> float | None:
    defined = [v for v in values if v is not None]
    return number(np.mean(defined)) if defined else None


def _strict_mean(values: list[float | None]) -> float | None:
    return None if None in values else _mean(values)
