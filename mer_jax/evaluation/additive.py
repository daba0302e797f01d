"""Scores as functions of sums over rows, so that a resample costs one matrix product.

Each `Additive` maps predictions to [n, S] terms, and m sums of them, [m, S], to m scores. Resampling whole groups only reweights the groups' sums. On the
sums over all rows the score equals the one in `metrics` (a test says so).
"""

import dataclasses
from collections.abc import Callable

import numpy as np

from mer_jax.errors import InputError, nearest
from mer_jax.evaluation.metrics import ECE_BINS, SMALLEST_PROBABILITY, calibration_bin
from mer_jax.evaluation.predictions import Predictions


@dataclasses.dataclass(frozen=True)
class Additive:
    """terms: predictions -> [n, S]. finish: [m, S] sums -> [m] scores, NaN where undefined."""

    terms: Callable[[Predictions], np.ndarray]
    finish: Callable[[np.ndarray], np.ndarray]

    def __call__(self, predictions: Predictions) -> float:
        """The score over all rows."""
        return float(self.finish(self.terms(predictions).sum(axis=0, keepdims=True))[0])


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    out = np.full(np.broadcast(numerator, denominator).shape, np.nan)
    return np.divide(numerator, denominator, out=out, where=denominator > 0)


def _nan_mean(values: np.ndarray) -> np.ndarray:
    defined = np.isfinite(values)
    return _ratio(np.where(defined, values, 0).sum(axis=-1), defined.sum(axis=-1))


def _confusion_terms(p: Predictions) -> np.ndarray:
    classes = p.probabilities.shape[1]
    cell = p.labels * classes + p.probabilities.argmax(axis=1)
    return np.eye(classes * classes)[cell]


def _square(sums: np.ndarray) -> np.ndarray:
    classes = round(sums.shape[-1] ** 0.5)
    return sums.reshape(*sums.shape[:-1], classes, classes)


def _accuracy(sums: np.ndarray) -> np.ndarray:
    return _ratio(np.trace(_square(sums), axis1=-2, axis2=-1), sums.sum(axis=-1))


def _balanced_accuracy(sums: np.ndarray) -> np.ndarray:
    counts = _square(sums)
    return _nan_mean(_ratio(np.diagonal(counts, axis1=-2, axis2=-1), counts.sum(axis=-1)))


def _class_f1(counts: np.ndarray) -> np.ndarray:
    hits = np.diagonal(counts, axis1=-2, axis2=-1)
    return _ratio(2 * hits, counts.sum(axis=-1) + counts.sum(axis=-2))


def _macro_f1(sums: np.ndarray) -> np.ndarray:
    return _nan_mean(_class_f1(_square(sums)))


def _weighted_f1(sums: np.ndarray) -> np.ndarray:
    counts = _square(sums)
    f1 = np.nan_to_num(_class_f1(counts))
    return _ratio((f1 * counts.sum(axis=-1)).sum(axis=-1), sums.sum(axis=-1))


def _log_loss_terms(p: Predictions) -> np.ndarray:
    probabilities = p.probabilities.astype(np.float64)
    chosen = probabilities[np.arange(len(p)), p.labels] / probabilities.sum(axis=1)
    loss = -np.log(np.clip(chosen, SMALLEST_PROBABILITY, None))
    return np.stack([loss, np.ones(len(p))], axis=1)


def _calibration_terms(p: Predictions) -> np.ndarray:
    probabilities = p.probabilities.astype(np.float64)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    confidence = probabilities.max(axis=1)
    gap = (probabilities.argmax(axis=1) == p.labels) - confidence
    terms = np.eye(ECE_BINS)[calibration_bin(confidence)] * gap[:, None]
    return np.concatenate([terms, np.ones((len(p), 1))], axis=1)


def _calibration(sums: np.ndarray) -> np.ndarray:
    return _ratio(np.abs(sums[..., :-1]).sum(axis=-1), sums[..., -1])


def _moment_terms(p: Predictions) -> np.ndarray:
    """[n, 7 E]: |t-p|, t, p, t^2, p^2, t p, 1 for each intensity, centred for precision."""
    t, q = p.intensities.astype(np.float64), p.predicted_intensities.astype(np.float64)
    error, centre = np.abs(t - q), t.mean(axis=0)
    t, q = t - centre, q - centre
    return np.concatenate([error, t, q, t * t, q * q, t * q, np.ones_like(t)], axis=1)


def _moments(sums: np.ndarray) -> list[np.ndarray]:
    """mae, mean t, mean p, var t, var p, cov: each [..., E]."""
    parts = np.split(sums, 7, axis=-1)
    mae, t, p, tt, pp, tp = (_ratio(part, parts[-1]) for part in parts[:-1])
    return [mae, t, p, tt - t * t, pp - p * p, tp - t * p]


def _mae(sums: np.ndarray) -> np.ndarray:
    return _moments(sums)[0].mean(axis=-1)


def _mse(sums: np.ndarray) -> np.ndarray:
    _, t, p, tt, pp, tp = _moments(sums)
    return (tt + pp - 2 * tp + (t - p) ** 2).mean(axis=-1)


def _pearson(sums: np.ndarray) -> np.ndarray:
    _, _, _, tt, pp, tp = _moments(sums)
    product = np.clip(tt, 0, None) * np.clip(pp, 0, None)
    return _ratio(tp, np.where(product > 1e-24, np.sqrt(product), 0)).mean(axis=-1)


def _ccc(sums: np.ndarray) -> np.ndarray:
    _, t, p, tt, pp, tp = _moments(sums)
    return _ratio(2 * tp, tt + pp + (t - p) ** 2).mean(axis=-1)


CLASSIFICATION = {
    "accuracy": Additive(_confusion_terms, _accuracy),
    "balanced_accuracy": Additive(_confusion_terms, _balanced_accuracy),
    "macro_f1": Additive(_confusion_terms, _macro_f1),
    "weighted_f1": Additive(_confusion_terms, _weighted_f1),
    "log_loss": Additive(_log_loss_terms, lambda sums: _ratio(sums[..., 0], sums[..., 1])),
    "ece": Additive(_calibration_terms, _calibration),
}
REGRESSION = {
    "mae": Additive(_moment_terms, _mae),
    "mse": Additive(_moment_terms, _mse),
    "pearson": Additive(_moment_terms, _pearson),
    "ccc": Additive(_moment_terms, _ccc),
}
LOWER_IS_BETTER = frozenset({"log_loss", "ece", "mae", "mse", "loss"})


def additive(metric: str) -> Additive:
    """The additive form of a metric. Raises InputError where it has none."""
    known = CLASSIFICATION | REGRESSION
    if metric not in known:
        raise InputError(f"metric {metric!r} has no interval; {nearest(metric, known)}")
    return known[metric]
