"""The definition of t-SNE's affinities and divergence, all pairs materialised: what the kernels are held to."""

from typing import Any

import jax
import jax.numpy as jnp
from jax.scipy.special import xlogy
from jaxtyping import Array, Bool, Float, Int

from kernels.tsne.results import Conditional, DenseJoint, PointConditional, SparseJoint

BISECTIONS = 64
TIED = 4  # rounding errors of a distance within which another is equal to it
VANISHED = 100.0  # exp(-VANISHED) counts as nothing


def accumulator(dtype: Any) -> Any:
    """The type that sums are kept in: float64 for float64, float32 for everything narrower."""
    return jnp.float64 if dtype == jnp.float64 else jnp.float32


def squared_distances(points: Float[Array, "n d"]) -> Float[Array, "n n"]:
    """D_ij = |x_i - x_j|^2."""
    return jnp.square(points[:, None, :] - points[None, :, :]).sum(-1)


def excluded_neighbors(neighbors: Int[Array, "#n k"], rows: Int[Array, " n"]) -> Bool[Array, "n k"]:
    """Entries that are no neighbour: the row itself, and negative numbers, which fill short rows."""
    return (neighbors < 0) | (neighbors == rows[:, None])


def conditional(
    distances: Float[Array, "n k"],
    beta: Float[Array, " n"],
    weights: Float[Array, "n k"],
    allowed: Bool[Array, "n k"],
) -> Float[Array, "n k"]:
    """p_{j|i} = w_ij exp(-beta_i D_ij) / sum_k w_ik exp(-beta_i D_ik) over the allowed; else 0."""
    least = jnp.min(distances, axis=1, where=allowed, initial=jnp.inf)[:, None]
    moved = jnp.where(allowed, distances - least, 0)
    terms = jnp.where(allowed, weights * jnp.exp(-beta[:, None] * moved), 0)
    total = terms.sum(1, keepdims=True)
    return terms / jnp.where(total > 0, total, 1)


def entropy(
    probabilities: Float[Array, "n k"], weights: Float[Array, "n k"] | None = None
) -> Float[Array, " n"]:
    """H_i = -sum_j p_{j|i} log(p_{j|i} / w_j), nats: that of rows repeated w_j times."""
    copies = 0 if weights is None else probabilities * jnp.log(weights)
    return (copies - xlogy(probabilities, probabilities)).sum(1)


def perplexity(
    probabilities: Float[Array, "n k"], weights: Float[Array, "n k"] | None = None
) -> Float[Array, " n"]:
    """exp(H_i): how many rows, copies counted, row i has as neighbours in effect."""
    return jnp.exp(entropy(probabilities, weights))


def calibrate(
    distances: Float[Array, "n k"],
    perplexity_wanted: Any,
    neighbors: Int[Array, "n k"] | None,
    weights: Float[Array, " n"] | None,
) -> Conditional:
    """beta by bisection of log beta; where no beta reaches the perplexity, the closest.

    It lies between the weight of the nearest others, those at equal distance (beta -> infinity), and
    that of all others (beta -> 0): where it is not strictly between, no beta reaches it.
    """
    n = distances.shape[0]
    rows = jnp.arange(n, dtype=jnp.int32)
    wide = jnp.arange(n, dtype=jnp.int32)[None, :] if neighbors is None else neighbors
    allowed = jnp.broadcast_to(~excluded_neighbors(wide, rows), distances.shape)
    mass = jnp.ones_like(distances) if weights is None else jnp.broadcast_to(weights[wide], distances.shape)
    least = jnp.min(distances, axis=1, where=allowed, initial=jnp.inf)[:, None]
    moved = jnp.where(allowed, distances - least, jnp.inf)
    tied = moved <= TIED * jnp.finfo(distances.dtype).eps * least
    nearest, total = jnp.sum(mass, 1, where=tied), jnp.sum(mass, 1, where=allowed)
    feasible = (nearest < perplexity_wanted) & (perplexity_wanted < total)
    gap = jnp.min(moved, axis=1, where=~tied, initial=jnp.inf)
    closest = jnp.where(perplexity_wanted >= total, 0, VANISHED / gap)
    mean = jnp.mean(moved, axis=1, where=allowed)

    def halve(_: Any, bracket: Any) -> Any:
        low, high = bracket
        middle = (low + high) / 2
        found = entropy(conditional(distances, jnp.exp(middle), mass, allowed), mass)
        above = found > jnp.log(perplexity_wanted)
        return jnp.where(above, middle, low), jnp.where(above, high, middle)

    bracket = (-30 - jnp.log(mean), 30 - jnp.log(mean))
    low, high = jax.lax.fori_loop(0, BISECTIONS, halve, bracket)
    beta = jnp.where(feasible, jnp.exp((low + high) / 2), closest)
    return Conditional(conditional(distances, beta, mass, allowed), beta, feasible)


def calibrate_points(
    points: Float[Array, "n d"], perplexity_wanted: Any, weights: Float[Array, " n"] | None
) -> PointConditional:
    """The same of all points, as what recomputes it."""
    _, beta, feasible = calibrate(squared_distances(points), perplexity_wanted, None, weights)
    return at_precisions(points, beta, weights)._replace(feasible=feasible)


