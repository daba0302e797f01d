"""Percentile cluster bootstrap: whole dialogues or speakers are drawn again, not rows.

Utterances of one dialogue are alike, so resampling rows makes intervals too narrow.
With few groups (below about 20) a percentile interval is itself somewhat too narrow.
"""

import dataclasses

import numpy as np

from mer_jax.errors import InputError
from mer_jax.evaluation.additive import additive
from mer_jax.evaluation.predictions import Predictions

CELLS_AT_ONCE = 4_000_000


@dataclasses.dataclass(frozen=True)
class Difference:
    """a - b on the same rows, its interval, and a two-sided bootstrap p-value."""

    value: float
    low: float
    high: float
    p: float


def bootstrap_interval(
    metric: str,
    predictions: Predictions,
    groups: np.ndarray,
    n: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> tuple[float, float]:
    """The central `level` of the metric over `n` resamples of whole groups.

    groups: [rows] group name of each row. The same groups and seed draw the same
    resamples. Efron & Tibshirani, An Introduction to the Bootstrap, 1993, ch. 13.
    Raises InputError for an unknown metric or fewer than two groups.
    """
    return _central(resampled(metric, predictions, groups, n, seed), level)


def paired_difference(
    metric: str,
    a: Predictions,
    b: Predictions,
    groups: np.ndarray,
    n: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> Difference:
    """metric(a) - metric(b), both computed on the same resamples of whole groups.

    p = 2 min(P(d <= 0), P(d >= 0)) with one added to each count. Raises InputError where
    the rows of a and b differ.
    """
    if not np.array_equal(a.ids, b.ids):
        raise InputError("paired difference: the two predictions hold different utterances; align them by id")
    draws = resampled(metric, a, groups, n, seed) - resampled(metric, b, groups, n, seed)
    draws = draws[np.isfinite(draws)]
    value = additive(metric)(a) - additive(metric)(b)
    tail = min((draws <= 0).sum(), (draws >= 0).sum())
    p = min(1.0, 2 * float(tail + 1) / (len(draws) + 1))
    return Difference(value, *_central(draws, level), p)


def resampled(
    metric: str, predictions: Predictions, groups: np.ndarray, n: int = 1000, seed: int = 0
) -> np.ndarray:
    """[n] values of the metric, each over as many groups as there are, drawn with replacement."""
    form = additive(metric)
    names, inverse = np.unique(groups, return_inverse=True)
    if len(names) < 2:
        raise InputError(
            f"bootstrap: all {len(groups)} rows belong to one group ({names[:1].tolist()}); set "
            "protocol.resample_by to a unit that occurs more than once"
        )
    terms = form.terms(predictions)
    sums = np.zeros((len(names), terms.shape[1]))
    np.add.at(sums, inverse, terms)
    return np.concatenate([form.finish(w @ sums) for w in _draws(len(names), n, seed)])


def _draws(groups: int, n: int, seed: int):
    """Blocks [resamples, groups] of how often each group is drawn."""
    rng = np.random.default_rng(seed)
    block = max(1, CELLS_AT_ONCE // groups)
    for start in range(0, n, block):
        size = min(block, n - start)
        chosen = rng.integers(0, groups, (size, groups)) + groups * np.arange(size)[:, None]
        yield np.bincount(chosen.ravel(), minlength=size * groups).reshape(size, groups).astype(np.float64)


def _central(draws: np.ndarray, level: float) -> tuple[float, float]:
    """Percentiles of the defined draws; NaN, NaN where the score is never defined."""
    draws = draws[np.isfinite(draws)]
    if len(draws) == 0:
        return np.nan, np.nan
    low, high = np.percentile(draws, [50 * (1 - level), 50 * (1 + level)])
    return float(low), float(high)
