"""Pallas kernels for NVIDIA GPUs of the Hopper generation (Mosaic GPU).

Matrix products run on tensor cores in bfloat16 with float32 sums. A float32 operand is the sum of
three bfloat16 terms, whose products down to 2^-24 are all taken: float32 in, float32 out.

The additive score takes one reciprocal for two features of a query and key, and no tanh: with
the exponentials of both sides taken outside,

    tanh(a + b) = 1 - 2 / (1 + e^2a e^2b),   v / x + w / y = (v y + w x) / (x y)

Both sides are shifted per feature and row of the batch, so that the keys are centred, and the
queries are cut off where tanh has saturated; where keys spread over more than SPREAD in any
feature, their row of the batch takes the exponential of each sum instead.
"""

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from kernels import gpu_tiles
from kernels.attention import differentiable
from kernels.attention.alignment import Ranges
from kernels.attention.differentiable import Gradients
from kernels.attention.pallas_gpu_backward import Pass
from kernels.attention.pallas_gpu_forward import forward
from kernels.attention.pallas_gpu_tiles import LARGEST, PER_QUERY, ROWS, SWIZZLED, UNROLLED, Tile
from kernels.attention.reference import Inputs

NARROW = 256  # keys of a range, up to which tiles of half the columns leave less of them unused
WIDEST = 128  # features: accumulators are registers
LONGEST = 2**24  # positions are float32 in the kernel
SHARED_MEMORY = 216 * 1024  # of one program, bytes, less what alignment and reductions take
COPIED = 32  # float32 numbers: shared memory is filled by 128 bytes at least
SATURATED = 8.5  # tanh(8.5) is 1 - 8e-8
SPREAD = math.log(LARGEST) / 2 - SATURATED  # of the keys in a feature: see `_operands`
HOPPER = "9.0"
TYPES = (jnp.dtype(jnp.float32), jnp.dtype(jnp.bfloat16))


def why_not(inputs: Inputs, ranges: Ranges) -> str | None:
    """Why this implementation cannot serve the call, or None."""
    del ranges
    if (generation := gpu_tiles.generation()) not in (None, HOPPER):
        return f"the GPU is of compute capability {generation}; the kernels use instructions of {HOPPER} (Hopper)"
    (_, m, d), (_, n, dv) = inputs.query.shape, inputs.value.shape
    if inputs.query.dtype not in TYPES:
        return f"the type is {inputs.query.dtype}; the GPU kernels take float32 and bfloat16"
    if max(d, dv) > WIDEST:
        return f"queries have {d} features and values {dv}; the GPU kernels take at most {WIDEST}"
    if max(m, n) >= LONGEST:
        return f"the sequences have {m} and {n} positions; the GPU kernels take fewer than {LONGEST}"
    return None


def attend(inputs: Inputs, ranges: Ranges, sigma: float | None) -> jax.Array:
    """The context, on the GPU, differentiable: see `kernels.attention.attend`."""
    narrow = ranges.most is not None and ranges.most <= NARROW
    return differentiable.attend(Kernel(columns=32 if narrow else 64), sigma, inputs, ranges)


