"""The public functions: `calibrate`, `calibrate_points`, `at_precisions`, `joint`, `kl_divergence`.

    rows = calibrate(distances, perplexity=30)           # or calibrate_points(points, perplexity=30)
    value, gradient = jax.value_and_grad(kl_divergence)(embedding, joint(rows))

Sources: van der Maaten and Hinton 2008 (affinities, perplexity, gradient); van der Maaten 2009
(parametric map; degrees of freedom); van der Maaten 2014 (neighbours only).
"""

import importlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from kernels.tsne import affinity, divergence, joint_affinities, pallas, reference
from kernels.tsne.results import Conditional, DenseJoint, PointConditional, SparseJoint, StreamedJoint

IMPLEMENTATIONS = ("reference", "xla", "pallas")
OF_DIVERGENCE = (*IMPLEMENTATIONS, "native")


def calibrate(
    distances: Array | np.ndarray,
    perplexity: Any,
    *,
    neighbors: Array | np.ndarray | None = None,
    weights: Array | np.ndarray | None = None,
    implementation: str | None = None,
) -> Conditional:
    """Affinities of each row to others, its beta such that their perplexity is the one asked for.

        p_{j|i} = w_j exp(-beta_i D_ij) / sum_{k != i} w_k exp(-beta_i D_ik)
        exp(H_i) = perplexity,   H_i = -sum_j p_{j|i} log(p_{j|i} / w_j)

    Row j of weight w_j stands for w_j copies: results are those of rows repeated so often, copies of
    row i itself left out. Perplexity counts copies; it lies between the weight of a row's nearest
    others, those at equal distance, and that of all its others. A row for which that excludes the
    perplexity asked for is not feasible and gets the closest: its nearest others alone, or all
    alike (beta 0, as where all rows are equal). Nothing is promised of a row that holds a NaN.

    Args:
        distances: squared distances, [n, n] (the diagonal is not read), or [n, k] to the neighbours.
        perplexity: a number, at least 1; traced or not.
        neighbors: the row of each of the k distances; itself and negative numbers are left out.
        weights: w, positive, [n]; None for ones.
        implementation: "reference" (materialised bisection), "xla" (blocked Halley iteration),
            "pallas" (GPU or TPU; only where it is named), or None: "xla".

    Returns:
        `Conditional`: probabilities in the shape of the distances, beta, feasible. No derivative
        is defined: they are data of the divergence. Relative error of the perplexity: 3e-6 in float32.

    Raises:
        ValueError: before compilation, where shapes, types or the implementation do not fit or the
            perplexity is below 1 or above the number of others a row has.
    """
    _check_distances(distances, neighbors)
    n, k = distances.shape
    mass = _check_weights(weights, n, distances.dtype)
    others = n - 1 if neighbors is None else k
    wanted = _check_perplexity(perplexity, others, mass, distances.dtype)
    if neighbors is not None:
        neighbors = jnp.asarray(neighbors, jnp.int32)
    chosen = _chosen(implementation, reference.calibrate, affinity.calibrate, pallas.calibrate)
    return chosen(jax.lax.stop_gradient(jnp.asarray(distances)), wanted, neighbors, mass)


def calibrate_points(
    points: Array | np.ndarray,
    perplexity: Any,
    *,
    weights: Array | np.ndarray | None = None,
    implementation: str | None = None,
) -> PointConditional:
    """The same of all points to all others with D_ij = |x_i - x_j|^2, no array of n x n ever made.

    Args:
        points: x, [n, d].
        perplexity: as in `calibrate`.
        weights: as in `calibrate`.
        implementation: as in `calibrate`; "reference" does make arrays of n x n.

    Returns:
        `PointConditional`: what recomputes the affinities.

    Raises:
        ValueError: as `calibrate`.
    """
    _check_points(points)
    n = points.shape[0]
    mass = _check_weights(weights, n, points.dtype)
    wanted = _check_perplexity(perplexity, n - 1, mass, points.dtype)
    chosen = _chosen(
        implementation, reference.calibrate_points, affinity.calibrate_points, pallas.calibrate_points
    )
    return chosen(jax.lax.stop_gradient(jnp.asarray(points)), wanted, mass)


