"""Which emotions predictions tell apart, and in how many dimensions.

Whether an emotion is present (see `presence`) is to be seen from its predicted intensity: the
area under the ROC curve, .5 for none. A model that knows one thing alone, such as how happy
somebody is, can reach a good area for every emotion, by predicting less of each as happiness
rises; so the strongest axis is taken out of the predictions, and the areas are taken again.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
import scipy.stats

FEWEST = 5
HARDLY_ANYONE = 0.1
TOLD = 0.6
TOLD_BEYOND = 0.55
SURE = 3.0
CURVES = range(2, 6)
NOTHING_LEFT = 1e-3


@dataclasses.dataclass(frozen=True)
class Separation:
    """auc: P(score of a present one > score of an absent one), ties half; None where fewer than five rows
    are of one kind. error: its standard error, over groups."""

    auc: float | None
    error: float | None

    def told(self, least: float) -> bool:
        """Whether the area reaches `least` and lies three standard errors above .5."""
        if self.auc is None or self.error is None:
            return False
        return self.auc >= least and self.auc - SURE * self.error > 0.5


def separation(scores: np.ndarray, present: np.ndarray, groups: np.ndarray | None = None) -> Separation:
    """The area under the ROC curve of `scores` [n] for `present` [n] bool.

    Its standard error is that of DeLong et al. (Biometrics 44, 1988) with rows summed within
    `groups` (Obuchowski, Biometrics 53, 1997): segments of a video are no independent witnesses.
    """
    counts = present.sum(), (~present).sum()
    if min(counts) < FEWEST:
        return Separation(None, None)
    everyone = scipy.stats.rankdata(scores)
    beaten = np.empty(len(scores))
    for kind, others in ((present, counts[1]), (~present, counts[0])):
        beaten[kind] = (everyone[kind] - scipy.stats.rankdata(scores[kind])) / others
    auc = beaten[present].mean()
    share = np.where(present, beaten, 1 - beaten) - auc
    influence = share / np.where(present, *counts)
    _, group = np.unique(np.arange(len(scores)) if groups is None else groups, return_inverse=True)
    sums = np.bincount(group, influence)
    error = np.sqrt(np.square(sums).sum() * len(sums) / max(len(sums) - 1, 1))
    return Separation(float(auc), float(error))


@dataclasses.dataclass(frozen=True)
class Dimensions:
    """What predictions tell, axis by axis.

    axis: [n] the strongest axis of the predictions, zeros where they are constant.
    direct: a `Separation` per emotion by its predicted intensity.
    beyond: the same with the strongest axis taken out.
    count: how many axes can be taken out before no emotion is told apart.
    """

    axis: np.ndarray
    direct: tuple[Separation, ...]
    beyond: tuple[Separation, ...]
    count: int


def presence(truth: np.ndarray) -> np.ndarray:
    """[n, E] bool, where each emotion is present: above 0, or, of an emotion that fewer than a tenth of the
    rows are without (intensities of a slider hardly ever are 0), above its median."""
    everywhere = (truth <= 0).mean(axis=0) < HARDLY_ANYONE
    return truth > np.where(everywhere, np.median(truth, axis=0), 0.0)


def dimensions(truth: np.ndarray, predicted: np.ndarray, groups: np.ndarray | None = None) -> Dimensions:
    """Takes axis after axis out of `predicted` [n, E] until it tells nothing of the `presence` of `truth` [n, E].

    An axis is the first canonical variate of what is left of the predictions with the truth
    (Hotelling 1936), so that noise in the predictions, however it is shared out, does not
    count as a dimension. With it go its curves, polynomials of its ranks up to the fifth degree:
    a bent line is one dimension.
    """
    present, left = presence(truth), predicted
    spread = predicted.std(axis=0)
    stages, axes, count = [], [], None
    for number in range(truth.shape[1] + 1):
        stages.append(_separations(left, present, spread, groups))
        least = TOLD_BEYOND if number else TOLD
        if count is None and not any(one.told(least) for one in stages[-1]):
            count = number
        if count is not None and number >= 1:
            break
        axes.append(strongest_axis(left, truth))
        left = _without(left, axes[-1])
    return Dimensions(axes[0], stages[0], stages[1], truth.shape[1] if count is None else count)


def strongest_axis(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """[n] the linear combination of predictions that correlates most with one of the truth; zeros
    where either is constant."""
    bases = [_basis(values) for values in (predicted, truth)]
    if min(basis.shape[1] for basis in bases) == 0:
        return np.zeros(len(truth))
    mixture, _, _ = np.linalg.svd(bases[0].T @ bases[1])
    return bases[0] @ mixture[:, 0]


def _separations(
    scores: np.ndarray, present: np.ndarray, spread: np.ndarray, groups: np.ndarray | None
) -> tuple[Separation, ...]:
    """Of every emotion; a score of which next to nothing is left is rounding, and ties everywhere."""
    kept = np.where(scores.std(axis=0) > NOTHING_LEFT * spread, scores, 0)
    return tuple(separation(s, p, groups) for s, p in zip(kept.T, present.T, strict=True))


def _basis(values: np.ndarray) -> np.ndarray:
    """Orthonormal columns that span the centred columns of `values`."""
    scale = values.std(axis=0)
    varying = scale > 1e-6 * max(scale.max(), 1e-12)
    centred = (values - values.mean(axis=0))[:, varying] / scale[varying]
    left, singular, _ = np.linalg.svd(centred, full_matrices=False)
    return left[:, singular > 1e-4 * singular.max(initial=0)] if centred.size else centred


def _without(values: np.ndarray, axis: np.ndarray) -> np.ndarray:
    """What a regression on the axis and on polynomials of its ranks leaves of each column."""
    ranks = 2 * (scipy.stats.rankdata(axis) - 0.5) / len(axis) - 1
    curves = np.polynomial.legendre.legvander(ranks, max(CURVES))[:, list(CURVES)]
    columns = np.column_stack([np.ones(len(axis)), axis * np.sqrt(len(axis)), curves])
    span, singular, _ = np.linalg.svd(columns, full_matrices=False)
    span = span[:, singular > 1e-8 * singular[0]]
    return values - span @ (span.T @ values)


def names_told(found: Sequence[Separation], names: Sequence[str], least: float) -> tuple[str, ...]:
    """The emotions that are told apart."""
    return tuple(name for name, one in zip(names, found, strict=True) if one.told(least))