@dataclasses.dataclass(frozen=True)
class Kernel:
    """Attention on a GPU.

    Attributes:
        columns: of a tile of the dot score in bfloat16, 64 or 32; others have 32.
        interpret: parameters of Pallas' interpreter of GPU kernels, to run it elsewhere, or None.
    """

    columns: int = 64
    interpret: Any = None

    def forward(self, inputs: Inputs, ranges: Ranges, sigma: float | None) -> tuple[jax.Array, jax.Array]:
        """Context and log-sum-exp: see `differentiable.Kernel`."""
        m, dv = inputs.query.shape[1], inputs.value.shape[2]
        tile = self._tile(inputs, ranges, sigma, backward=False)
        arrays = _arrays(tile, inputs, ranges)
        arrays["live"] = _live_keys(arrays["queries"], tile.columns)
        context, log_sum_exp = forward(tile, arrays, inputs.value.dtype)
        return context[:, :m, :dv], log_sum_exp[:, :m]

    def backward(
        self,
        inputs: Inputs,
        ranges: Ranges,
        sigma: float | None,
        log_sum_exp: jax.Array,
        cotangent: jax.Array,
        delta: jax.Array,
    ) -> Gradients:
        """Gradients: see `differentiable.Kernel`."""
        (_, m, d), (_, n, dv) = inputs.query.shape, inputs.value.shape
        tile = self._tile(inputs, ranges, sigma, backward=True)
        arrays = _arrays(tile, inputs, ranges, log_sum_exp, delta)
        queries = (arrays["query"], _terms(cotangent, tile, tile.value), arrays["queries"])
        keys = (arrays["key"], arrays["value"], arrays["keys"])
        last = (arrays["vector"], arrays["exponentials"])
        live = _live_keys(arrays["queries"], tile.columns)
        in_query, centre = Pass(tile, True)(live, *queries, *keys, *last)
        live = _live_queries(arrays["queries"], keys[2].shape[2], tile.columns)
        in_key, value, *vector = Pass(tile, False)(live, *keys, *queries, *last)
        if inputs.score_vector is not None:
            factor = 4 * inputs.score_vector.astype(jnp.float32)[None, None, :]
            in_query, in_key = (jnp.swapaxes(x, 1, 2)[:, :, :d] * factor for x in (in_query, in_key))
        return Gradients(
            in_query[:, :m, :d],
            in_key[:, :n, :d],
            value[:, :n, :dv],
            vector[0].sum(axis=(0, 2))[:d] if tile.additive else None,
            None if ranges.centre is None else centre[:, :m],
        )

    def _tile(self, inputs: Inputs, ranges: Ranges, sigma: float | None, backward: bool) -> Tile:
        """Sizes: as many columns and buffers as shared memory holds."""
        additive, single = inputs.score_vector is not None, inputs.query.dtype == jnp.float32
        tile = Tile(
            score=_up(inputs.query.shape[2], UNROLLED if additive else SWIZZLED),
            value=_up(inputs.value.shape[2], SWIZZLED),
            parts=3 if single else 1,
            additive=additive,
            columns=32 if additive or single else self.columns,
            sigma=None if ranges.centre is None else sigma,
            stages=2,
            interpret=self.interpret,
        )
        for columns, stages in ((tile.columns, 2), (32, 2), (32, 1)):
            tile = dataclasses.replace(tile, columns=columns, stages=stages)
            if _shared_bytes(tile, backward) <= SHARED_MEMORY:
                break
        return tile


def _shared_bytes(tile: Tile, backward: bool) -> int:
    """Shared memory of a program: the rows it holds, the columns it streams, what it gives."""
    operand = tile.score * (4 if tile.additive else 2 * tile.parts)
    values = 2 * tile.value * tile.parts
    sums = 2 * 4 * tile.score if tile.additive else 0
    held = operand + values + sums if backward else operand + 4 * tile.value
    streamed = operand + values + 4 * PER_QUERY
    return ROWS * (held + 4 * PER_QUERY) + tile.stages * tile.columns * streamed


def _arrays(tile, inputs, ranges, log_sum_exp=None, delta=None):
    """What the kernels read, padded to whole blocks, all beginning with the batch."""
    rows, m = inputs.query.shape[:2]
    found = dict(zip(("query", "key", "exponentials"), _operands(tile, inputs), strict=True))
    n = inputs.key.shape[1]
    counts = jnp.ones((rows, n), bool) if inputs.key_mask is None else inputs.key_mask
    found["keys"] = _pad(counts.astype(jnp.float32)[:, None, :], 2, ROWS)
    found["value"] = _terms(inputs.value, tile, tile.value)
    found["queries"] = _query_table(rows, m, n, ranges, log_sum_exp, delta)
    vector = jnp.zeros((1,)) if inputs.score_vector is None else inputs.score_vector.astype(jnp.float32)
    vector = jnp.pad(vector, (0, max(0, tile.score - vector.shape[0])))
    vector = _pad(jnp.concatenate([vector, vector.sum(keepdims=True)]), 0, COPIED)
    found["vector"] = jnp.broadcast_to(vector[None, :], (rows, vector.shape[0]))
    return found


