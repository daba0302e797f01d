"""Rows by the block: what all pairs of n rows need, without holding all pairs at once."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

TOGETHER = 8  # coordinates whose differences are summed in one expression


def by_rows(function: Callable[[Any], Any], n: int, rows: int) -> Any:
    """`function(first)`, a tree of [r, ...] for the rows from `first` on, put together to [n, ...].

    The blocks are of one size r <= rows; the last overlaps the one before where r does not divide n,
    so `function` is given real rows alone and its sums belong to rows, not to blocks.
    """
    blocks, rows = split(n, rows)
    shapes = jax.eval_shape(function, jax.ShapeDtypeStruct((), jnp.int32))
    empty = jax.tree.map(lambda s: jnp.zeros((n, *s.shape[1:]), s.dtype), shapes)

    def step(block: Any, whole: Any) -> Any:
        first = jnp.minimum(block * rows, n - rows).astype(jnp.int32)
        write = jax.lax.dynamic_update_slice_in_dim
        return jax.tree.map(lambda into, part: write(into, part, first, 0), whole, function(first))

    return jax.lax.fori_loop(0, blocks, step, empty)


def split(n: int, rows: int) -> tuple[int, int]:
    """How many blocks n rows need at most `rows` at a time, and how many rows each then has."""
    blocks = -(-n // max(1, min(rows, n)))
    return blocks, -(-n // blocks)


def part(array: Any, first: Any, rows: int) -> Any:
    """Rows first ... first + rows - 1; None of None."""
    return None if array is None else jax.lax.dynamic_slice_in_dim(array, first, rows, 0)


def own(first: Any, rows: int) -> Int[Array, " rows"]:
    """The numbers of the rows of a block."""
    return first + jnp.arange(rows, dtype=jnp.int32)


def squared_distances(left: Float[Array, "m d"], right: Float[Array, "n d"]) -> Float[Array, "m n"]:
    """sum_e (x_ie - z_je)^2, by differences of coordinates: copies are at distance 0 exactly."""
    m, n, d = left.shape[0], right.shape[0], left.shape[1]
    if d <= 2 * TOGETHER:
        return _summed(left.T, right.T)
    missing = -d % TOGETHER
    chunks = tuple(jnp.pad(x.T, ((0, missing), (0, 0))).reshape(-1, TOGETHER, len(x)) for x in (left, right))

    def add(total: Any, chunk: Any) -> Any:
        return total + _summed(*chunk), None

    return jax.lax.scan(add, jnp.zeros((m, n), left.dtype), chunks)[0]


def _summed(left: Any, right: Any) -> Any:
    """The same of coordinates first, [d, m] and [d, n], in one expression."""
    total = jnp.square(left[0][:, None] - right[0][None, :])
    for a, b in zip(left[1:], right[1:], strict=True):
        total += jnp.square(a[:, None] - b[None, :])
    return total
