"""One query a row by the C++ kernel: a step of `kernels.attention.stepwise`.

Keys and values are read where they lie, and their gradients are added to in place.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from kernels.attention.native import library
from kernels.attention.windows import Look, Memory


def why_not(memory: Memory) -> str | None:
    """Why this implementation cannot serve, or None."""
    if memory.key.dtype != jnp.float32:
        return f"one query at a time it takes float32, not {memory.key.dtype}"
    return library.why_not()


@dataclasses.dataclass(frozen=True)
class Looks:
    """Attention of a `Look`, as `kernels.attention.windows.Windows`; sums are [batch, ...] each.

    Attributes:
        library: its name, without the ending.
        sigma: of the Gaussian.
        threads: most threads a call may use; 0: those of XLA's pool.
    """

    library: str
    sigma: float | None
    threads: int = 0

    def forward(self, memory: Memory, look: Look) -> tuple[Array, Array]:
        """The context, and each row's log-sum-exp."""
        rows = look.query.shape[0]
        shapes = (rows, memory.value.shape[-1]), (rows,)
        context, log_sum_exp = self._call("step_forward", shapes, _arrays(memory, look))
        return context, log_sum_exp

    def backward(
        self, memory: Memory, look: Look, context: Array, saved: Array, cotangent: Array, sums: Any
    ) -> tuple[Look, Any]:
        """The gradients of query and centre, and the sums with this step's."""
        given = (*_arrays(memory, look), context, saved, cotangent)
        shapes = [x.shape for x in (look.query, given[7], *sums)]
        aliases = {len(given) + i: 2 + i for i in range(len(sums))}
        of_query, of_centre, *sums = self._call("step_backward", shapes, (*given, *sums), aliases)
        return look._replace(query=of_query, centre=None if look.centre is None else of_centre), tuple(sums)

    def nothing(self, memory: Memory) -> Any:
        """The sums before the first step: zeros of either sign, which XLA can't take for one array and copy."""
        vector = (memory.key.shape[0], 0 if memory.score_vector is None else memory.key.shape[2])
        return jnp.zeros_like(memory.key), jnp.full_like(memory.value, -0.0), jnp.zeros(vector, jnp.float32)

    def gradients(self, sums: Any) -> tuple[Array, Array, Any]:
        """Of key, value and score vector."""
        key, value, vector = sums
        return key, value, vector.sum(axis=0) if vector.size else None

    def _call(self, stage: str, shapes: Any, arrays: Any, aliases: Any = None) -> Any:
        library.register(self.library)
        results = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]
        name = f"{stage}_{self.library}"
        run = jax.ffi.ffi_call(name, results, vmap_method="expand_dims", input_output_aliases=aliases)
        return run(*arrays, sigma=np.float32(self.sigma or 0), threads=np.int64(self.threads))


def _arrays(memory: Memory, look: Look) -> tuple[Array, ...]:
    """What both passes are given, in the order of the C++ side; absent ones are empty."""
    vector, mask = memory.score_vector, memory.mask
    return (
        look.query,
        memory.key,
        memory.value,
        jnp.zeros((1, 0), jnp.float32) if vector is None else vector[None, :],
        jnp.zeros((1, 0), bool) if mask is None else mask,
        look.start,
        look.end,
        jnp.zeros(0, jnp.float32) if look.centre is None else look.centre,
    )
