"""Temperature scaling: probabilities made honest with what dev says, and how honest they were."""

import dataclasses

import numpy as np
import scipy.optimize
import scipy.special

from mer_jax.errors import InputError
from mer_jax.evaluation.metrics import SMALLEST_PROBABILITY, expected_calibration_error
from mer_jax.evaluation.predictions import Predictions

TEMPERATURES = (0.05, 20.0)
BESIDE = 1.01
_TINY = float(np.finfo(np.float32).tiny)


@dataclasses.dataclass(frozen=True)
class Calibration:
    """Expected calibration error and log loss on test, before and after scaling.

    temperature: geometric mean over the folds; above 1 the model was too sure.
    at_bound: a fold's temperature ended at a bound, as where every dev row is right or all is chance.
    """

    temperature: float
    ece: float
    ece_scaled: float
    log_loss: float
    log_loss_scaled: float
    at_bound: bool


def fit_temperature(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """The T > 0 that minimises the mean log loss of softmax(log p / T), within .05 to 20.

    Guo et al., On calibration of modern neural networks, ICML 2017, section 4.2. labels:
    [n]; probabilities: [n, K]. The loss is convex in 1/T, so the minimum is the only one.
    Where every row is right it falls to .05, the loss having no minimum. Raises InputError
    where there is no row.
    """
    if len(labels) == 0:
        raise InputError("calibration: no rows to fit the temperature on; give a protocol with a dev part")
    if (probabilities.argmax(axis=1) == labels).all():
        return TEMPERATURES[0]
    logits = _logits(probabilities)
    low, high = np.log(TEMPERATURES)
    found = scipy.optimize.minimize_scalar(
        lambda log_t: _cross_entropy(labels, logits / np.exp(log_t)),
        bounds=(low, high),
        method="bounded",
        options={"xatol": 1e-6},
    )
    return float(np.exp(found.x))


def temperatures(predictions: Predictions) -> dict[int, float]:
    """Fold -> the temperature fitted on that fold's dev rows, which alone are looked at.

    Raises InputError for a regression, or a fold without dev rows.
    """
    if not predictions.probabilities.shape[1]:
        raise InputError("calibration: the predictions hold no probabilities; only classifiers are scaled")
    out = {}
    for fold in np.unique(predictions.folds).tolist():
        dev = predictions.where((predictions.folds == fold) & (predictions.splits == "dev"))
        if len(dev) == 0:
            raise InputError(
                f"calibration: fold {fold} has no dev rows to fit the temperature on; use a protocol with dev"
            )
        out[fold] = fit_temperature(dev.labels, dev.probabilities)
    return out


def scaled(predictions: Predictions) -> Predictions:
    """The same rows with every fold's probabilities scaled by its temperature."""
    return _at(predictions, temperatures(predictions))


def calibration(predictions: Predictions) -> Calibration:
    """What scaling does to the test rows. Raises InputError as `temperatures` does."""
    found = temperatures(predictions)
    before = predictions.part("test")
    after = _at(before, found)
    values = np.array(list(found.values()))
    low, high = TEMPERATURES
    return Calibration(
        float(np.exp(np.log(values).mean())),
        expected_calibration_error(before.labels, _normalised(before)),
        expected_calibration_error(after.labels, _normalised(after)),
        _log_loss(before.labels, _normalised(before)),
        _log_loss(after.labels, _normalised(after)),
        bool(((values < low * BESIDE) | (values > high / BESIDE)).any()),
    )


def _at(predictions: Predictions, by_fold: dict[int, float]) -> Predictions:
    t = np.array([by_fold[fold] for fold in predictions.folds.tolist()])
    probabilities = scipy.special.softmax(_logits(predictions.probabilities) / t[:, None], axis=1)
    return dataclasses.replace(predictions, probabilities=probabilities.astype(np.float32))


def _normalised(predictions: Predictions) -> np.ndarray:
    p = predictions.probabilities.astype(np.float64)
    return p / p.sum(axis=1, keepdims=True)


def _logits(probabilities: np.ndarray) -> np.ndarray:
    return np.log(np.maximum(probabilities.astype(np.float64), _TINY))


def _cross_entropy(labels: np.ndarray, logits: np.ndarray) -> float:
    chosen = logits[np.arange(len(labels)), labels]
    return float((scipy.special.logsumexp(logits, axis=1) - chosen).mean())


def _log_loss(labels: np.ndarray, probabilities: np.ndarray) -> float:
    chosen = probabilities[np.arange(len(labels)), labels]
    return float(-np.log(np.maximum(chosen, SMALLEST_PROBABILITY)).mean())
