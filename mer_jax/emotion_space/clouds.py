"""Clouds of emotion states: how many dimensions one fills, how far two are apart, where on a map they lie."""

import dataclasses
from collections.abc import Callable

import numpy as np
from scipy.spatial.distance import cdist

MOST_ROWS = 2000
HALVINGS = 20
CELLS = 20


def effective_rank(states: np.ndarray) -> float:
    """exp(-sum_k p_k log p_k), p the eigenvalues of the covariance of `states` [n, E], normalised to 1.

    The effective rank of Roy and Vetterli (EUSIPCO 2007) of the covariance matrix, whose singular
    values its eigenvalues are: between 1 (a line) and E (a ball), in the units of the intensities;
    0 for a constant. Shares are of variance; taken of the centred states themselves, whose singular
    values are the roots of these, it would be larger and hide more of a collapse.
    """
    values = np.linalg.eigvalsh(np.cov(states.T).reshape(states.shape[1], -1)).clip(0)
    largest = values.max()
    if largest <= np.finfo(np.float32).eps ** 2 * np.square(states).mean():
        return 0.0
    shares = values[values > 1e-12 * largest] / values.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))


@dataclasses.dataclass(frozen=True)
class EnergyDistance:
    """distance: between predictions of one half and the truth of the other; reference: between the
    truths of the two halves; ratio: of the two, 1 for predictions spread as the truth is. None
    where the truth is constant."""

    distance: float
    reference: float
    ratio: float | None


def energy_distance(
    truth: np.ndarray, predicted: np.ndarray, groups: np.ndarray | None = None, seed: int = 0
) -> EnergyDistance | None:
    """2 E|X - Y| - E|X - X'| - E|Y - Y'| (Szekely and Rizzo, J. Stat. Plan. Inference 143, 2013).

    A mean over 20 random halvings by whole `groups`; of more than 2,000 rows so many are drawn.
    Both distances are of samples of one size with pairs (i, i) counted, so that the ratio is free
    of the bias that has. It asks for the same spread, which a regression never has: its
    predictions are drawn to the mean. None with less than two groups.
    """
    random = np.random.default_rng(seed)
    rows = np.arange(len(truth))
    if len(rows) > MOST_ROWS:
        rows = np.sort(random.choice(rows, MOST_ROWS, replace=False))
    truth, predicted = truth[rows], predicted[rows]
    names, group = np.unique(rows if groups is None else groups[rows], return_inverse=True)
    if len(names) < 2:
        return None
    within, between = cdist(truth, truth), cdist(predicted, truth)
    predictions = cdist(predicted, predicted)
    sums = np.zeros(2)
    for _ in range(HALVINGS):
        chosen = np.isin(group, random.permutation(len(names))[: len(names) // 2])
        a, b = chosen / chosen.sum(), ~chosen / (~chosen).sum()
        spread = b @ within @ b
        sums += (
            2 * a @ between @ b - a @ predictions @ a - spread,
            2 * a @ within @ b - a @ within @ a - spread,
        )
    distance, reference = sums / HALVINGS
    return EnergyDistance(distance, reference, distance / reference if reference > 0 else None)


@dataclasses.dataclass(frozen=True)
class Reach:
    """cells: of a 20 x 20 grid over the map, those that its states occupy. by_predictions, by_truth: the
    share of them in which a prediction, or a true state of the same rows, lies."""

    cells: int
    by_predictions: float
    by_truth: float


def reach(
    transform: Callable[[np.ndarray], np.ndarray],
    truth: np.ndarray,
    predicted: np.ndarray,
    map_states: np.ndarray | None = None,
) -> Reach:
    """How much of the map of `map_states` (None: of the truth) predictions come to; `transform` takes
    states [n, E] to [n, 2]."""
    of_map = truth if map_states is None else map_states
    placed = [np.asarray(transform(states), np.float64) for states in (of_map, predicted, truth)]
    low, high = placed[0].min(axis=0), placed[0].max(axis=0)
    step = np.maximum(high - low, np.finfo(np.float64).tiny) / CELLS
    occupied, reached, true = (_cells(points, low, high, step) for points in placed)
    shares = (len(np.intersect1d(occupied, found)) / len(occupied) for found in (reached, true))
    return Reach(len(occupied), *shares)


def _cells(points: np.ndarray, low: np.ndarray, high: np.ndarray, step: np.ndarray) -> np.ndarray:
    """Numbers of the cells in which points lie; those beside the map are in none."""
    inside = ((points >= low) & (points <= high)).all(axis=1)
    column, row = np.minimum((points[inside] - low) / step, CELLS - 1).astype(int).T
    return np.unique(row * CELLS + column)
