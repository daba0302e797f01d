"""What an implementation of the divergence sums up; value and gradient follow."""

from typing import Any, NamedTuple


class Sums(NamedTuple):
    """With s_ij = 1 / (1 + d_ij^2 / v) and q_ij = w_i w_j s_ij^((v + 1) / 2), not normalised:

    Attributes:
        normalizer: sum_ij q_ij, or its terms, [n].
        repulsion: sum_j q_ij s_ij (y_i - y_j), [n, d].
        stretch: sum_ij P_ij log(1 + d_ij^2 / v), or its terms, [n]; () where there is no P.
        attraction: sum_j P_ij s_ij (y_i - y_j), [n, d]; () where there is no P.
    """

    normalizer: Any
    repulsion: Any
    stretch: Any
    attraction: Any
