"""What is compiled ahead of time of t-SNE's kernels: each named shape by each kernel that is for it."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from kernels.tsne.pallas import Kernels
from kernels.tsne.results import DenseJoint, PointConditional, SparseJoint, StreamedJoint
from kernels.tsne.shapes import REAL, SHAPES


@dataclasses.dataclass(frozen=True)
class Case:
    """One compilation.

    Attributes:
        what: "calibrate" (distances) or "calibrate_points", or the joint that sums over all pairs are of;
            what XLA makes of them is left out.
        shape: its name.
        dimensions: of the map.
        v: degrees of freedom.
    """

    what: str
    shape: str
    weighted: bool = False
    dimensions: int = 2
    v: float = 1.0

    def traced(self, kernels: Kernels, array: Callable) -> tuple[Callable, tuple[Any, ...]]:
        """The function, and its arguments made by array(*sizes, dtype)."""
        shape = SHAPES[self.shape]
        weights = array(shape.n) if self.weighted else None
        if self.what == "calibrate":
            near = shape.neighbors and array(shape.n, shape.neighbors, dtype=jnp.int32)
            distances = array(shape.n, shape.neighbors or shape.n)
            return kernels.calibrate, (distances, array(), near, weights)
        if self.what == "calibrate_points":
            return kernels.calibrate_points, (array(shape.n, shape.d), array(), weights)
        joint = _joint(self.what, shape, weights, array)
        return lambda y, joint: kernels.pairs(y, joint, self.v), (array(shape.n, self.dimensions), joint)


def _joint(kind: str, shape: Any, weights: Any, array: Callable) -> Any:
    n = shape.n
    if kind == "dense":
        return DenseJoint(array(n, n), weights, array())
    if kind == "sparse":
        near = array(n, shape.neighbors, dtype=jnp.int32)
        return SparseJoint(near, array(n, shape.neighbors), weights, array())
    feasible = array(n, dtype=jnp.bool_)
    rows = PointConditional(array(n, shape.d), array(n), array(n), array(n), feasible)
    return StreamedJoint(rows, weights, array())


CASES = [
    Case(what, shape.name)
    for shape in REAL
    for what in (
        ("calibrate", "sparse") if shape.neighbors else ("calibrate", "calibrate_points", "dense", "streamed")
    )
] + [
    Case("calibrate", "mosei_distinct_1296x6", weighted=True),
    Case("calibrate_points", "mosei_distinct_1296x6", weighted=True),
    Case("calibrate", "mosei_labels_16327x6", weighted=True),
    Case("dense", "mosei_distinct_1296x6", weighted=True, dimensions=3, v=2.0),
    Case("streamed", "mosei_distinct_1296x6", weighted=True, dimensions=3, v=2.0),
    Case("dense", "mosei_distinct_1296x6", dimensions=1),
]  # fmt: skip