def _operands(tile, inputs):
    """Queries, keys, and for each row of the batch whether they are exponentials.

    Those of keys are within e^+-SPREAD then, of queries within e^+-(SPREAD + 2 SATURATED), and
    e^(2 SPREAD + 2 SATURATED) = LARGEST. A query beyond saturates tanh with every key.
    """
    if not tile.additive:
        query, key = (_terms(x, tile, tile.score) for x in (inputs.query, inputs.key))
        return query, key, jnp.zeros((query.shape[0],), jnp.int32)
    query, key = inputs.query.astype(jnp.float32), inputs.key.astype(jnp.float32)
    highest, lowest = key.max(axis=1, keepdims=True), key.min(axis=1, keepdims=True)
    middle, spread = (highest + lowest) / 2, (highest - lowest).max(axis=(1, 2))
    fits = spread <= SPREAD
    edge = SPREAD / 2 + SATURATED
    as_exponentials = jnp.exp(2 * jnp.clip(query + middle, -edge, edge)), jnp.exp(2 * (key - middle))
    query, key = (
        jnp.where(fits[:, None, None], e, x) for e, x in zip(as_exponentials, (query, key), strict=True)
    )
    turned = (_pad(_pad(jnp.swapaxes(x, 1, 2), 1, tile.score), 2, ROWS) for x in (query, key))
    return *turned, fits.astype(jnp.int32)


def _terms(x, tile, features):
    """[batch, parts, padded positions, padded features] in bfloat16, the parts summing to x."""
    x = _pad(_pad(x, 1, ROWS), 2, features)
    terms, rest = [], x
    for _ in range(tile.parts):
        terms.append(rest.astype(jnp.bfloat16))
        rest = rest - terms[-1].astype(rest.dtype)
    return jnp.stack(terms, axis=1)


def _query_table(rows, m, n, ranges, log_sum_exp, delta):
    """[batch, PER_QUERY, padded m] float32: start, end, centre, log-sum-exp, delta."""
    lines = [
        _pad(jnp.broadcast_to(jnp.asarray(x, jnp.float32), (rows, m)), 1, ROWS, value)
        for x, value in (
            (ranges.start, n),
            (ranges.end, -1),
            (0 if ranges.centre is None else ranges.centre, 0),
            (0 if log_sum_exp is None else log_sum_exp, jnp.inf),
            (0 if delta is None else delta, 0),
        )
    ]
    return jnp.stack(lines + [jnp.zeros_like(lines[0])] * (PER_QUERY - len(lines)), axis=1)


def _reach(queries, size):
    """First and last key that any query of each block of `size` reaches, int32 [batch, blocks]."""
    blocks = queries[:, :2].astype(jnp.int32).reshape(queries.shape[0], 2, -1, size)
    return blocks[:, 0].min(axis=2), blocks[:, 1].max(axis=2)


def _live_keys(queries, columns):
    """The first live key block of each block of queries, and the one after the last."""
    first, last = _reach(queries, ROWS)
    live = jnp.stack([first // columns, last // columns + 1], axis=-1)
    return jnp.where((first <= last)[:, :, None], live, 0)


def _live_queries(queries, n, columns):
    """Of each block of keys: the first block of queries that reaches it, and the one after the last."""
    first, last = (x[:, None, :] for x in _reach(queries, columns))
    key = jnp.arange(0, n, ROWS, dtype=jnp.int32)[None, :, None]
    reached = (first <= key + ROWS - 1) & (key <= last)
    index = jnp.arange(first.shape[2], dtype=jnp.int32)[None, None, :]
    start = jnp.where(reached, index, first.shape[2]).min(axis=2)
    stop = jnp.where(reached, index + 1, 0).max(axis=2)
    return jnp.stack([jnp.minimum(start, stop), stop], axis=-1)


def _pad(x, axis, multiple, value=0.0):
    """Padded with `value` up to a multiple of a size along an axis."""
    missing = -x.shape[axis] % multiple
    widths = [(0, missing if i == axis else 0) for i in range(x.ndim)]
    return jnp.pad(x, widths, constant_values=np.asarray(value, x.dtype)) if missing else x


def _up(size: int, multiple: int) -> int:
    return -(-size // multiple) * multiple
