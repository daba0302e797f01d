"""t-SNE's kernels in Pallas for the device at hand: Mosaic GPU or Mosaic TPU."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from kernels.tsne import affinity, divergence
from kernels.tsne.results import Conditional, PointConditional, StreamedJoint
from kernels.tsne.sums import Sums

MOST_DIMENSIONS = 3
MOST_COORDINATES = 64  # of points whose distances the kernels compute: coordinates are taken one by one


@dataclasses.dataclass(frozen=True)
class Kernels:
    """Those of one device.

    Attributes:
        pairs: (y, joint, v) -> the `Sums` over all pairs.
        calibration: its of_distances and of_points give `halley.Solved`.
        why_not_rows: (entries of a row, coordinates or None, weights) -> why rows do not fit, or None.
    """

    pairs: Any
    calibration: Any
    why_not_rows: Callable[[int, int | None, Any], str | None] = lambda entries, coordinates, weights: None

    def calibrate(self, distances: Any, perplexity: Any, neighbors: Any, weights: Any) -> Conditional:
        """See `api.calibrate`."""
        n, k = distances.shape
        _check_single(distances, "the distances")
        held = affinity.rows_held(distances, jnp.arange(n, dtype=jnp.int32), neighbors, weights)
        _check(self.why_not_rows(k, None, held.weights))
        solved = self.calibration.of_distances(held.distances, held.weights, perplexity)
        return affinity.conditional(held, solved)

    def calibrate_points(self, points: Any, perplexity: Any, weights: Any) -> PointConditional:
        """See `api.calibrate_points`."""
        n, d = points.shape
        _check_single(points, "the points")
        _check_coordinates(d)
        _check(self.why_not_rows(n, d, weights))
        return affinity.point_conditional(points, self.calibration.of_points(points, weights, perplexity))

    def kl_divergence(self, embedding: Any, joint: Any, v: float, exaggeration: Any) -> Any:
        """See `api.kl_divergence`."""
        _check_single(embedding, "the embedding")
        if embedding.shape[1] > MOST_DIMENSIONS:
            _check(f"the embedding has {embedding.shape[1]} dimensions; it takes at most {MOST_DIMENSIONS}")
        if isinstance(joint, StreamedJoint):
            _check_coordinates(joint.rows.points.shape[1])
        return divergence.kl_divergence(embedding, joint, v, exaggeration, self)

    def __call__(self, y: Any, joint: Any, v: float) -> Sums:
        """The sums of the divergence."""
        return divergence.with_edges(self.pairs(y, joint, v), y, joint, v)


def kernels() -> Kernels:
    """Those of the device at hand, whose modules are imported nowhere else."""
    platform = jax.default_backend()
    if platform == "tpu":
        from kernels.tsne import pallas_tpu_calibration, pallas_tpu_pairs

        tpu = pallas_tpu_calibration
        return Kernels(pallas_tpu_pairs.Pairs(), tpu.Calibration(), tpu.why_not_rows)
    if platform != "gpu":
        raise ValueError(f'implementation="pallas" does not run on the {platform}; leave it out or use "xla"')
    from kernels import gpu_tiles
    from kernels.tsne import pallas_gpu_calibration, pallas_gpu_pairs

    generation = gpu_tiles.generation()
    if generation is not None and float(generation) < gpu_tiles.HOPPER:
        _check(f"the GPU is of compute capability {generation}; the kernels copy as {gpu_tiles.HOPPER} does")
    return Kernels(pallas_gpu_pairs.Pairs(), pallas_gpu_calibration.Calibration())


def calibrate(*given: Any) -> Conditional:
    """See `api.calibrate`."""
    return kernels().calibrate(*given)


def calibrate_points(*given: Any) -> PointConditional:
    """See `api.calibrate_points`."""
    return kernels().calibrate_points(*given)


def kl_divergence(*given: Any) -> Any:
    """See `api.kl_divergence`."""
    return kernels().kl_divergence(*given)


def _check_single(array: Any, name: str) -> None:
    if array.dtype.name not in ("float32", "bfloat16"):
        _check(f"{name} have type {array.dtype.name}; it computes in float32, of float32 or bfloat16")


def _check_coordinates(count: int) -> None:
    if count > MOST_COORDINATES:
        _check(
            f"the points have {count} coordinates; it computes distances of at most {MOST_COORDINATES}, "
            "and takes given distances"
        )


def _check(reason: str | None) -> None:
    if reason is not None:
        raise ValueError(f'implementation="pallas" cannot serve: {reason}; leave it out or use "xla"')
