"""KL(P || Q) and its gradient in one pass over the pairs: attraction, repulsion and Z by rows, divided at the end.

    C = sum_ij P_ij log(P_ij / w_i w_j) + a (v + 1) / 2 sum_ij P_ij log(1 + d_ij^2 / v) + log Z
    dC/dy_i = 2 (v + 1) / v (a sum_j P_ij s_ij (y_i - y_j) - sum_j q_ij s_ij (y_i - y_j) / Z)

with s = 1 / (1 + d^2 / v), q_ij = w_i w_j s_ij^((v + 1) / 2) and Z their sum. The sums are XLA's, `blocked`, or
those of another implementation.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp

from kernels.tsne.blocks import by_rows, own, part, split
from kernels.tsne.joint_affinities import affinities
from kernels.tsne.reference import accumulator
from kernels.tsne.results import SparseJoint, StreamedJoint
from kernels.tsne.sums import Sums

BLOCK = 2**18  # pairs at a time
EDGES = 2**18  # edges at a time


def blocked(y: Any, joint: Any, v: float) -> Sums:
    """The sums of each row, by blocks of rows."""
    return with_edges(_all_pairs(y, joint, v), y, joint, v)


def with_edges(of_pairs: Sums, y: Any, joint: Any, v: float) -> Sums:
    """The sums of all pairs, those that P enters summed over its edges where it has edges."""
    if not isinstance(joint, SparseJoint):
        return of_pairs
    stretch, attraction = edges(y, joint, v)
    return of_pairs._replace(stretch=stretch, attraction=attraction)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 4))
def kl_divergence(
    embedding: Any, joint: Any, degrees_of_freedom: float, exaggeration: Any, sums: Any = blocked
) -> Any:
    """See `api.kl_divergence`; sums: (y, joint, v) -> `Sums`, in the accumulator's type, as y then is."""
    return with_gradient(embedding, joint, degrees_of_freedom, exaggeration, sums)[0]


def _forward(embedding: Any, joint: Any, degrees_of_freedom: float, exaggeration: Any, sums: Any) -> Any:
    value, gradient = with_gradient(embedding, joint, degrees_of_freedom, exaggeration, sums)
    return value, (gradient, joint, exaggeration)


def _backward(degrees_of_freedom: float, sums: Any, kept: Any, cotangent: Any) -> Any:
    gradient, *constants = kept
    return (cotangent.astype(gradient.dtype) * gradient, *map(_no_gradient, constants))


def _no_gradient(tree: Any) -> Any:
    def zero(x: Any) -> Any:
        x = jnp.asarray(x)
        floating = jnp.issubdtype(x.dtype, jnp.floating)
        return jnp.zeros_like(x) if floating else jnp.zeros(x.shape, jax.dtypes.float0)

    return jax.tree.map(zero, tree)


kl_divergence.defvjp(_forward, _backward)


def with_gradient(
    embedding: Any, joint: Any, v: float, exaggeration: Any, sums: Any = blocked
) -> tuple[Any, Any]:
    """The divergence and its gradient in the embedding."""
    z, repulsion, stretch, attraction = sums(embedding.astype(accumulator(embedding.dtype)), joint, v)
    total = z.sum()
    value = joint.negative_entropy + exaggeration * (v + 1) / 2 * stretch.sum() + jnp.log(total)
    gradient = 2 * (v + 1) / v * (exaggeration * attraction - repulsion / total)
    return value, gradient.astype(embedding.dtype)


def _all_pairs(y: Any, joint: Any, v: float) -> Sums:
    """The sums over all pairs, coordinates last."""
    n = y.shape[0]
    _, rows = split(n, BLOCK // n)

    def block(first: Any) -> Sums:
        here = part(y, first, rows)
        differences = [here[:, e, None] - y[None, :, e] for e in range(y.shape[1])]
        itself = own(first, rows)[:, None] == jnp.arange(n, dtype=jnp.int32)[None, :]

        def counted(q: Any) -> Any:
            if joint.weights is not None:
                q *= part(joint.weights, first, rows)[:, None] * joint.weights[None, :]
            return jnp.where(itself, 0, q)

        found = terms(differences, _joint_rows(joint, first, rows), counted, v)
        return together(jax.tree.map(lambda x: x.sum(1), found))

    return by_rows(block, n, rows)


def _joint_rows(joint: Any, first: Any, rows: int) -> Any:
    """P of a block of rows to all; None where it is over edges."""
    if isinstance(joint, SparseJoint):
        return None
    if isinstance(joint, StreamedJoint):
        return affinities(joint.rows, joint.weights, first, rows)
    return part(joint.values, first, rows)


def terms(differences: Any, p: Any, counted: Any, v: float, inverse: Any = None) -> Sums:
    """What is summed over j, of pairs whose coordinates differ by `differences`.

    counted(q) weights q and leaves pairs out; inverse(x) is 1 / x where a device has a better one.
    """
    log_grown, s = _student(differences, v, inverse)
    q = counted(_power(s, log_grown, v))
    repulsion = _forces(q * s, differences)
    if p is None:
        return Sums(q, repulsion, (), ())
    return Sums(q, repulsion, p * log_grown, _forces(p * s, differences))


def together(sums: Sums) -> Sums:
    """Coordinates as one array, [rows, d]."""
    repulsion, attraction = (jnp.stack(x, 1) if x else () for x in (sums.repulsion, sums.attraction))
    return Sums(sums.normalizer, repulsion, sums.stretch, attraction)


def _student(differences: Any, v: float, inverse: Any = None) -> tuple[Any, Any]:
    """log(1 + d^2 / v) and 1 / (1 + d^2 / v)."""
    grown = 1 + sum(jnp.square(x) for x in differences) / v
    return jnp.log(grown), 1 / grown if inverse is None else inverse(grown)


def _power(s: Any, log_grown: Any, v: float) -> Any:
    """s^((v + 1) / 2)."""
    return s if v == 1 else jnp.exp(-(v + 1) / 2 * log_grown)


def _forces(strength: Any, differences: Any) -> list[Any]:
    return [strength * x for x in differences]


def edges(y: Any, joint: SparseJoint, v: float) -> tuple[Any, Any]:
    """Stretch and attraction over the edges, each of which pulls at both its ends."""
    n, k = joint.neighbors.shape
    _, rows = split(n, EDGES // k)

    def block(first: Any) -> Any:
        near, m = part(joint.neighbors, first, rows), part(joint.values, first, rows)
        differences = [part(x, first, rows)[:, None] - x[near] for x in y.T]
        log_grown, s = _student(differences, v)
        pulls = [m * s * x for x in differences]
        return (m * log_grown).sum(1), jnp.stack([x.sum(1) for x in pulls], 1), jnp.stack(pulls, 2)

    stretch, pulled, pulls = by_rows(block, n, rows)
    pulling = jnp.zeros_like(y).at[joint.neighbors.reshape(-1)].add(pulls.reshape(n * k, -1))
    return stretch, (pulled - pulling) / 2
