"""The weights inside each query's range, for those who want to look at them or to supervise them."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from kernels.attention.alignment import Ranges
from kernels.attention.reference import Inputs, accumulator, gaussian, softmax

QUERIES = 32  # a tile: bounds the gathered keys to QUERIES x most a row


def banded(
    inputs: Inputs, ranges: Ranges, sigma: float | None
) -> tuple[Float[Array, "batch m w"], Int[Array, "batch m w"]]:
    """Weights and their positions (-1: none), w = `ranges.most`, by gathering the keys of each query.

    Memory beyond the result is that of a tile of queries; the backward pass recomputes.
    """
    rows, m, _ = inputs.query.shape
    most, tiles = ranges.most or inputs.key.shape[1], -(-m // QUERIES)
    start = jnp.broadcast_to(jnp.asarray(ranges.start), (rows, m))
    end = jnp.broadcast_to(jnp.asarray(ranges.end), (rows, m))
    centre = jnp.zeros((rows, m)) if ranges.centre is None else ranges.centre

    def tiled(x):
        padded = jnp.pad(x, ((0, 0), (0, tiles * QUERIES - m), *((0, 0),) * (x.ndim - 2)))
        return jnp.moveaxis(padded.reshape(rows, tiles, QUERIES, *x.shape[2:]), 1, 0)

    @jax.checkpoint
    def tile(part):
        query, first, last, middle = part
        positions = first[:, :, None] + jnp.arange(most, dtype=jnp.int32)[None, None, :]
        return _weights(inputs, query, positions, last, None if ranges.centre is None else middle, sigma)

    parts = tuple(tiled(x) for x in (inputs.query, start, end, centre))
    values, positions = jax.lax.map(tile, parts)

    def whole(x):
        return jnp.moveaxis(x, 0, 1).reshape(rows, tiles * QUERIES, most)[:, :m]

    return whole(values), whole(positions)


def _weights(inputs, query, positions, last, centre, sigma):
    """Weights of a tile of queries over the gathered keys at `positions`, [batch, queries, w]."""
    precise = accumulator(query.dtype)
    n = inputs.key.shape[1]
    inside = jnp.minimum(positions, n - 1)
    rows = jnp.arange(inside.shape[0], dtype=jnp.int32)[:, None, None]
    query, key = query.astype(precise)[:, :, None, :], inputs.key[rows, inside].astype(precise)
    if inputs.score_vector is None:
        logits = jnp.sum(query * key, axis=-1)
    else:
        logits = jnp.tanh(query + key) @ inputs.score_vector.astype(precise)
    allowed = (positions <= last[:, :, None]) & (positions < n)
    if inputs.key_mask is not None:
        allowed &= inputs.key_mask[rows, inside]
    shares = softmax(logits, allowed)
    if centre is not None:
        shares *= gaussian(positions.astype(precise), centre.astype(precise)[:, :, None], sigma)
    return shares, jnp.where(allowed, positions, -1)