def at_precisions(
    points: Array | np.ndarray,
    beta: Array | np.ndarray,
    *,
    weights: Array | np.ndarray | None = None,
    implementation: str | None = None,
) -> PointConditional:
    """Affinities of all points to all others at precisions that are known: nothing is calibrated.

        p_{j|i} = w_j exp(-beta_i |x_i - x_j|^2) / sum_{k != i} w_k exp(-beta_i |x_i - x_k|^2)

    What points have after they moved a little, at the cost of one pass over the pairs.

    Args:
        points: x, [n, d].
        beta: [n], 0 or more, in the inverse unit of the squared distances; as `calibrate` found them.
        weights: as in `calibrate`.
        implementation: "reference", "xla" or None: "xla".

    Returns:
        `PointConditional`, all of its rows feasible, as no perplexity is asked for.

    Raises:
        ValueError: before compilation, where shapes or types do not fit.
    """
    _check_points(points)
    n = points.shape[0]
    if beta.shape != (n,):
        raise ValueError(f"beta has shape {list(beta.shape)}; it needs one for each of the {n} rows")
    mass = _check_weights(weights, n, points.dtype)
    chosen = _chosen(implementation, reference.at_precisions, affinity.at_precisions)
    given = jnp.asarray(points), jnp.asarray(beta, points.dtype)
    return chosen(*jax.lax.stop_gradient(given), mass)


def joint(
    rows: Conditional | PointConditional,
    *,
    neighbors: Array | np.ndarray | None = None,
    weights: Array | np.ndarray | None = None,
) -> DenseJoint | SparseJoint | StreamedJoint:
    """P_ij = (w_i p_{j|i} + w_j p_{i|j}) / (2 sum w): without weights (P + P^T) / 2n.

    Args:
        rows: of `calibrate` or `calibrate_points`.
        neighbors: those given to `calibrate`, where any were. No number may occur twice in a row.
        weights: those given to it.

    Returns:
        `SparseJoint` with neighbours, [n, k]; without, `DenseJoint` ([n, n]) of `Conditional` and
        `StreamedJoint` ([n, d]) of `PointConditional`.

    Raises:
        ValueError: neighbours or weights do not fit the rows.
    """
    n = rows.beta.shape[0]
    weights = _check_weights(weights, n, rows.beta.dtype)
    if isinstance(rows, PointConditional):
        if neighbors is not None:
            raise ValueError("neighbors is given with PointConditional, which has all pairs; leave it out")
        return joint_affinities.streamed(rows, weights)
    shape = rows.probabilities.shape
    if neighbors is None:
        if shape != (n, n):
            raise ValueError(f"rows has probabilities {list(shape)}; give the neighbors that they are of")
        return joint_affinities.dense(rows, weights)
    if neighbors.shape != shape:
        raise ValueError(
            f"neighbors has shape {list(neighbors.shape)}, probabilities {list(shape)}; they are pairs"
        )
    return joint_affinities.sparse(rows, jnp.asarray(neighbors, jnp.int32), weights)


def kl_divergence(
    embedding: Array | np.ndarray,
    joint: DenseJoint | SparseJoint | StreamedJoint,
    *,
    degrees_of_freedom: float | int = 1.0,
    exaggeration: Any = 1.0,
    implementation: str | None = None,
) -> Float[Array, ""]:
    """KL(P || Q) in nats, Q Student's t with v degrees of freedom over all pairs, differentiable in y.

        q_ij = w_i w_j (1 + |y_i - y_j|^2 / v)^(-(v + 1) / 2) / Z
        dC/dy_i = 2 (v + 1) / v sum_j (a P_ij - q_ij) (1 + |y_i - y_j|^2 / v)^-1 (y_i - y_j)

    Value and gradient are computed in one pass, by blocks of rows; only the gradient is kept.

    Args:
        embedding: y, [n, d], d small.
        joint: P with its weights; dense, over edges, or streamed. A constant: no derivative reaches it.
        degrees_of_freedom: v, a Python number above 0; van der Maaten 2009 takes d - 1, at least 1.
        exaggeration: a, by which attraction is multiplied (early exaggeration); the value is then
            that of the objective whose gradient is the one above. May be traced.
        implementation: "reference" (all pairs materialised; any derivative), "xla" (first derivatives,
            reverse), "native" (the same in float32 on the CPU, built by `make native`), "pallas" (the
            same on a GPU or TPU, of at most 3 dimensions; only where it is named), or None: "native"
            where it can serve, else "xla".

    Returns:
        A scalar, in float32 at least. The gradient has the type of the embedding.

    Raises:
        ValueError: before compilation, where shapes, types, numbers or the implementation do not fit.
    """
    n = joint.rows.beta.shape[0] if isinstance(joint, StreamedJoint) else joint.values.shape[0]
    if embedding.ndim != 2 or embedding.shape[0] != n or embedding.shape[1] < 1:
        raise ValueError(f"embedding has shape {list(embedding.shape)}; joint needs [{n}, d]")
    _check_floating(embedding, "embedding")
    if isinstance(degrees_of_freedom, jax.core.Tracer) or not 0 < degrees_of_freedom < np.inf:
        raise ValueError(f"degrees_of_freedom={degrees_of_freedom} must be a Python number above 0")
    wide = reference.accumulator(embedding.dtype)
    joint = jax.lax.stop_gradient(jax.tree.map(lambda x: _as_wide(x, wide), joint))
    exaggeration = jax.lax.stop_gradient(jnp.asarray(exaggeration, wide))
    given = jnp.asarray(embedding), joint, float(degrees_of_freedom), exaggeration
    _check_known(implementation, OF_DIVERGENCE)
    if implementation in ("reference", "pallas"):
        return {"reference": reference, "pallas": pallas}[implementation].kl_divergence(*given)
    return divergence.kl_divergence(*given, _sums(implementation, embedding))


