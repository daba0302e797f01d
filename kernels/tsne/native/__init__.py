"""The CPU's own sums of the divergence: C++ over pairs and edges, called through XLA's foreign function interface.

    python -m kernels.native        compiles source/ for this machine (`make native`)

P is symmetric: of a pair one entry is read (or recomputed), and its force is added to both rows. All
that a call takes beside arguments and results is an array of each part of the work, which XLA allocates.
The same inputs give the same bytes, whatever the number of threads.
"""

import dataclasses
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from kernels.native.library import Library
from kernels.tsne.reference import accumulator
from kernels.tsne.results import DenseJoint, PointConditional, SparseJoint, StreamedJoint
from kernels.tsne.sums import Sums

library = Library("tsne", Path(__file__).with_name("source"), ("pairs", "edges"))
LANES = 16  # rows are padded to a multiple of this
COORDINATES = 3  # of a map, at most
PARTS = 16  # of the pairs, at most, that are summed on their own
PARTS_OF_EDGES = 8


def why_not(embedding: Array) -> str | None:
    """Why this implementation cannot serve the call, or None."""
    if accumulator(embedding.dtype) != jnp.float32:
        return f"it computes in float32, not {embedding.dtype}"
    if embedding.shape[1] > COORDINATES:
        return f"it takes maps of at most {COORDINATES} coordinates, not {embedding.shape[1]}"
    return library.why_not()


@dataclasses.dataclass(frozen=True)
class Kernel:
    """The sums of `kernels.tsne.divergence`, by one built library.

    Under `shard_map` give check_vma=False.

    Attributes:
        library: its name, without the ending.
        threads: most threads a call may use; 0: those of XLA's pool.
    """

    library: str
    threads: int = 0

    def __call__(self, y: Float[Array, "n d"], joint: Any, v: float) -> Sums:
        """Over all pairs, and over the edges where P has edges."""
        if not isinstance(joint, SparseJoint):
            return self.pairs(y, joint, v)
        stretch, attraction = self.edges(y, joint, v)
        return self.pairs(y, joint, v)._replace(stretch=stretch, attraction=attraction)

    def pairs(self, y: Float[Array, "n d"], joint: Any, v: float) -> Sums:
        """Over all pairs; of an edge's P only what does not depend on it."""
        n, none = len(y), jnp.zeros(0, jnp.float32)
        wide = _padded(y.T)
        values = joint.values if isinstance(joint, DenseJoint) else none
        points, rows = _streamed(joint.rows) if isinstance(joint, StreamedJoint) else (none, none)
        weights = jnp.ones(n, jnp.float32) if joint.weights is None else joint.weights
        parts = min(PARTS, -(-n // LANES))
        shapes = (2,), (2, *wide.shape), (parts, 2, *wide.shape)
        given = wide, _padded(weights), values, points, rows
        sums, gained, _ = self._call("pairs", shapes, given, n=np.int64(n), v=np.float32(v))
        attraction, repulsion = gained[:, :, :n].transpose(0, 2, 1)
        scale = 1 / (2 * weights.sum()) if isinstance(joint, StreamedJoint) else jnp.float32(1)
        return Sums(sums[1], repulsion, scale * sums[0], scale * attraction)

    def edges(self, y: Float[Array, "n d"], joint: SparseJoint, v: float) -> tuple[Array, Array]:
        """Stretch and attraction over the edges, each of which pulls at both its ends."""
        shapes = (1,), y.shape, (min(PARTS_OF_EDGES, len(y)), *y.shape)
        given = y, joint.neighbors, joint.values
        stretch, pulls, _ = self._call("edges", shapes, given, v=np.float32(v))
        return stretch[0], pulls / 2

    def _call(self, stage: str, shapes: Any, arrays: Any, **numbers: Any) -> Any:
        library.register(self.library)
        results = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]
        run = jax.ffi.ffi_call(f"{stage}_{self.library}", results, vmap_method="sequential")
        return run(*arrays, **numbers, threads=np.int64(self.threads))


def _streamed(rows: PointConditional) -> tuple[Array, Array]:
    """Points in blocks of LANES rows, features first; beta, shift and log_total of the rows."""
    features = rows.points.shape[1]
    points = _padded(rows.points.T).reshape(features, -1, LANES).transpose(1, 0, 2)
    of_rows = rows.beta, rows.shift, rows.log_total
    return points, jnp.stack([_padded(x) for x in of_rows])


def _padded(x: Array) -> Array:
    """Zeros behind the last axis."""
    return jnp.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, -x.shape[-1] % LANES)])
