"""Joint affinities P of all pairs: dense, over the edges of a neighbour graph, or streamed from points."""

from typing import Any

import jax
import jax.numpy as jnp
from jax.scipy.special import xlogy
from jaxtyping import Array, Float

from kernels.tsne.blocks import by_rows, own, part, split, squared_distances
from kernels.tsne.reference import excluded_neighbors
from kernels.tsne.results import Conditional, DenseJoint, PointConditional, SparseJoint, StreamedJoint

BLOCK = 2**17  # pairs at a time
EDGES = 2**20  # comparisons at a time, in search of the edges that point back


def dense(conditional: Conditional, weights: Any) -> DenseJoint:
    """See `api.joint`."""
    mass = conditional.probabilities if weights is None else weights[:, None] * conditional.probabilities
    values = (mass + mass.T) / (2 * mass.sum(1).sum())
    return DenseJoint(values, weights, _terms(values, weights, weights).sum(1).sum())


def sparse(conditional: Conditional, neighbors: Any, weights: Any) -> SparseJoint:
    """See `api.joint`."""
    n, k = neighbors.shape
    mass = conditional.probabilities
    rows = jnp.arange(n, dtype=jnp.int32)
    mass = jnp.where(excluded_neighbors(neighbors, rows), 0, mass)
    mass = mass if weights is None else weights[:, None] * mass
    values = mass / mass.sum(1).sum()
    _, height = split(n, EDGES // (k * k))

    def block(first: Any) -> Any:
        numbers, near, there = own(first, height), part(neighbors, first, height), part(values, first, height)
        back = jnp.sum(values[near], axis=2, where=neighbors[near] == numbers[:, None, None])
        both = (there + back) / 2
        terms = _terms(both, part(weights, first, height), weights, near)
        # An edge without one that points back stands for both directions.
        sides = jnp.where(back > 0, 1, 2).astype(terms.dtype)
        return jnp.sum(sides * terms, 1, where=there > 0)

    return SparseJoint(neighbors, values, weights, by_rows(block, n, height).sum())


def streamed(rows: PointConditional, weights: Any) -> StreamedJoint:
    """See `api.joint`."""
    n = rows.points.shape[0]
    _, height = split(n, BLOCK // n)

    def block(first: Any) -> Any:
        values = affinities(rows, weights, first, height)
        return _terms(values, part(weights, first, height), weights).sum(1)

    return StreamedJoint(rows, weights, by_rows(block, n, height).sum())


def affinities(rows: PointConditional, weights: Any, first: Any, height: int) -> Float[Array, "height n"]:
    """P_ij of a block of rows to all points, the diagonal 0."""
    n = rows.points.shape[0]
    here: Any = jax.tree.map(lambda x: part(x, first, height), rows)
    d = squared_distances(here.points, rows.points)
    there = (here.beta[:, None], here.shift[:, None], here.log_total[:, None])
    back = (rows.beta[None, :], rows.shift[None, :], rows.log_total[None, :])
    values = both_ways(d, there, back)
    if weights is not None:
        values *= part(weights, first, height)[:, None] * weights[None, :]
    diagonal = own(first, height)[:, None] == jnp.arange(n, dtype=jnp.int32)[None, :]
    total = n if weights is None else weights.sum()
    return jnp.where(diagonal, 0, values / (2 * total))


def both_ways(d: Any, there: Any, back: Any) -> Any:
    """p_{j|i} / w_j + p_{i|j} / w_i of pairs at squared distance d, of beta, shift and log_total of each side."""
    beta, shift, log_total = there
    forth = jnp.exp(-beta * (d - shift) - log_total)
    beta, shift, log_total = back
    return forth + jnp.exp(-beta * (d - shift) - log_total)


def _terms(values: Any, left: Any, weights: Any, neighbors: Any = None) -> Any:
    """P_ij log(P_ij / (w_i w_j)), j all rows or the neighbours."""
    terms = xlogy(values, values)
    if weights is None:
        return terms
    right = jnp.log(weights)
    right = right[None, :] if neighbors is None else right[neighbors]
    return terms - values * (jnp.log(left)[:, None] + right)
