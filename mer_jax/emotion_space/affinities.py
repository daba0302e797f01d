"""The affinities a map is fitted to: of all pairs up to a few thousand distinct rows, of near ones beyond."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from kernels.tsne import SparseJoint, calibrate, joint
from mer_jax.emotion_space.neighbors import neighbor_graph

ALL_PAIRS = 8_192  # rows up to which P has all pairs
NEIGHBORS = 3  # of each row per unit of perplexity (van der Maaten 2014)


@dataclasses.dataclass(frozen=True)
class Affinities:
    """Calibrated rows and their joint affinities.

    joint: P, of all pairs or over a graph. beta: [n] precisions; feasible: [n] rows in which one reaches the perplexity.
    numbers, probabilities: [n, k] of the graph, and p_{j|i} over it; None with all pairs.
    exact: whether the graph holds the nearest others for certain.
    """

    joint: Any
    beta: np.ndarray
    feasible: np.ndarray
    numbers: np.ndarray | None = None
    probabilities: np.ndarray | None = None
    exact: bool = True


def affinities(
    rows: np.ndarray,
    perplexity: float,
    weights: np.ndarray | None = None,
    seed: int = 0,
    tick: Callable[[float], None] = lambda share: None,
) -> Affinities:
    """P of distinct rows [n, d], weighted by [n] or evenly; `tick` is told the share done of a graph."""
    n = len(rows)
    mass: Any = None if weights is None else jnp.asarray(weights, jnp.float32)
    if n <= ALL_PAIRS:
        found = _all_pairs(jnp.asarray(rows, jnp.float32), jnp.float32(perplexity), mass)
        return Affinities(found[0], np.asarray(found[1]), np.asarray(found[2]))
    graph = neighbor_graph(rows, min(int(NEIGHBORS * perplexity), n - 1), seed, tick)
    numbers = jnp.asarray(graph.numbers)
    near = _calibrated(jnp.asarray(graph.distances), jnp.float32(perplexity), numbers, mass)
    whole: SparseJoint = _joined(near, numbers, mass)
    beta, feasible, probabilities = map(np.asarray, (near.beta, near.feasible, near.probabilities))
    return Affinities(whole, beta, feasible, graph.numbers, probabilities, graph.exact)


@jax.jit
def _all_pairs(rows: Any, perplexity: Any, weights: Any) -> Any:
    distances: Any = sum(jnp.square(x[:, None] - x[None, :]) for x in rows.T)
    calibrated = calibrate(distances, perplexity, weights=weights)
    return joint(calibrated, weights=weights), calibrated.beta, calibrated.feasible


@jax.jit
def _calibrated(distances: Any, perplexity: Any, numbers: Any, weights: Any) -> Any:
    return calibrate(distances, perplexity, neighbors=numbers, weights=weights)


@jax.jit
def _joined(near: Any, numbers: Any, weights: Any) -> Any:
    return joint(near, neighbors=numbers, weights=weights)
