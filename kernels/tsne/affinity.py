"""Calibration by XLA: blocks of whole rows."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from kernels.tsne.blocks import by_rows, own, part, split, squared_distances
from kernels.tsne.halley import FAR, Solved, kept, normalized, solve, weighed
from kernels.tsne.reference import excluded_neighbors
from kernels.tsne.results import Conditional, PointConditional

BLOCK = 2**15  # pairs at a time: all that a pass computes stays in the second-level cache


def calibrate(distances: Any, perplexity: Any, neighbors: Any, weights: Any) -> Conditional:
    """Rows of given distances; see `api.calibrate`."""
    n, k = distances.shape
    _, rows = split(n, BLOCK // k)

    def block(first: Any) -> Any:
        near = part(neighbors, first, rows)
        held = rows_held(part(distances, first, rows), own(first, rows), near, weights)
        return conditional(held, solve(held, perplexity))

    return by_rows(block, n, rows)


def calibrate_points(points: Any, perplexity: Any, weights: Any) -> PointConditional:
    """Rows of all points, whose distances are computed block by block; see `api.calibrate_points`."""
    n = points.shape[0]
    _, rows = split(n, BLOCK // n)

    def block(first: Any) -> Any:
        distances = squared_distances(part(points, first, rows), points)
        return solve(rows_held(distances, own(first, rows), None, weights), perplexity)

    return point_conditional(points, by_rows(block, n, rows))


def at_precisions(points: Any, beta: Any, weights: Any) -> PointConditional:
    """All points at given beta, block by block; see `api.at_precisions`."""
    n = points.shape[0]
    _, rows = split(n, BLOCK // n)

    def block(first: Any) -> Any:
        distances = squared_distances(part(points, first, rows), points)
        held = rows_held(distances, own(first, rows), None, weights)
        return normalized(held, part(beta, first, rows))

    return point_conditional(points, by_rows(block, n, rows))


def point_conditional(points: Any, solved: Solved) -> PointConditional:
    """Of all rows."""
    return PointConditional(points, solved.beta, solved.shift, jnp.log(solved.total), solved.feasible)


def conditional(rows: "Held", solved: Solved) -> Conditional:
    """p of whole rows."""
    beta, shift, total = (x[:, None] for x in (solved.beta, solved.shift, solved.total))
    terms = kept(rows.distances, weighed(jnp.exp(-beta * (rows.distances - shift)), rows.weights))
    return Conditional(terms / total, solved.beta, solved.feasible)


@dataclasses.dataclass(frozen=True)
class Held:
    """Whole rows, [rows, k]; weights [1, k], [rows, k] or None."""

    distances: Any
    weights: Any

    def sums(self, terms: Callable, *of_rows: Any) -> tuple[Any, ...]:
        return tuple(x.sum(1) for x in self._over(terms, of_rows))

    def least(self, term: Callable, *of_rows: Any) -> Any:
        return self._over(term, of_rows).min(1)

    def scaled(self, shift: Any, scale: Any) -> "Held":
        moved = self._over(lambda d, w, shift, scale: (d - shift) / scale, (shift, scale))
        return Held(jnp.where(self.distances < FAR, moved, FAR), self.weights)

    def number(self, value: float) -> Any:
        return jnp.full(self.distances.shape[:1], value, self.distances.dtype)

    def some(self, of_rows: Any) -> Any:
        return of_rows.any()

    def _over(self, terms: Callable, of_rows: Any) -> Any:
        return terms(self.distances, self.weights, *(x[:, None] for x in of_rows))


def rows_held(distances: Any, numbers: Any, neighbors: Any, weights: Any) -> Held:
    """The rows of these numbers, of neighbours or all; infinite where an entry is left out."""
    if neighbors is None:
        excluded = numbers[:, None] == jnp.arange(distances.shape[1], dtype=jnp.int32)[None, :]
        mass = None if weights is None else weights[None, :]
    else:
        excluded = excluded_neighbors(neighbors, numbers)
        mass = None if weights is None else weights[neighbors]
    return Held(jnp.where(excluded, jnp.inf, distances), mass)
