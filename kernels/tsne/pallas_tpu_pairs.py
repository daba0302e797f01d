"""Sums over all pairs on a TPU: rows along the lanes, columns along the sublanes, sums within lanes."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu

from kernels.tsne.pallas_pairs import Lines, finished, table
from kernels.tsne.results import DenseJoint
from kernels.tsne.sums import Sums

LANES = 128
TILE = 16  # columns taken together; 4 registers of rows beside them make an array of 8


@dataclasses.dataclass(frozen=True)
class Pairs:
    """`Sums` of an embedding and a joint: (y, joint, v) -> Sums.

    Attributes:
        rows: in a block, along the lanes; a multiple of 128 on a TPU.
        columns: in a block, along the sublanes; a multiple of 16.
        interpret: run on any device by the interpreter.
    """

    rows: int = 4 * LANES
    columns: int = 2 * LANES
    interpret: bool = False

    def __call__(self, y: Any, joint: Any, v: float) -> Sums:
        n = y.shape[0]
        least = TILE if self.interpret else LANES
        rows, columns = (min(size, pl.cdiv(n, least) * least) for size in (self.rows, self.columns))
        size = pl.cdiv(n, rows) * rows
        lines, points = table(y, joint, max(size, pl.cdiv(n, columns) * columns))
        given = [(points[:, :size], (points.shape[0], rows), lambda i, j: (0, i))]
        given += [(points.T, (columns, points.shape[0]), lambda i, j: (j, 0))]
        if isinstance(joint, DenseJoint):
            given += [(joint.values, (columns, rows), lambda i, j: (j, i))]
        sums = pl.pallas_call(
            functools.partial(_body, lines, v, n if n % columns else None),
            grid=(size // rows, pl.cdiv(n, columns)),
            in_specs=[pl.BlockSpec(shape, index) for _, shape, index in given],
            out_specs=pl.BlockSpec((lines.outputs, rows), lambda i, j: (0, i)),
            out_shape=jax.ShapeDtypeStruct((lines.outputs, size), jnp.float32),
            compiler_params=pltpu.CompilerParams(dimension_semantics=("parallel", "arbitrary")),
            interpret=self.interpret,
            name="tsne_pairs",
        )(*(array for array, _, _ in given))
        return finished(lines, sums[:, :n], joint)


def _body(lines: Lines, v: float, end: int | None, across: Any, down: Any, *rest: Any) -> None:
    """One block; end: the number of columns where the last block has fewer, whose P is anything."""
    *dense, sums = rest
    shape = (TILE, across.shape[1])
    row = pl.program_id(0) * shape[1] + lax.broadcasted_iota(jnp.int32, shape, 1)
    first = pl.program_id(1) * down.shape[0]

    def step(index: Any, totals: Any) -> Any:
        some = pl.ds(pl.multiple_of(index * TILE, TILE), TILE)
        columns = down[some, :]
        column = first + index * TILE + lax.broadcasted_iota(jnp.int32, shape, 0)
        p = [given[some, :] if end is None else jnp.where(column < end, given[some, :], 0) for given in dense]
        found = lines.terms(
            lambda line: across[pl.ds(line, 1), :],
            lambda line: columns[:, line : line + 1],
            p[0] if p else None,
            row == column,
            v,
        )
        return tuple(total + x for total, x in zip(totals, found, strict=True))

    none = (jnp.zeros(shape, jnp.float32),) * lines.outputs
    totals = lax.fori_loop(0, down.shape[0] // TILE, step, none)

    @pl.when(pl.program_id(1) == 0)
    def _() -> None:
        sums[...] = jnp.zeros(sums.shape, sums.dtype)

    for line, total in enumerate(totals):
        sums[pl.ds(line, 1), :] += jnp.sum(total, axis=0, keepdims=True)