def _sums(implementation: str | None, embedding: Any) -> Any:
    """Those of the divergence; the native ones where they are named or, unnamed, can serve."""
    if implementation == "xla":
        return divergence.blocked
    platform = jax.default_backend()
    reason = f"it does not run on the {platform}"
    if platform == "cpu":
        native = importlib.import_module("kernels.tsne.native")
        reason = native.why_not(embedding)
        if reason is None:
            return native.Kernel(native.library.name())
    if implementation is not None:
        raise ValueError(f'implementation="native" cannot serve: {reason}; leave it out or use "xla"')
    return divergence.blocked


def _as_wide(x: Any, wide: Any) -> Any:
    return jnp.asarray(x, wide if jnp.issubdtype(x.dtype, jnp.floating) else None)


def _chosen(implementation: str | None, *functions: Any) -> Any:
    """One of the functions, which are in the order of IMPLEMENTATIONS; the last may be missing."""
    known = IMPLEMENTATIONS[: len(functions)]
    _check_known(implementation, known)
    return dict(zip(known, functions, strict=True))[implementation or "xla"]


def _check_known(implementation: str | None, known: tuple[str, ...]) -> None:
    if implementation is not None and implementation not in known:
        raise ValueError(f"implementation={implementation!r} is unknown; known: {', '.join(known)}")


def _check_distances(distances: Any, neighbors: Any) -> None:
    shape = list(distances.shape)
    if neighbors is None and (len(shape) != 2 or shape[0] != shape[1]):
        raise ValueError(f"distances has shape {shape}; it needs [n, n], or [n, k] with neighbors")
    if neighbors is not None and list(neighbors.shape) != shape:
        raise ValueError(f"neighbors has shape {list(neighbors.shape)}, distances {shape}; they are pairs")
    if len(shape) != 2 or shape[0] < 2 or shape[1] < 1:
        raise ValueError(f"distances has shape {shape}; affinities need at least 2 rows and 1 neighbour")
    _check_floating(distances, "distances")
    if neighbors is not None and not jnp.issubdtype(neighbors.dtype, jnp.integer):
        raise ValueError(f"neighbors has type {neighbors.dtype}; it needs numbers of rows, integers")


def _check_points(points: Any) -> None:
    if points.ndim != 2 or 0 in points.shape or points.shape[0] < 2:
        raise ValueError(f"points has shape {list(points.shape)}; it needs [n, d] with n at least 2")
    _check_floating(points, "points")


def _check_floating(array: Any, name: str) -> None:
    if array.dtype not in (jnp.float32, jnp.float64) and name != "embedding":
        raise ValueError(f"{name} has type {array.dtype}; cast it to float32")
    if not jnp.issubdtype(array.dtype, jnp.floating):
        raise ValueError(f"{name} has type {array.dtype}; cast it to a floating type")


def _check_weights(weights: Any, n: int, dtype: Any) -> Any:
    if weights is None:
        return None
    if weights.shape != (n,):
        raise ValueError(f"weights has shape {list(weights.shape)}; it needs one for each of the {n} rows")
    if not isinstance(weights, jax.core.Tracer):
        known = np.asarray(weights)
        wrong = np.flatnonzero(~((known > 0) & (known < np.inf)))
        if wrong.size:
            raise ValueError(
                f"weights holds {known[wrong[0]]} for row {wrong[0]}; leave out rows without weight"
            )
    return jax.lax.stop_gradient(jnp.asarray(weights, dtype))


def _check_perplexity(perplexity: Any, others: int, weights: Any, dtype: Any) -> Any:
    """As an array; a number known before tracing is checked, the upper end only without weights."""
    if not isinstance(perplexity, jax.core.Tracer):
        number = float(perplexity)
        if not 1 <= number < np.inf:
            raise ValueError(f"perplexity={perplexity} must be at least 1 and finite; 5 to 50 is usual")
        if weights is None and number > others:
            raise ValueError(
                f"perplexity={perplexity} is above the {others} others that a row has; "
                "lower it, or give more rows or neighbours"
            )
    return jnp.asarray(perplexity, dtype)
