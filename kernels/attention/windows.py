"""One query a row over a window of a memory, through XLA: a step of `kernels.attention.stepwise`."""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from kernels.attention import reference
from kernels.attention.alignment import Ranges
from kernels.attention.reference import Inputs


class Memory(NamedTuple):
    """What is attended to: [batch, n, d], [batch, n, dv]; v of the additive score, [d], or None; the keys
    that count, [batch, n]."""

    key: Float[Array, "batch n d"]
    value: Float[Array, "batch n dv"]
    score_vector: Any
    mask: Any


class Look(NamedTuple):
    """One query of each row and the keys it sees, from start to end inclusive; the centre of a Gaussian
    over them, or None."""

    query: Float[Array, "batch d"]
    start: Int[Array, " batch"]
    end: Int[Array, " batch"]
    centre: Any = None


@dataclasses.dataclass(frozen=True)
class Windows:
    """Attention of a `Look` that sees at most `width` keys; sigma: of the Gaussian.

    `sums` are the gradients of key, value and score vector, to which each step adds.
    """

    width: int
    sigma: float | None

    def forward(self, memory: Memory, look: Look) -> tuple[Float[Array, "batch dv"], Any]:
        """The context, and what the backward pass needs beside it."""
        first = self._first(memory, look)
        return self._context(look.query, look.centre, self._cut(memory, first), look, first), None

    def backward(
        self, memory: Memory, look: Look, context: Array, saved: Any, cotangent: Array, sums: Any
    ) -> tuple[Look, Any]:
        """The gradients of query and centre, and the sums with this step's."""
        del context, saved
        first = self._first(memory, look)
        seen = self._cut(memory, first)

        def found(query, centre, key, value, vector):
            return self._context(query, centre, Memory(key, value, vector, seen.mask), look, first)

        _, pull = jax.vjp(found, look.query, look.centre, *seen[:3])
        of_query, of_centre, of_key, of_value, of_vector = pull(cotangent)
        of_vector = None if of_vector is None else sums[2] + of_vector
        sums = (_added(sums[0], of_key, first), _added(sums[1], of_value, first), of_vector)
        return look._replace(query=of_query, centre=of_centre), sums

    def nothing(self, memory: Memory) -> Any:
        """The sums before the first step."""
        return tuple(None if x is None else jnp.zeros_like(x) for x in memory[:3])

    def gradients(self, sums: Any) -> tuple[Array, Array, Any]:
        """Of key, value and score vector."""
        return sums

    def _first(self, memory: Memory, look: Look) -> Array:
        return jnp.clip(look.start, 0, max(memory.key.shape[1] - self.width, 0))

    def _cut(self, memory: Memory, first: Array) -> Memory:
        if self.width >= memory.key.shape[1]:
            return memory
        cut = jax.vmap(lambda row, place: jax.lax.dynamic_slice_in_dim(row, place, self.width))
        seen = jax.tree.map(lambda array: cut(array, first), memory._replace(score_vector=None))
        return seen._replace(score_vector=memory.score_vector)

    def _context(self, query, centre, seen, look, first):
        inputs = Inputs(query[:, None], seen.key, seen.value, seen.score_vector, seen.mask)
        ranges = Ranges((look.start - first)[:, None], (look.end - first)[:, None])
        if centre is not None:
            ranges = ranges._replace(centre=(centre - first.astype(centre.dtype))[:, None])
        return reference.attend(inputs, ranges, self.sigma)[:, 0]


def _added(array: Array, window: Array, first: Array) -> Array:
    """The windows added in their places."""
    if window.shape == array.shape:
        return array + window
    dimensions = jax.lax.ScatterDimensionNumbers(
        update_window_dims=tuple(range(1, array.ndim)),
        inserted_window_dims=(),
        scatter_dims_to_operand_dims=(1,),
        operand_batching_dims=(0,),
        scatter_indices_batching_dims=(0,),
    )
    return jax.lax.scatter_add(array, first[:, None], window, dimensions, mode="promise_in_bounds")
