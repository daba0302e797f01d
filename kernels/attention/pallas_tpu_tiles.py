"""What the TPU kernels share: tiles of two sequences, one along the lanes and one along the sublanes.

A pass has an `across` side, whose blocks lie along the lanes of a tile, and a `down` side, along
its sublanes. Each block across walks the blocks down that it has to do with, and no others:

    pass       across    down
    forward    queries   keys
    dq         queries   keys
    dk, dv     keys      queries

Arrays across are transposed, [batch, features, length]; arrays down are not. Sums over the down
side then stay within lanes, and what belongs to a position across is a row.
"""

import dataclasses
import types
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu

LANES, SUBLANES = 128, 8
FAR = 1 << 24  # positions are exact in float32 below it
START, END, CENTRE, LOG_SUM_EXP, DELTA = range(5)  # facts of a query
COUNTS = 0  # fact of a key: whether the mask lets it count


class Walk(NamedTuple):
    """First and last position down that each block across has to do with, int32 [rows, blocks].

    An empty walk is (length down, -1). rows is 1 where the whole batch walks alike.
    """

    first: Any
    last: Any

    def steps(self, down: int) -> Any:
        """Blocks of `down` positions in the longest walk, at least 1."""
        xp = np if isinstance(self.first, np.ndarray) else jnp
        return xp.maximum(xp.max(self.last // down - self.first // down + 1), 1)


@dataclasses.dataclass(frozen=True)
class Tiling:
    """Sizes of one pass, known before tracing.

    Attributes:
        across: positions in a block along the lanes.
        down: positions in a block along the sublanes.
        tile: positions down whose additive scores are computed together; skipped where out of reach.
        queries_across: whether the queries lie along the lanes (forward, dq) or the keys (dk, dv).
        sigma: of the Gaussian, or None.
        interpret: run by the interpreter, on any device.
    """

    across: int
    down: int
    tile: int
    queries_across: bool
    sigma: float | None
    interpret: bool


def key_walk(start: Any, end: Any, across: int) -> Walk:
    """Of blocks of queries over the keys; start and end are [rows, m], m a multiple of `across`."""
    rows = start.shape[0]
    return Walk(start.reshape(rows, -1, across).min(axis=-1), end.reshape(rows, -1, across).max(axis=-1))


def query_walk(start: Any, end: Any, blocks: int, across: int, tile: int) -> Walk:
    """Of `blocks` blocks of keys over the queries, to the nearest `tile` queries."""
    xp = np if isinstance(start, np.ndarray) else jnp
    m, reach = start.shape[1], key_walk(start, end, tile)
    keys = xp.arange(blocks, dtype=xp.int32)[None, :, None] * across
    queries = xp.arange(m // tile, dtype=xp.int32)[None, None, :] * tile
    meets = (reach.first[:, None, :] < keys + across) & (reach.last[:, None, :] >= keys)
    first = xp.where(meets, queries, m).min(axis=-1)
    last = xp.where(meets, queries + (tile - 1), -1).max(axis=-1)
    return Walk(first.astype(xp.int32), last.astype(xp.int32))


class Place(NamedTuple):
    """Where a step of the grid stands: first position across and down, tiles of the block within reach."""

    across: Any
    down: Any
    first_tile: Any
    end_tile: Any
    live: Any


def launch(
    name: str,
    body: Callable[[types.SimpleNamespace, Place], None],
    tiling: Tiling,
    walk: Walk,
    steps: Any,
    *,
    across: dict[str, Any],
    down: dict[str, Any],
    vector: Any,
    outputs: dict[str, Any],
    scratch: dict[str, Any],
) -> dict[str, Any]:
    """Run `body` at every step of every walk; the outputs by name.

    Args:
        body: takes the references by name, each of one block, and the place.
        tiling, walk, steps: the grid is (batch, blocks across, steps); `steps` may be traced.
        across: arrays [batch, any, length].
        down: arrays [batch, length, any], and facts, [batch, 8, length], under the name "down_facts".
        vector: score vector, float32 [d], kept in scalar memory, or None.
        outputs: name to (rows, type); each is [batch, rows, length across], one block a walk.
        scratch: name to a shape in float32.
    """
    batch, _, length = next(iter(across.values())).shape
    blocks = length // tiling.across
    step = _Step(tiling, blocks, walk.first.shape[0] > 1)
    scalars = {} if vector is None else {"score_vector": vector[None, :]}
    names = (*scalars, *across, *down, *outputs, *scratch)

    def kernel(first, last, *refs):
        body(types.SimpleNamespace(**dict(zip(names, refs, strict=True))), step.place(first, last))

    specs = [pl.BlockSpec(memory_space=pltpu.SMEM) for _ in scalars]
    specs += [step.across(x.shape[1]) for x in across.values()]
    specs += [step.down(name, x) for name, x in down.items()]
    found = pl.pallas_call(
        kernel,
        grid_spec=pltpu.PrefetchScalarGridSpec(
            num_scalar_prefetch=2,
            grid=(batch, blocks, steps),
            in_specs=specs,
            out_specs=[step.across(rows) for rows, _ in outputs.values()],
            scratch_shapes=[pltpu.VMEM(shape, jnp.float32) for shape in scratch.values()],
        ),
        out_shape=[jax.ShapeDtypeStruct((batch, rows, length), kind) for rows, kind in outputs.values()],
        compiler_params=pltpu.CompilerParams(dimension_semantics=("parallel", "parallel", "arbitrary")),
        interpret=tiling.interpret,
        name=name,
    )(
        jnp.asarray(walk.first).reshape(-1),
        jnp.asarray(walk.last).reshape(-1),
        *scalars.values(),
        *across.values(),
        *down.values(),
    )
    return dict(zip(outputs, found, strict=True))


@dataclasses.dataclass(frozen=True)
class _Step:
    """Which blocks a step of the grid (batch, block across, step of the walk) works on."""

    tiling: Tiling
    blocks: int
    per_row: bool

    def across(self, rows: int) -> pl.BlockSpec:
        return pl.BlockSpec((None, rows, self.tiling.across), lambda b, i, j, *_: (b, 0, i))

    def down(self, name: str, array: Any) -> pl.BlockSpec:
        if name == "down_facts":
            return pl.BlockSpec(
                (None, array.shape[1], self.tiling.down), lambda *at: (at[0], 0, self._block(*at)[0])
            )
        return pl.BlockSpec(
            (None, self.tiling.down, array.shape[2]), lambda *at: (at[0], self._block(*at)[0], 0)
        )

    def _block(self, b, i, j, first, last):
        """Block down, held at the last one after the walk's end (nothing is copied then); whether within."""
        index = (b * self.blocks if self.per_row else 0) + i
        block = lax.div(first[index], jnp.int32(self.tiling.down)) + j
        final = lax.div(last[index], jnp.int32(self.tiling.down))
        return jnp.minimum(block, final), block <= final, index

    def place(self, first, last) -> Place:
        b, i, j = (pl.program_id(axis) for axis in range(3))
        block, live, index = self._block(b, i, j, first, last)
        begin = block * self.tiling.down
        tile, tiles = self.tiling.tile, self.tiling.down // self.tiling.tile
        lowest = lax.div(jnp.maximum(first[index] - begin, 0), jnp.int32(tile))
        highest = jnp.minimum(lax.div(last[index] - begin, jnp.int32(tile)) + 1, tiles)
        return Place(i * self.tiling.across, begin, lowest, highest, live)


def matmul(a: Any, b: Any, over: tuple[int, int]) -> Any:
    """Product over dimension over[0] of a and over[1] of b, accumulated in float32."""
    precision = lax.Precision.HIGHEST if a.dtype == jnp.float32 else lax.Precision.DEFAULT
    dimensions = (((over[0],), (over[1],)), ((), ()))
    return lax.dot_general(a, b, dimensions, precision=precision, preferred_element_type=jnp.float32)


def scores(refs: types.SimpleNamespace, rows: Any) -> Any:
    """Scores of some rows of a tile, float32 [rows, across]; keeps each tanh where there is room for it."""
    if not hasattr(refs, "score_vector"):
        return matmul(refs.down[rows, :], refs.across[...], (1, 0))
    d, group = refs.across.shape[0], min(refs.across.shape[0], LANES)

    def features(index, total):
        begin = pl.multiple_of(index * group, group)
        columns = refs.down[rows, pl.ds(begin, group)]
        for e in range(group):  # a column can only be picked statically, hence groups, unrolled
            t = jnp.tanh(columns[:, e : e + 1] + refs.across[pl.ds(begin + e, 1), :])
            if hasattr(refs, "tanh"):
                refs.tanh[begin + e] = t
            total += refs.score_vector[0, begin + e] * t
        return total

    total = jnp.zeros((rows.size, refs.across.shape[1]), jnp.float32)
    return features(0, total) if group == d else lax.fori_loop(0, d // group, features, total)


def over_tiles(place: Place, tiling: Tiling, body: Callable[[Any], None]) -> None:
    """body(rows) for each tile of the block down that is within reach."""

    def tile(index, carry):
        body(pl.ds(pl.multiple_of(index * tiling.tile, tiling.tile), tiling.tile))
        return carry

    lax.fori_loop(place.first_tile, place.end_tile, tile, 0)


def set_columns(refs: types.SimpleNamespace) -> None:
    """Turn the facts of the side down into columns."""
    if hasattr(refs, "down_facts"):
        refs.columns[...] = refs.down_facts[...].T


def _fact(refs: types.SimpleNamespace, rows: Any, across: bool, fact: int) -> Any:
    if across:
        return refs.across_facts[fact : fact + 1, :]
    return refs.columns[rows, fact : fact + 1]


def query_fact(refs: types.SimpleNamespace, rows: Any, tiling: Tiling) -> Callable[[int], Any]:
    """Fact of each query of some rows of a tile by its number, [1, across] or [rows, 1]."""
    return lambda fact: _fact(refs, rows, tiling.queries_across, fact)


def allowed_and_keys(refs: types.SimpleNamespace, place: Place, rows: Any, tiling: Tiling) -> Any:
    """Which pairs of some rows of a tile are in the ranges and not masked; their keys' positions, float32."""
    fact = query_fact(refs, rows, tiling)
    axis, offset = (0, place.down + rows.start) if tiling.queries_across else (1, place.across)
    keys = lax.broadcasted_iota(jnp.int32, (rows.size, tiling.across), axis) + offset
    keys = keys.astype(jnp.float32)
    allowed = (fact(START) <= keys) & (keys <= fact(END))
    if hasattr(refs, "down_facts" if tiling.queries_across else "across_facts"):
        allowed &= _fact(refs, rows, not tiling.queries_across, COUNTS) > 0
    return allowed, keys


def gaussian(keys: Any, fact: Callable, sigma: float) -> Any:
    """exp(-(s - p)^2 / 2 sigma^2) of a tile."""
    return jnp.exp(jnp.square(keys - fact(CENTRE)) * (-0.5 / sigma**2))
