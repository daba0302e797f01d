"""What the sums over all pairs have in common on GPU and TPU: a table of points, the terms of a tile, the sums of rows.

Of a pair the tile computes w_j s^((v + 1) / 2) and, streamed, w_j (p_{j|i} / w_j + p_{i|j} / w_i);
the factor of its row, w_i and w_i / 2 sum w, comes after the sum.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from kernels.tsne.divergence import terms, together
from kernels.tsne.joint_affinities import both_ways
from kernels.tsne.results import DenseJoint, StreamedJoint
from kernels.tsne.sums import Sums

FAR_AWAY = (
    1e16  # coordinate of points that fill blocks: beyond `halley.FAR` of all others, its square a float32
)
MASS = 0


@dataclasses.dataclass(frozen=True)
class Lines:
    """Which line of the table holds what: mass, then y, then beta, shift, log_total and x of streamed points.

    Attributes:
        dimensions: of y.
        coordinates: of x; None where P is not streamed.
        attracted: whether P is given, dense or streamed.
    """

    dimensions: int
    coordinates: int | None
    attracted: bool

    @property
    def outputs(self) -> int:
        """How many sums a row has."""
        return (1 + self.dimensions) * (2 if self.attracted else 1)

    def terms(
        self, of_row: Callable, of_column: Callable, p: Any, itself: Any, v: float, inverse: Any = None
    ) -> list[Any]:
        """The terms of a tile, one array for each sum: those of q, then those of P.

        of_row(line), of_column(line): a line of the table for the rows and the columns of the tile;
        p: P of the tile, where it is dense; itself: pairs of a row with itself.
        """

        def counted(x: Any) -> Any:
            return jnp.where(itself, 0, x * of_column(MASS))

        def differences(first: int, count: int) -> list[Any]:
            return [of_row(line) - of_column(line) for line in range(first, first + count)]

        own = 1 + self.dimensions
        if self.coordinates is not None:
            d = sum(jnp.square(x) for x in differences(own + 3, self.coordinates))
            there, back = ([of(line) for line in range(own, own + 3)] for of in (of_row, of_column))
            p = counted(both_ways(d, there, back))
        return jax.tree.leaves(terms(differences(1, self.dimensions), p, counted, v, inverse))


def table(y: Float[Array, "n d"], joint: Any, size: int) -> tuple[Lines, Float[Array, "lines size"]]:
    """The lines of all points, filled up to `size` of them with points that count nothing."""
    n, dimensions = y.shape
    rows = joint.rows if isinstance(joint, StreamedJoint) else None
    mass = jnp.ones(n, y.dtype) if joint.weights is None else joint.weights
    filled = lambda x, value: jnp.pad(x, ((0, 0), (0, size - n)), constant_values=value)  # noqa: E731
    lines = [filled(mass[None, :], 0), filled(y.T, 0)]
    if rows is not None:
        lines += [filled(jnp.stack([rows.beta, rows.shift, rows.log_total]), 0)]
        lines += [filled(rows.points.T, FAR_AWAY)]
    coordinates = None if rows is None else rows.points.shape[1]
    attracted = isinstance(joint, DenseJoint) or rows is not None
    return Lines(dimensions, coordinates, attracted), jnp.concatenate(lines)


def finished(lines: Lines, sums: Float[Array, "outputs n"], joint: Any) -> Sums:
    """The sums of the kernel as those of `divergence`, each times the factor of its row."""
    own = 1 + lines.dimensions
    q = sums[:own] if joint.weights is None else sums[:own] * joint.weights[None, :]
    if not lines.attracted:
        return together(Sums(q[0], list(q[1:]), (), ()))
    p = sums[own:]
    if isinstance(joint, StreamedJoint):
        n = sums.shape[1]
        p = p / (2 * n) if joint.weights is None else p * (joint.weights / (2 * joint.weights.sum()))[None, :]
    return together(Sums(q[0], list(q[1:]), p[0], list(p[1:])))
