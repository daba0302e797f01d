"""What is measured on dev after every epoch."""

import numpy as np
from scipy.special import log_softmax
from sklearn import metrics

from mer_jax.evaluation.metrics import concordance


def dev_scores(logits: np.ndarray, targets: np.ndarray, count: int) -> dict[str, float]:
    """Scores by the names of `protocol.SELECTION`: for whole-number targets those of a
    classification into `count` classes, for real ones those of a regression."""
    if not np.issubdtype(targets.dtype, np.integer):
        error = logits - targets
        ccc = [concordance(targets[:, k], logits[:, k]) for k in range(count)]
        return {
            "loss": float(np.square(error).mean()),
            "mae": float(np.abs(error).mean()),
            "ccc": float(np.mean([value for value in ccc if np.isfinite(value)] or [0.0])),
        }
    guess = logits.argmax(axis=1)
    log_likelihood = log_softmax(logits.astype(np.float64), axis=1)[np.arange(len(targets)), targets]
    labels = np.unique(targets)
    recalls = metrics.recall_score(targets, guess, labels=labels, average=None, zero_division=0)
    f1 = metrics.f1_score(targets, guess, labels=labels, average=None, zero_division=0)
    return {
        "loss": float(-log_likelihood.mean()),
        "accuracy": float((guess == targets).mean()),
        "balanced_accuracy": float(recalls.mean()),
        "macro_f1": float(f1.mean()),
        "weighted_f1": float(np.average(f1, weights=np.bincount(targets)[labels])),
    }
