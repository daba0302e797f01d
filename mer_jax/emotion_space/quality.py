"""How faithful a map is: neighbourhoods kept, divergence, classes beside their own kind, smooth paths."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.manifold import trustworthiness as sklearn_trustworthiness
from sklearn.neighbors import KNeighborsClassifier

from kernels.tsne import calibrate, joint, kl_divergence
from mer_jax.data.randomness import stream

NEIGHBORS = 12  # T(12), as van der Maaten 2009 reports
ROWS = 5_000  # rows of which at most neighbourhoods are compared
PATHS, FRAMES = 10_000, 60

Transform = Callable[[np.ndarray], np.ndarray]


def trustworthiness(rows: np.ndarray, places: np.ndarray, neighbors: int = NEIGHBORS) -> float:
    """T(k) in [0, 1] (Venna and Kaski 2001): 1 where a place's neighbours are all its row's neighbours.

    T(k) = 1 - 2 / (n k (2n - 3k - 1)) sum_i sum_{j in U_k(i)} (r(i, j) - k)

    U_k(i): neighbours on the map that are none among the rows; r: their rank among the rows. Computed by
    scikit-learn, of 5,000 rows drawn with a fixed seed where there are more; k at most n / 2 - 1.
    """
    rows, places = _sample(rows, places)
    return float(
        sklearn_trustworthiness(rows, places, n_neighbors=max(1, min(neighbors, len(rows) // 2 - 1)))
    )


def continuity(rows: np.ndarray, places: np.ndarray, neighbors: int = NEIGHBORS) -> float:
    """C(k): trustworthiness with rows and places exchanged; 1 where a row's neighbours stay together."""
    return trustworthiness(places, rows, neighbors)


def nearest_neighbor_accuracy(
    places: np.ndarray, labels: np.ndarray, new_places: np.ndarray, new_labels: np.ndarray, neighbors: int = 1
) -> float:
    """Accuracy of a k-NN classifier of places, fitted to the first and asked of the second."""
    return float(KNeighborsClassifier(neighbors).fit(places, labels).score(new_places, new_labels))


def divergence(rows: np.ndarray, places: np.ndarray, perplexity: float) -> float:
    """KL(P || Q) in nats of rows among themselves, all pairs, v = max(1, dimensions - 1)."""
    v = float(max(1, places.shape[1] - 1))

    def value(rows: Any, places: Any) -> Any:
        distances: Any = sum(jnp.square(x[:, None] - x[None, :]) for x in rows.T)
        return kl_divergence(places, joint(calibrate(distances, perplexity)), degrees_of_freedom=v)

    return float(jax.jit(value)(jnp.asarray(rows, jnp.float32), jnp.asarray(places, jnp.float32)))


def longest_steps(
    transform: Transform, rows: np.ndarray, *, paths: int = PATHS, frames: int = FRAMES, seed: int = 0
) -> np.ndarray:
    """[paths] longest step between two frames of a straight path, as a share of the map's radius.

    A path leads from one row to another in `frames` equal steps; the radius is the mean distance of the
    rows' places to their centre. Even speed over a path as long as the radius would be 1 / frames.
    """
    rng = stream(seed, "paths")
    ends = np.array([rng.choice(len(rows), 2, replace=False) for _ in range(paths)])
    share = np.linspace(0, 1, frames, dtype=np.float32)[None, :, None]
    states = rows[ends[:, 0], None, :] * (1 - share) + rows[ends[:, 1], None, :] * share
    places = transform(states.reshape(-1, rows.shape[1])).reshape(paths, frames, -1)
    own = transform(rows)
    radius = np.linalg.norm(own - own.mean(axis=0, keepdims=True), axis=1).mean()
    return np.linalg.norm(np.diff(places, axis=1), axis=2).max(axis=1) / radius


def between(rows: np.ndarray, *, noise: float, low: float, high: float, seed: int = 0) -> np.ndarray:
    """States near the observed ones: each row with Gaussian noise added, clipped to [low, high]."""
    shaken = rows + noise * stream(seed, "between").standard_normal(rows.shape)
    return np.clip(shaken, low, high).astype(np.float32)


def _sample(rows: np.ndarray, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if len(rows) <= ROWS:
        return rows, places
    chosen = stream(0, "quality").choice(len(rows), ROWS, replace=False)
    return rows[chosen], places[chosen]
