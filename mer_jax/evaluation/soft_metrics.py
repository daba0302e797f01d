"""How near predicted distributions come to those of annotators' votes."""

import numpy as np
from scipy.special import rel_entr

from mer_jax.errors import InputError
from mer_jax.evaluation.metrics import SMALLEST_PROBABILITY, number


def soft_cross_entropy(votes: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """[n] -sum_k v_k log p_k in nats, p clipped from below at 1.2e-7. Its least value is the
    entropy of the votes."""
    return -(votes * np.log(np.clip(probabilities, SMALLEST_PROBABILITY, None))).sum(axis=1)


def total_variation(votes: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """[n] 1/2 sum_k |v_k - p_k|, 0..1."""
    return np.abs(votes - probabilities).sum(axis=1) / 2


def jensen_shannon(votes: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """[n] sqrt((KL(v|m) + KL(p|m)) / 2) in bits with m = (v + p) / 2, 0..1 (Endres & Schindelin 2003)."""
    middle = (votes + probabilities) / 2
    divergence = (rel_entr(votes, middle) + rel_entr(probabilities, middle)).sum(axis=1) / 2
    return np.sqrt(np.maximum(divergence, 0) / np.log(2))


def soft_metrics(votes: np.ndarray, probabilities: np.ndarray) -> dict[str, float | int | None]:
    """Means over the rows that have votes, and `votes_entropy`, the floor of the cross-entropy.

    votes: [n, K] counts or shares. probabilities: [n, K]. Raises InputError where shapes
    disagree or no row has votes.
    """
    votes, probabilities = np.asarray(votes, np.float64), np.asarray(probabilities, np.float64)
    if votes.shape != probabilities.shape or votes.ndim != 2 or not votes.any():
        raise InputError(
            f"soft metrics: votes {votes.shape} and probabilities {probabilities.shape} must both be [n, K], "
            "and some row must have votes"
        )
    there = votes.any(axis=1)
    v, p = (x[there] / x[there].sum(axis=1, keepdims=True) for x in (votes, probabilities))
    return {
        "n": int(there.sum()),
        "soft_cross_entropy": number(soft_cross_entropy(v, p).mean()),
        "votes_entropy": number(soft_cross_entropy(v, v).mean()),
        "total_variation": number(total_variation(v, p).mean()),
        "jensen_shannon": number(jensen_shannon(v, p).mean()),
    }
