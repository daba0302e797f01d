"""What the functions return: affinities of rows, joint affinities; pytrees of arrays."""

from typing import NamedTuple

from jaxtyping import Array, Bool, Float, Int


class Conditional(NamedTuple):
    """Affinities of rows to others, calibrated.

    Attributes:
        probabilities: p_{j|i}, [n, n] with a zero diagonal, or [n, k] over neighbours; rows sum to 1.
        beta: precision of each row, 1 / (2 sigma_i^2), in the inverse unit of the squared distances.
        feasible: rows in which some beta reaches the perplexity.
    """

    probabilities: Float[Array, "n k"]
    beta: Float[Array, " n"]
    feasible: Bool[Array, " n"]


class PointConditional(NamedTuple):
    """The same of all points to all others, as what recomputes it:

        p_{j|i} = w_j exp(-beta_i (|x_i - x_j|^2 - shift_i) - log_total_i)

    Attributes:
        points: x, [n, d].
        beta: as in `Conditional`.
        shift: squared distance to the nearest other.
        log_total: log sum_{j != i} w_j exp(-beta_i (D_ij - shift_i)).
        feasible: as in `Conditional`.
    """

    points: Float[Array, "n d"]
    beta: Float[Array, " n"]
    shift: Float[Array, " n"]
    log_total: Float[Array, " n"]
    feasible: Bool[Array, " n"]


class DenseJoint(NamedTuple):
    """P of all pairs.

    Attributes:
        values: P_ij, symmetric, diagonal 0, sum 1.
        weights: w_i of the rows; None for ones.
        negative_entropy: sum_ij P_ij log(P_ij / (w_i w_j)), nats.
    """

    values: Float[Array, "n n"]
    weights: Float[Array, " n"] | None
    negative_entropy: Float[Array, ""]


class SparseJoint(NamedTuple):
    """P over the edges of a graph, P = (M + M^T) / 2.

    Attributes:
        neighbors: j of each edge from row i; entries without an edge may hold any number.
        values: M_ij = w_i p_{j|i} / sum w; 0 where there is no edge; sum 1.
        weights: as in `DenseJoint`.
        negative_entropy: as in `DenseJoint`.
    """

    neighbors: Int[Array, "n k"]
    values: Float[Array, "n k"]
    weights: Float[Array, " n"] | None
    negative_entropy: Float[Array, ""]


class StreamedJoint(NamedTuple):
    """P of all pairs as what recomputes it, block by block.

    Attributes:
        rows: the calibrated points.
        weights: as in `DenseJoint`.
        negative_entropy: as in `DenseJoint`.
    """

    rows: PointConditional
    weights: Float[Array, " n"] | None
    negative_entropy: Float[Array, ""]