def at_precisions(
    points: Float[Array, "n d"], beta: Float[Array, " n"], weights: Float[Array, " n"] | None
) -> PointConditional:
    """All points at these beta, whatever their perplexity then is."""
    distances = squared_distances(points)
    others = ~jnp.eye(len(points), dtype=bool)
    shift = jnp.min(distances, axis=1, where=others, initial=jnp.inf)
    terms = jnp.exp(-beta[:, None] * (distances - shift[:, None]))
    mass = jnp.ones_like(terms) if weights is None else jnp.broadcast_to(weights[None, :], terms.shape)
    total = jnp.sum(mass * terms, 1, where=others)
    return PointConditional(points, beta, shift, jnp.log(total), jnp.ones(len(points), bool))


def spread(values: Float[Array, "n k"], neighbors: Int[Array, "n k"]) -> Float[Array, "n n"]:
    """Rows over neighbours as rows over all; entries that are no neighbour hold 0."""
    n = values.shape[0]
    rows = jnp.broadcast_to(jnp.arange(n, dtype=jnp.int32)[:, None], neighbors.shape)
    return jnp.zeros((n, n), values.dtype).at[rows, neighbors].add(values)


def symmetric(
    probabilities: Float[Array, "n n"], weights: Float[Array, " n"] | None = None
) -> Float[Array, "n n"]:
    """P_ij = (w_i p_{j|i} + w_j p_{i|j}) / 2 sum w, of weights 1 (P + P^T) / 2n."""
    mass = probabilities if weights is None else weights[:, None] * probabilities
    return (mass + mass.T) / (2 * mass.sum())


def student(
    embedding: Float[Array, "n d"], weights: Float[Array, " n"] | None, degrees_of_freedom: float
) -> Float[Array, "n n"]:
    """q_ij = w_i w_j (1 + |y_i - y_j|^2 / v)^(-(v + 1) / 2) / Z over all pairs, the diagonal 0."""
    v = degrees_of_freedom
    terms = (1 + squared_distances(embedding) / v) ** (-(v + 1) / 2)
    if weights is not None:
        terms *= weights[:, None] * weights[None, :]
    terms = jnp.where(jnp.eye(len(embedding), dtype=bool), 0, terms)
    return terms / terms.sum()


def divergence(
    embedding: Float[Array, "n d"],
    joint: Float[Array, "n n"],
    weights: Float[Array, " n"] | None = None,
    degrees_of_freedom: float = 1.0,
    exaggeration: Any = 1.0,
) -> Float[Array, ""]:
    """KL(P || Q) = sum_ij P_ij log(P_ij / Q_ij), its attraction multiplied by the exaggeration:

    sum_ij P_ij log(P_ij / w_i w_j) + a (v + 1) / 2 sum_ij P_ij log(1 + d_ij^2 / v) + log Z
    """
    v, q = degrees_of_freedom, student(embedding, weights, degrees_of_freedom)
    stretched = (v + 1) / 2 * (joint * jnp.log1p(squared_distances(embedding) / v)).sum()
    ratio = jnp.where(joint > 0, joint / jnp.where(q > 0, q, 1), 1)
    return xlogy(joint, ratio).sum() + (exaggeration - 1) * stretched


def gradient(
    embedding: Float[Array, "n d"],
    joint: Float[Array, "n n"],
    weights: Float[Array, " n"] | None = None,
    degrees_of_freedom: float = 1.0,
    exaggeration: Any = 1.0,
) -> Float[Array, "n d"]:
    """dC/dy_i = 2 (v + 1) / v sum_j (a p_ij - q_ij) (1 + d_ij^2 / v)^-1 (y_i - y_j)."""
    v, q = degrees_of_freedom, student(embedding, weights, degrees_of_freedom)
    force = (exaggeration * joint - q) / (1 + squared_distances(embedding) / v)
    differences = embedding[:, None, :] - embedding[None, :, :]
    return 2 * (v + 1) / v * (force[:, :, None] * differences).sum(1)


def all_pairs(joint: Any) -> Float[Array, "n n"]:
    """P of any kind of joint affinities, materialised."""
    if isinstance(joint, DenseJoint):
        return joint.values
    if isinstance(joint, SparseJoint):
        mass = spread(joint.values, joint.neighbors)
        return (mass + mass.T) / 2
    points, beta, shift, log_total, _ = joint.rows
    moved = squared_distances(points) - shift[:, None]
    rows = jnp.exp(-beta[:, None] * moved - log_total[:, None])
    rows = jnp.where(jnp.eye(len(points), dtype=bool), 0, rows)
    return symmetric(rows if joint.weights is None else rows * joint.weights[None, :], joint.weights)


def kl_divergence(embedding: Any, joint: Any, degrees_of_freedom: float, exaggeration: Any) -> Any:
    """See `api.kl_divergence`."""
    wide = embedding.astype(accumulator(embedding.dtype))
    return divergence(wide, all_pairs(joint), joint.weights, degrees_of_freedom, exaggeration)
