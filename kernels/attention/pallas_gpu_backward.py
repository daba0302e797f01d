"""Gradients on a GPU: a pass over blocks of queries for theirs, one over blocks of keys for the others'.

Both passes recompute the scores of a tile, whose rows are queries in one and keys in the other;
every gradient is a sum along the rows, so that nothing is added to memory that others write.
"""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import mosaic_gpu as plgpu

from kernels.attention.pallas_gpu_tiles import (
    CENTRE,
    DELTA,
    END,
    LOG_SUM_EXP,
    PER_QUERY,
    ROWS,
    START,
    Tile,
    features,
    gaussian,
    launch,
    pair,
    scores,
)
from kernels.gpu_tiles import over_batch, place


@dataclasses.dataclass(frozen=True)
class Pass:
    """One of the two passes: `queries` tells whether queries are the rows of its tiles."""

    tile: Tile
    queries: bool

    @property
    def tables(self) -> tuple[int, int]:
        """Lines of the tables of rows and of columns: START ... DELTA of queries, or the key mask."""
        return (PER_QUERY, 1) if self.queries else (1, PER_QUERY)

    def outputs(self, batch: int, positions: int) -> list[Any]:
        """Gradients of the operand and, in the pass over keys, of value and v; in the other, of the centre.

        Those of an additive operand lack the factor 4 v, and that of v is not summed over the keys.
        """
        tile, shape = self.tile, functools.partial(jax.ShapeDtypeStruct, dtype=jnp.float32)
        turned = shape((batch, tile.score, positions))
        operand = turned if tile.additive else shape((batch, positions, tile.score))
        if self.queries:
            return [operand, shape((batch, positions))]
        return [operand, shape((batch, positions, tile.value)), *[turned] * tile.additive]

    def scratch(self, vector: int) -> list[Any]:
        tile, (row_lines, column_lines) = self.tile, self.tables
        sums = plgpu.SMEM((tile.score, ROWS), jnp.float32)
        return [
            tile.operand(ROWS),
            tile.values(ROWS),
            plgpu.SMEM((row_lines, ROWS), jnp.float32),
            tile.operand(tile.columns, tile.stages),
            tile.values(tile.columns, tile.stages),
            plgpu.SMEM((tile.stages, column_lines, tile.columns), jnp.float32),
            plgpu.SMEM((vector,), jnp.float32),
            plgpu.Barrier(num_arrivals=tile.copies + 2),
            plgpu.Barrier(num_arrivals=tile.copies + 1, num_barriers=tile.stages),
            *[sums] * (tile.additive * (1 if self.queries else 2)),
        ]

    def __call__(self, *inputs: Any) -> Any:
        """live; operand, value (or cotangent) and table of the rows; of the columns; vector, exponentials."""

        def run(*inputs):
            table, vector = inputs[3], inputs[7]
            batch, _, positions = table.shape
            outputs = self.outputs(batch, positions)
            body, name = functools.partial(_body, self), "of_queries" if self.queries else "of_keys"
            scratch, grid = self.scratch(vector.shape[1]), (batch, positions // ROWS)
            return launch(body, name, self.tile, outputs, scratch, grid)(*inputs)

        return over_batch(run)(*inputs)


@dataclasses.dataclass(frozen=True)
class Block:
    """What a program holds of its rows and of the columns at hand, all references to shared memory."""

    plan: Pass
    rows: Any
    row_values: Any
    row_table: Any
    columns: Any
    column_values: Any
    column_table: Any
    vector: Any
    exponentials: Any

    def of_queries(self, line: int) -> Any:
        """A number per query, over the tile."""
        tile = self.plan.tile
        if self.plan.queries:
            return tile.across(tile.per_row(self.row_table.at[line]))
        return tile.down(self.column_table.at[line])

    def counted(self) -> Any:
        tile = self.plan.tile
        if self.plan.queries:
            return tile.down(self.column_table.at[0])
        return tile.across(tile.per_row(self.row_table.at[0]))

    def derivatives(self, row_base: Any, column_base: Any) -> tuple[Any, Any, Any]:
        """Weights, derivatives of the loss in the scores, and in the centre (None without one)."""
        plan, tile = self.plan, self.plan.tile
        position = tile.positions(column_base, 1) if plan.queries else tile.positions(row_base, 0)
        found = scores(tile, self.rows, self.columns, self.vector, self.exponentials)
        allowed = (self.of_queries(START) <= position) & (position <= self.of_queries(END))
        allowed &= self.counted() > 0
        softmax = jnp.where(allowed, jnp.exp(found - self.of_queries(LOG_SUM_EXP)), 0)
        of_weights = tile.product(self.row_values, self.column_values, transposed=True)
        weights, in_centre = softmax, None
        if tile.sigma is not None:
            distance = position - self.of_queries(CENTRE)
            weights = softmax * gaussian(tile.sigma, distance)
            in_centre = weights * of_weights * distance * (1 / tile.sigma**2)
        return weights, weights * of_weights - softmax * self.of_queries(DELTA), in_centre

    def add_additive(self, in_scores: Any, sums: Any) -> None:
        """Add to `sums` sum_columns de r (1 - r) of each feature and, in the pass over keys, de tanh."""
        tile = self.plan.tile

        def total_of(exponentials):
            def add(e, _):
                x, y, reciprocal = pair(tile, self.rows, self.columns, e, exponentials)
                for feature, r in ((e, y * reciprocal), (e + 1, x * reciprocal)):
                    terms = (in_scores * (r - r * r), in_scores * (1 - 2 * r))
                    for total, term in zip(sums, terms[: len(sums)], strict=True):
                        total[feature] = tile.per_row(total.at[feature]) + jnp.sum(term, axis=1)
                return jnp.int32(0)

            return features(tile, jnp.int32(0), add)

        lax.cond(self.exponentials, functools.partial(total_of, True), functools.partial(total_of, False))


def _body(plan, *refs):
    """One block of rows."""
    tile, count = plan.tile, len(plan.outputs(1, ROWS))
    live, row_side, column_side = refs[0], refs[1:4], refs[4:7]
    vector, exponentials, outputs = refs[7], refs[8], refs[9 : 9 + count]
    rows, row_values, row_table, *column_buffers, weights, ready, streamed = refs[9 + count : 18 + count]
    sums = refs[18 + count :]
    batch, block = place(outputs[1].shape[1] // ROWS)
    base = block * ROWS
    _fetch(tile, row_side, batch, base, ROWS, (rows, row_values, row_table), ready)
    plgpu.copy_gmem_to_smem(vector.at[batch], weights, ready)
    _clear(tile, sums)
    plgpu.barrier_wait(ready)
    precomputed = exponentials[batch] > 0

    def fetch(block, slot):
        buffers = tuple(buffer.at[slot] for buffer in column_buffers)
        _fetch(tile, column_side, batch, block * tile.columns, tile.columns, buffers, streamed.at[slot])

    def step(block, slot, carry):
        columns, values, table = (buffer.at[slot] for buffer in column_buffers)
        held = Block(plan, rows, row_values, row_table, columns, values, table, weights, precomputed)
        return _accumulate(held, held.derivatives(base, block * tile.columns), sums, carry)

    of_operand = () if tile.additive else (tile.constant(0.0, ROWS, tile.score),)
    of_others = tile.constant(0.0, ROWS) if plan.queries else tile.constant(0.0, ROWS, tile.value)
    none = (of_others, *of_operand)
    others, *operand = tile.stream(live[batch, block, 0], live[batch, block, 1], fetch, streamed, step, none)
    if plan.queries:
        outputs[1][batch, pl.ds(base, ROWS)] = others
    else:
        outputs[1][batch, pl.ds(base, ROWS), :] = others
    if operand:
        outputs[0][batch, pl.ds(base, ROWS), :] = operand[0]
    _store(sums, [out.at[batch, :, pl.ds(base, ROWS)] for out in (outputs[0], *outputs[2:])])


def _fetch(tile, sources, batch, base, positions, buffers, barrier):
    operand, values, table = sources
    tile.fetch_operand(operand, batch, base, positions, buffers[0], barrier)
    tile.fetch_values(values, batch, base, positions, buffers[1], barrier)
    plgpu.copy_gmem_to_smem(table.at[batch, :, pl.ds(base, positions)], buffers[2], barrier)


def _accumulate(held, found, sums, carry):
    """Add what a tile gives: see `Pass.outputs`."""
    weights, in_scores, in_centre = found
    tile, (others, *operand) = held.plan.tile, carry
    if not held.plan.queries:
        others = tile.product(tile.split(weights), held.column_values, onto=others)
    elif in_centre is not None:
        others = others + jnp.sum(in_centre, axis=1)
    if tile.additive:
        held.add_additive(in_scores, sums)
        return (others,)
    return others, tile.product(tile.split(in_scores), held.columns, onto=operand[0])


def _clear(tile, sums):
    if not sums:
        return

    @pl.loop(0, tile.score)
    def _(e):
        for total in sums:
            total[e] = tile.constant(0.0, ROWS)


def _store(sums, outputs):
    if not sums:
        return
    plgpu.commit_smem()
    for total, out in zip(sums, outputs, strict=True):
        plgpu.copy_smem_to_gmem(total, out)
    plgpu.wait_smem_to_gmem(0)
