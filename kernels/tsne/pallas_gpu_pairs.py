"""Sums over all pairs on a GPU: tiles of 64 rows in registers, columns streamed, several programs for each row block.

The programs of a row block take a share of the columns each, so that a few thousand rows fill a
GPU; their sums are added outside. Of a pair the inner loop takes one reciprocal square root and one
logarithm, streamed two exponentials more, and no division.
"""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import mosaic_gpu as plgpu

from kernels.gpu_tiles import ROWS, SKEW, Tile, launch, over_batch, place
from kernels.tsne.pallas_pairs import Lines, finished, table
from kernels.tsne.results import DenseJoint
from kernels.tsne.sums import Sums

PROGRAMS = 1024  # that fill a GPU: 132 processors of some 4 to 8 each
COPIED = 4  # float32 numbers that lines in global memory are a multiple of, to be copied


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pairs(Tile):
    """`Sums` of an embedding and a joint: (y, joint, v) -> Sums."""

    columns: int = 32
    stages: int = 2

    def __call__(self, y: Any, joint: Any, v: float) -> Sums:
        n = y.shape[0]
        lines, points = table(y, joint, pl.cdiv(n, ROWS) * ROWS)
        given = [points[None]]
        if isinstance(joint, DenseJoint):
            given += [_copyable(joint.values)[None]]
        blocks, tiles = pl.cdiv(n, ROWS), pl.cdiv(n, self.columns)
        each = pl.cdiv(tiles, min(tiles, pl.cdiv(PROGRAMS, blocks)))
        sums = over_batch(functools.partial(self._launch, lines, v, tiles, each))(*given)
        return finished(lines, sums[0].sum(0)[:, :n], joint)

    def _launch(self, lines: Lines, v: float, tiles: int, each: int, *given: Any) -> Any:
        batch, count, size = given[0].shape
        shares, dense = pl.cdiv(tiles, each), len(given) > 1
        scratch = [
            plgpu.SMEM((count, ROWS), jnp.float32),
            plgpu.SMEM((self.stages, count, self.columns), jnp.float32),
            *[plgpu.SMEM((self.stages, ROWS, self.columns + SKEW), jnp.float32)] * dense,
            plgpu.Barrier(num_arrivals=1),
            plgpu.Barrier(num_arrivals=1 + dense, num_barriers=self.stages),
        ]
        out = jax.ShapeDtypeStruct((batch, shares, lines.outputs, size), jnp.float32)
        body = functools.partial(_body, self, lines, v, tiles, each)
        blocks = (batch, size // ROWS * shares)
        return launch(body, "tsne_pairs", out, scratch, blocks, self.interpret)(*given)


def _copyable(p: Any) -> Any:
    """P of at least a block, its lines multiples of 16 bytes; beyond it copies give zeros."""
    n = p.shape[0]
    across = max(0, ROWS - n) or -n % COPIED
    return jnp.pad(p, ((0, max(0, ROWS - n)), (0, across))) if across else p


def _body(tile: Pairs, lines: Lines, v: float, tiles: int, each: int, points: Any, *rest: Any) -> None:
    """A share of the columns of one block of rows."""
    *p, sums, rows, columns = rest[: len(rest) // 2 + 1]
    *buffer, ready, streamed = rest[len(rest) // 2 + 1 :]
    _, shares, outputs, size = sums.shape
    batch, block = place(size // ROWS * shares)
    share, base = lax.rem(block, jnp.int32(shares)), lax.div(block, jnp.int32(shares)) * ROWS
    plgpu.copy_gmem_to_smem(points.at[batch, :, pl.ds(base, ROWS)], rows, ready)
    plgpu.barrier_wait(ready)
    apart = tile.apart()

    def fetch(block: Any, slot: Any) -> None:
        at = pl.ds(block * tile.columns, tile.columns)
        plgpu.copy_gmem_to_smem(points.at[batch, :, at], columns.at[slot], streamed.at[slot])
        for whole, held in zip(p, buffer, strict=True):
            wider = pl.ds(block * tile.columns, tile.columns + SKEW)
            source = whole.at[batch, pl.ds(base, ROWS), wider]
            plgpu.copy_gmem_to_smem(source, held.at[slot], streamed.at[slot])

    def step(block: Any, slot: Any, totals: Any) -> Any:
        found = lines.terms(
            lambda line: tile.across(tile.per_row(rows.at[line])),
            lambda line: tile.down(columns.at[slot, line]),
            tile.whole(buffer[0], slot) if p else None,
            apart == base - block * tile.columns,
            v,
            lambda x: jnp.square(lax.rsqrt(x)),
        )
        return tuple(total + jnp.sum(x, axis=1) for total, x in zip(totals, found, strict=True))

    first = share * each
    none = (tile.constant(0.0, ROWS),) * outputs
    totals = tile.stream(first, jnp.minimum(first + each, tiles), fetch, streamed, step, none)
    for line, total in enumerate(totals):
        sums[batch, share, line, pl.ds(base, ROWS)] = total
