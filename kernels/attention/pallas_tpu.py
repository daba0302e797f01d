"""Pallas kernels for TPUs (Mosaic TPU): blocks within reach, online softmax, scores recomputed backward."""

import dataclasses
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from kernels.attention import differentiable
from kernels.attention import pallas_tpu_tiles as tiles
from kernels.attention.alignment import Ranges
from kernels.attention.differentiable import Gradients
from kernels.attention.pallas_tpu_backward import backward
from kernels.attention.pallas_tpu_forward import forward
from kernels.attention.pallas_tpu_tiles import FAR, LANES, SUBLANES, Tiling, Walk
from kernels.attention.reference import Inputs

MOST_BLOCKS = 1 << 16  # two integers of scalar memory each
MOST_FEATURES = 512  # of the score, and of the values: what fits in vector memory
TYPES = ("float32", "bfloat16")


def why_not(inputs: Inputs, ranges: Ranges) -> str | None:
    """Why this implementation cannot serve the call, or None."""
    (batch, m, d), (_, n, dv) = inputs.query.shape, inputs.value.shape
    if inputs.query.dtype.name not in TYPES:
        return f"the inputs are {inputs.query.dtype.name}; it takes {' and '.join(TYPES)}"
    if max(d, dv) > MOST_FEATURES:
        return f"query and value have {d} and {dv} features; it takes at most {MOST_FEATURES}"
    if max(m, n) >= FAR:
        return f"the sequences have {m} and {n} positions; it counts to {FAR - 1}"
    blocks = batch * (max(m, n) // LANES + 1)
    if blocks > MOST_BLOCKS:
        return f"{batch} sequences of up to {max(m, n)} make {blocks} blocks; it takes at most {MOST_BLOCKS}"
    return None


def attend(inputs: Inputs, ranges: Ranges, sigma: float | None) -> Float[Array, "batch m dv"]:
    """c_t = sum_s a_t(s) value_s, in the type of the values; what `why_not` allows, on a TPU."""
    return differentiable.attend(kernel(inputs, ranges), sigma, inputs, ranges)


def kernel(inputs: Inputs, ranges: Ranges, **changes: Any) -> "Kernel":
    """The kernel for a call, with the length of its walks where the ranges are known before tracing."""
    chosen = dataclasses.replace(_sized(inputs), **changes)
    if not (isinstance(ranges.start, np.ndarray) and isinstance(ranges.end, np.ndarray)):
        return chosen
    m, n = inputs.query.shape[1], inputs.key.shape[1]
    (over_keys, keys), (over_queries, queries) = chosen.by_query(m, n, ranges), chosen.by_key(m, n, ranges)
    return dataclasses.replace(
        chosen,
        key_steps=int(keys.steps(over_keys.down)),
        query_steps=int(queries.steps(over_queries.down)),
    )


@dataclasses.dataclass(frozen=True)
class Kernel:
    """Sizes of the tiles, and what is known of the ranges before tracing.

    Attributes:
        across: positions in a block along the lanes, a multiple of 128 on a TPU.
        down: positions in a block along the sublanes, likewise.
        tile: positions down whose additive scores are computed together, dividing `down`.
        key_steps: blocks of keys in the longest walk of a block of queries; None: counted when run.
        query_steps: blocks of queries in the longest walk of a block of keys; likewise.
        interpret: run on any device by the interpreter.
    """

    across: int = 4 * LANES
    down: int = 2 * LANES
    tile: int = 4 * SUBLANES
    key_steps: int | None = None
    query_steps: int | None = None
    interpret: bool = False

    def forward(self, inputs: Inputs, ranges: Ranges, sigma: float | None) -> tuple[Array, Array]:
        m, n, dv = inputs.query.shape[1], *inputs.value.shape[1:]
        tiling, walk = self.by_query(m, n, ranges, sigma)
        steps = walk.steps(tiling.down) if self.key_steps is None else self.key_steps
        features = _features(inputs)
        across = {
            "across": _across(inputs.query, tiling.across, features),
            "across_facts": _query_facts(ranges, inputs.query.shape[0], tiling.across),
        }
        down = {
            "down": _down(inputs.key, tiling.down, features),
            "down_payload": _down(inputs.value, tiling.down),
            **_key_facts(inputs, "down_facts", tiling.down),
        }
        context, log_sum_exp = forward(tiling, walk, steps, across, down, _vector(inputs))
        return context.mT[:, :m, :dv], log_sum_exp[:, 0, :m]

    def backward(
        self,
        inputs: Inputs,
        ranges: Ranges,
        sigma: float | None,
        log_sum_exp: Array,
        cotangent: Array,
        delta: Array,
    ) -> Gradients:
        by_query = self._query_gradients(inputs, ranges, sigma, log_sum_exp, cotangent, delta)
        by_key = self._key_gradients(inputs, ranges, sigma, log_sum_exp, cotangent, delta)
        (m, d), (n, dv) = inputs.query.shape[1:], inputs.value.shape[1:]
        query, key = by_query["features"].mT[:, :m, :d], by_key["features"].mT[:, :n, :d]
        vector = inputs.score_vector
        if vector is not None:
            query, key = (x * vector.astype(jnp.float32)[None, None, :] for x in (query, key))
            vector = by_query["vector"].sum(axis=(0, 2))[:d]
        centre = None if ranges.centre is None else by_query["centre"][:, 0, :m]
        return Gradients(query, key, by_key["payload"].mT[:, :n, :dv], vector, centre)

    def _query_gradients(self, inputs, ranges, sigma, log_sum_exp, cotangent, delta):
        m, n = inputs.query.shape[1], inputs.key.shape[1]
        tiling, walk = self.by_query(m, n, ranges, sigma)
        steps = walk.steps(tiling.down) if self.key_steps is None else self.key_steps
        features = _features(inputs)
        across = {
            "across": _across(inputs.query, tiling.across, features),
            "across_payload": _across(cotangent, tiling.across),
            "across_facts": _query_facts(ranges, inputs.query.shape[0], tiling.across, log_sum_exp, delta),
        }
        down = {
            "down": _down(inputs.key, tiling.down, features),
            "down_payload": _down(inputs.value, tiling.down),
            **_key_facts(inputs, "down_facts", tiling.down),
        }
        return backward(tiling, walk, steps, across, down, _vector(inputs))

    def _key_gradients(self, inputs, ranges, sigma, log_sum_exp, cotangent, delta):
        m, n = inputs.query.shape[1], inputs.key.shape[1]
        tiling, walk = self.by_key(m, n, ranges, sigma)
        steps = walk.steps(tiling.down) if self.query_steps is None else self.query_steps
        features = _features(inputs)
        across = {
            "across": _across(inputs.key, tiling.across, features),
            "across_payload": _across(inputs.value, tiling.across),
            **_key_facts(inputs, "across_facts", tiling.across),
        }
        down = {
            "down": _down(inputs.query, tiling.down, features),
            "down_payload": _down(cotangent, tiling.down),
            "down_facts": _query_facts(ranges, inputs.query.shape[0], tiling.down, log_sum_exp, delta),
        }
        return backward(tiling, walk, steps, across, down, _vector(inputs))

    def by_query(self, m: int, n: int, ranges: Ranges, sigma: float | None = None) -> tuple[Tiling, Walk]:
        """Blocks of queries across, keys down."""
        tiling = self._tiling(m, n, sigma, queries_across=True)
        start, end = _padded_ranges(ranges, -m % tiling.across)
        walk = tiles.key_walk(start, end, tiling.across)
        return tiling, walk

    def by_key(self, m: int, n: int, ranges: Ranges, sigma: float | None = None) -> tuple[Tiling, Walk]:
        """Blocks of keys across, queries down."""
        tiling = self._tiling(n, m, sigma, queries_across=False)
        start, end = _padded_ranges(ranges, -m % tiling.down)
        return tiling, tiles.query_walk(start, end, -(-n // tiling.across), tiling.across, tiling.tile)

    def _tiling(self, across: int, down: int, sigma: float | None, queries_across: bool) -> Tiling:
        """Blocks as large as they are told to be, or as the sequences are."""
        least = LANES if not self.interpret else self.tile
        size = lambda block, length: min(block, -(-length // least) * least)  # noqa: E731
        return Tiling(
            size(self.across, across), size(self.down, down), self.tile, queries_across, sigma, self.interpret
        )


def _sized(inputs: Inputs) -> Kernel:
    """Sizes of the tiles; a tile of the additive score keeps all its tanh in vector memory, at most 4 MiB."""
    d = inputs.query.shape[-1]
    if inputs.score_vector is None:
        return Kernel(across=(4 if d <= LANES else 2) * LANES)
    return Kernel(across=(2 if d <= 2 * LANES else 1) * LANES, tile=(4 if d <= LANES else 2) * SUBLANES)


def _padded_ranges(ranges: Ranges, extra: int) -> tuple[Any, Any]:
    xp = np if isinstance(ranges.start, np.ndarray) and isinstance(ranges.end, np.ndarray) else jnp
    pad = lambda x, fill: xp.pad(x, ((0, 0), (0, extra)), constant_values=fill)  # noqa: E731
    return pad(ranges.start, FAR), pad(ranges.end, -1)


def _features(inputs: Inputs) -> Any:
    """Type and number of the score's features: tanh is computed in float32, in groups of 128."""
    d, kind = inputs.query.shape[-1], inputs.query.dtype
    if inputs.score_vector is None:
        return kind, -d % _rows(kind)
    return jnp.float32, -d % (SUBLANES if d <= LANES else LANES)


def _rows(kind: Any) -> int:
    """Sublanes of a register of the type."""
    return SUBLANES * 4 // jnp.dtype(kind).itemsize


def _down(array: Array, block: int, features: Any = None) -> Array:
    kind, extra = features or (array.dtype, -array.shape[-1] % _rows(array.dtype))
    return jnp.pad(array.astype(kind), ((0, 0), (0, -array.shape[1] % block), (0, extra)))


def _across(array: Array, block: int, features: Any = None) -> Array:
    return _down(array, block, features).mT


def _vector(inputs: Inputs) -> Array | None:
    if inputs.score_vector is None:
        return None
    _, extra = _features(inputs)
    return jnp.pad(inputs.score_vector.astype(jnp.float32), (0, extra))


def _query_facts(ranges: Ranges, batch: int, block: int, log_sum_exp: Any = None, delta: Any = None) -> Array:
    """START, END, CENTRE, LOG_SUM_EXP and DELTA of each query, [batch, 8, m padded]."""
    shape = (batch, ranges.start.shape[1])
    facts = ((ranges.start, FAR), (ranges.end, -1), (ranges.centre, 0), (log_sum_exp, 0), (delta, 0))
    return _facts([(jnp.zeros(shape) if x is None else x, fill) for x, fill in facts], shape, block)


def _key_facts(inputs: Inputs, name: str, block: int) -> dict[str, Array]:
    """COUNTS of each key where a mask is given, [batch, 8, n padded]."""
    if inputs.key_mask is None:
        return {}
    return {name: _facts([(inputs.key_mask, 0)], inputs.key_mask.shape, block)}


def _facts(rows: list[tuple[Any, int]], shape: tuple[int, ...], block: int) -> Array:
    extra = ((0, 0), (0, -shape[1] % block))
    padded = [
        jnp.pad(jnp.broadcast_to(jnp.asarray(row, jnp.float32), shape), extra, constant_values=fill)
        for row, fill in rows
    ]
    padded += [jnp.zeros_like(padded[0])] * (SUBLANES - len(padded))
    return jnp.stack(padded, axis=1)
