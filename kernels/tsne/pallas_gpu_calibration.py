"""Calibration on a GPU: blocks of 64 rows, which every pass streams anew, from distances or points.

A program has no room for whole rows; a pass over distances reads them from global memory, a pass
over points computes them.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import mosaic_gpu as plgpu

from kernels.gpu_tiles import ROWS, SKEW, Tile, launch, over_batch, place
from kernels.tsne.halley import FAR, Solved, solve
from kernels.tsne.pallas_pairs import FAR_AWAY


@dataclasses.dataclass(frozen=True, kw_only=True)
class Calibration(Tile):
    """beta of each row of distances or points: see `halley.solve`."""

    columns: int = 32
    stages: int = 2

    def of_distances(self, distances: Any, weights: Any, perplexity: Any) -> Solved:
        """Rows [n, k], infinite where left out; weights [1, k], [n, k] or None."""
        n = distances.shape[0]
        filled = functools.partial(self._filled, rows=max(ROWS, n))
        if weights is None:
            return self._launch("distances", n, perplexity, tiles=[filled(distances, value=jnp.inf)])
        if weights.shape[0] == n:
            tiles = [filled(distances, value=jnp.inf), filled(weights, value=0.0)]
            return self._launch("weighted_distances", n, perplexity, tiles=tiles)
        lines, tiles = self._filled(weights, rows=1, value=0.0), [filled(distances, value=jnp.inf)]
        return self._launch("distances_and_weights", n, perplexity, tiles=tiles, lines=[lines])

    def of_points(self, points: Any, weights: Any, perplexity: Any) -> Solved:
        """All points [n, d] to all others; weights [n] or None."""
        n, d = points.shape
        fill = ((0, 0), (0, -n % ROWS))
        lines = jnp.pad(points.T, fill, constant_values=FAR_AWAY)
        if weights is not None:
            lines = jnp.concatenate([lines, jnp.pad(weights[None, :], fill)])
        return self._launch("points", n, perplexity, lines=[lines], coordinates=d)

    def _filled(self, x: Any, rows: int, value: float) -> Any:
        return jnp.pad(x, ((0, rows - x.shape[0]), (0, -x.shape[1] % self.columns)), constant_values=value)

    def _launch(self, name, n, perplexity, tiles=(), lines=(), coordinates=None) -> Solved:
        """`tiles` are read 64 rows at a time, `lines` whole; both in columns."""
        shapes = [(ROWS, self.columns + SKEW)] * len(tiles) + [(len(x), self.columns) for x in lines]
        scratch: dict[str, Any] = {
            "buffers": [plgpu.SMEM((self.stages, *shape), jnp.float32) for shape in shapes],
            "streamed": plgpu.Barrier(num_arrivals=len(shapes), num_barriers=self.stages),
        }
        if coordinates is not None:
            scratch["held"] = plgpu.SMEM((shapes[0][0], ROWS), jnp.float32)
            scratch["ready"] = plgpu.Barrier(num_arrivals=1)
        blocks = pl.cdiv(n, ROWS)

        def run(*given: Any) -> Any:
            batch = given[0].shape[0]
            out = jax.ShapeDtypeStruct((batch, len(Solved._fields), blocks * ROWS), jnp.float32)
            body = functools.partial(_body, self, coordinates)
            grid = (batch, blocks)
            return launch(body, f"tsne_calibrate_{name}", out, scratch, grid, self.interpret)(*given)

        found = over_batch(run)(*(x[None] for x in (perplexity, *tiles, *lines)))[0, :, :n]
        return Solved(found[0], found[1] > 0, found[2], found[3])


def _body(
    tile: Calibration, coordinates: int | None, perplexity: Any, *refs: Any,
    buffers: Any, streamed: Any, held: Any = None, ready: Any = None,
) -> None:  # fmt: skip
    """A block of rows."""
    *sources, solved = refs
    batch, block = place(solved.shape[2] // ROWS)
    base = block * ROWS
    if coordinates is not None:
        plgpu.copy_gmem_to_smem(sources[0].at[batch, :, pl.ds(base, ROWS)], held, ready)
        plgpu.barrier_wait(ready)

    def fetch(block: Any, slot: Any) -> None:
        first = block * tile.columns
        for source, buffer in zip(sources, buffers, strict=True):
            if buffer.shape[2] > tile.columns:
                part = source.at[batch, pl.ds(base, ROWS), pl.ds(first, tile.columns + SKEW)]
            else:
                part = source.at[batch, :, pl.ds(first, tile.columns)]
            plgpu.copy_gmem_to_smem(part, buffer.at[slot], streamed.at[slot])

    apart = tile.apart()

    def read(block: Any, slot: Any) -> Any:
        if coordinates is None:
            return tile.whole(buffers[0], slot), _weights(tile, buffers[1:], slot)
        differences = (
            tile.across(tile.per_row(held.at[e])) - tile.down(buffers[0].at[slot, e])
            for e in range(coordinates)
        )
        d = sum(jnp.square(x) for x in differences)
        d = jnp.where(apart == base - block * tile.columns, jnp.inf, d)
        weights = buffers[0].at[slot, coordinates] if buffers[0].shape[1] > coordinates else None
        return d, None if weights is None else tile.down(weights)

    count = sources[0].shape[2] // tile.columns
    rows = _Rows(tile, functools.partial(tile.stream, jnp.int32(0), jnp.int32(count), fetch, streamed), read)
    found = solve(rows, rows.number(perplexity[batch]))
    feasible = jnp.where(found.feasible, 1.0, 0.0)
    for line, of_rows in enumerate(found._replace(feasible=feasible)):
        solved[batch, line, pl.ds(base, ROWS)] = of_rows


def _weights(tile: Calibration, buffers: Any, slot: Any) -> Any:
    """Weights beside distances: none, of each entry, or of each column."""
    if not buffers:
        return None
    return tile.down(buffers[0].at[slot, 0]) if buffers[0].shape[1] == 1 else tile.whole(buffers[0], slot)


@dataclasses.dataclass(frozen=True)
class _Rows:
    """`halley.Rows` that are streamed, numbers of rows [64].

    Attributes:
        stream: folds step(block, slot, carry) over the tiles.
        read: distances and weights of a tile, read(block, slot).
        scale: shift, and what distances are multiplied by then; None at first.
    """

    tile: Calibration
    stream: Callable
    read: Callable
    scale: Any = None

    def _over(self, terms: Callable, of_rows: Any, block: Any, slot: Any) -> Any:
        d, weights = self.read(block, slot)
        if self.scale is not None:
            shift, inverse = map(self.tile.across, self.scale)
            d = jnp.minimum((d - shift) * inverse, FAR)
        return terms(d, weights, *map(self.tile.across, of_rows))

    def sums(self, terms: Callable, *of_rows: Any) -> tuple[Any, ...]:
        def add(block: Any, slot: Any, totals: Any) -> Any:
            found = self._over(terms, of_rows, block, slot)
            return tuple(total + jnp.sum(x, axis=1) for total, x in zip(totals, found, strict=True))

        pair = jax.ShapeDtypeStruct(self.tile.shape, jnp.float32)
        count = len(jax.eval_shape(terms, pair, pair, *(pair for _ in of_rows)))
        return self.stream(add, (self.number(0.0),) * count)

    def least(self, term: Callable, *of_rows: Any) -> Any:
        def lower(block: Any, slot: Any, least: Any) -> Any:
            return jnp.minimum(least, jnp.min(self._over(term, of_rows, block, slot), axis=1))

        return self.stream(lower, self.number(jnp.inf))

    def scaled(self, shift: Any, scale: Any) -> "_Rows":
        return dataclasses.replace(self, scale=(shift, 1 / scale))

    def number(self, value: Any) -> Any:
        return self.tile.laid(jnp.full((ROWS,), value, jnp.float32), plgpu.Layout.WGMMA.reduce(1))

    def some(self, of_rows: Any) -> Any:
        return jnp.max(jnp.where(of_rows, 1.0, 0.0)) > 0
