"""The CPU's own kernel: C++ over ranges of keys, called through XLA's foreign function interface.

    python -m kernels.native        compiles source/ for this machine (`make native`)

Without a library of the present source, attention runs through XLA. Sums are kept in float32; the
same inputs give the same bytes, whatever the number of threads.
"""

import dataclasses
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from kernels.attention import differentiable
from kernels.attention.alignment import Ranges
from kernels.attention.differentiable import Gradients
from kernels.attention.reference import Inputs
from kernels.native.library import Library

library = Library(
    "attention",
    Path(__file__).with_name("source"),
    ("forward", "backward", "step_forward", "step_backward"),
)
SERVED = ("float32", "bfloat16", "float16")
FEATURES = 16  # the number of features is padded to a multiple of this


def why_not(inputs: Inputs, ranges: Ranges) -> str | None:
    """Why this implementation cannot serve the call, or None."""
    if inputs.query.dtype.name not in SERVED:
        return f"it computes in float32 and takes {', '.join(SERVED)}, not {inputs.query.dtype}"
    return library.why_not()


def attend(inputs: Inputs, ranges: Ranges, sigma: float | None) -> Float[Array, "batch m dv"]:
    """The context, differentiable; the library is loaded by the first call of a process.

    Under `shard_map` give check_vma=False.
    """
    return differentiable.attend(Kernel(library.name()), sigma, inputs, ranges)


@dataclasses.dataclass(frozen=True)
class Kernel:
    """Forward and backward pass of one built library.

    Attributes:
        library: its name, without the ending.
        threads: most threads a call may use; 0: those of XLA's pool.
    """

    library: str
    threads: int = 0

    def forward(self, inputs: Inputs, ranges: Ranges, sigma: float | None) -> tuple[Array, Array]:
        """Context and log-sum-exp."""
        rows, m, _ = inputs.query.shape
        features = inputs.value.shape[-1]
        shapes = (rows, m, _padded(features)), (rows, m)
        context, log_sum_exp = self._call("forward", shapes, _arrays(inputs, ranges), sigma)
        return context[..., :features].astype(inputs.value.dtype), log_sum_exp

    def backward(
        self,
        inputs: Inputs,
        ranges: Ranges,
        sigma: float | None,
        log_sum_exp: Array,
        cotangent: Array,
        delta: Array,
    ) -> Gradients:
        """Gradients in float32."""
        arrays = _arrays(inputs, ranges)
        query, key, value, vector, _, _, _, centre = arrays
        shapes = (query.shape, key.shape, value.shape, vector.shape, centre.shape)
        found = self._call("backward", shapes, (*arrays, log_sum_exp, _float(cotangent), delta), sigma)
        like = Gradients(*inputs[:4], ranges.centre)
        parts = [None if x is None else g[..., : x.shape[-1]] for g, x in zip(found, like, strict=True)]
        return Gradients(*parts)

    def _call(self, stage: str, shapes: Any, arrays: Any, sigma: float | None) -> Any:
        library.register(self.library)
        results = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]
        run = jax.ffi.ffi_call(f"{stage}_{self.library}", results, vmap_method="broadcast_all")
        return run(*arrays, sigma=np.float32(sigma or 0), threads=np.int64(self.threads))


def _arrays(inputs: Inputs, ranges: Ranges) -> tuple[Array, ...]:
    """What both passes are given, in the types and the order of the C++ side; absent ones are empty."""
    none = jnp.zeros(0, jnp.float32)
    return (
        _float(inputs.query),
        _float(inputs.key),
        _float(inputs.value),
        none if inputs.score_vector is None else _float(inputs.score_vector),
        jnp.zeros(0, bool) if inputs.key_mask is None else inputs.key_mask,
        jnp.asarray(ranges.start, jnp.int32),
        jnp.asarray(ranges.end, jnp.int32),
        none if ranges.centre is None else ranges.centre.astype(jnp.float32),
    )


def _float(x: Array) -> Array:
    """In float32, with zeros after the last feature: they add nothing to any score, and 0 to the context."""
    more = _padded(x.shape[-1]) - x.shape[-1]
    x = x.astype(jnp.float32)
    return jnp.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, more)]) if more else x


def _padded(features: int) -> int:
    return -(-features // FEATURES) * FEATURES
