"""Calibration on a TPU: blocks of whole rows in vector memory, rows along the sublanes."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu

from kernels.tsne.halley import FAR, Solved, solve

LANES, SUBLANES = 128, 8
ELEMENTS = 4096  # of a piece of rows: four registers
HEIGHTS = (32, 8)  # of a block, the first that fits
MEMORY = 14 * 2**20  # bytes of vector memory, less what the compiler takes


@dataclasses.dataclass(frozen=True)
class Calibration:
    """beta of each row of distances or points: see `halley.solve`.

    Attributes:
        interpret: run on any device by the interpreter.
    """

    interpret: bool = False

    def of_distances(self, distances: Any, weights: Any, perplexity: Any) -> Solved:
        """Rows [n, k], infinite where left out; weights [1, k], [n, k] or None."""
        n, k = distances.shape
        height, width = block(k, distance_lines(weights))
        rows, size = -n % height, width - k
        given = [jnp.pad(distances, ((0, rows), (0, size)), constant_values=jnp.inf)]
        specs = [pl.BlockSpec((height, width), lambda i: (i, 0))]
        if weights is not None:
            whole = weights.shape[0] == n
            given += [jnp.pad(weights, ((0, rows if whole else 0), (0, size)))]
            shape = (height, width) if whole else (1, width)
            specs += [pl.BlockSpec(shape, (lambda i: (i, 0)) if whole else (lambda i: (0, 0)))]
        return self._launch("tsne_calibrate", _distances, given, specs, n, height, width, perplexity)

    def of_points(self, points: Any, weights: Any, perplexity: Any) -> Solved:
        """All points [n, d] to all others; weights [n] or None."""
        n, d = points.shape
        height, width = block(n, point_lines(d))
        given = [jnp.pad(points, ((0, -n % height), (0, 0)))]
        given += [jnp.pad(points, ((0, width - n), (0, 0))).T]
        specs = [pl.BlockSpec((height, d), lambda i: (i, 0)), pl.BlockSpec((d, width), lambda i: (0, 0))]
        if weights is not None:
            given += [jnp.pad(weights, (0, width - n))[None, :]]
            specs += [pl.BlockSpec((1, width), lambda i: (0, 0))]
        body = functools.partial(_points, n)
        return self._launch("tsne_calibrate_points", body, given, specs, n, height, width, perplexity)

    def _launch(self, name, body, given, specs, n, height, width, perplexity):
        blocks = pl.cdiv(n, height)
        scalar = pl.BlockSpec((1, 1), lambda i: (0, 0), memory_space=pltpu.SMEM)
        found = pl.pallas_call(
            body,
            grid=(blocks,),
            in_specs=[scalar, *specs],
            out_specs=pl.BlockSpec((height, len(Solved._fields)), lambda i: (i, 0)),
            out_shape=jax.ShapeDtypeStruct((blocks * height, len(Solved._fields)), jnp.float32),
            scratch_shapes=[pltpu.VMEM((height, width), jnp.float32)],
            compiler_params=pltpu.CompilerParams(dimension_semantics=("parallel",)),
            interpret=self.interpret,
            name=name,
        )(perplexity.reshape(1, 1), *given)
        beta, feasible, shift, total = found[:n].T
        return Solved(beta, feasible > 0, shift, total)


def why_not_rows(entries: int, coordinates: int | None, weights: Any) -> str | None:
    """Why no block of rows fits, or None."""
    lines = distance_lines(weights) if coordinates is None else point_lines(coordinates)
    if _bytes(entries, HEIGHTS[-1], lines) <= MEMORY:
        return None
    most = MEMORY // (4 * (lines[0] * HEIGHTS[-1] + lines[1]))
    return (
        f"a row has {entries} entries; vector memory holds blocks of {HEIGHTS[-1]} rows of at most "
        f"{most - most % _piece(HEIGHTS[-1])}"
    )


def distance_lines(weights: Any) -> tuple[int, int]:
    """Lines of whole rows in vector memory: for each row of a block, and besides."""
    return (3 if weights is None or weights.shape[0] == 1 else 5), 2 * SUBLANES


def point_lines(d: int) -> tuple[int, int]:
    """The same of points of d coordinates."""
    return 1, 2 * (pl.cdiv(d, SUBLANES) + 1) * SUBLANES


def block(k: int, lines: tuple[int, int]) -> tuple[int, int]:
    """Rows of a block and entries of a row, in whole pieces."""
    height = next((x for x in HEIGHTS if _bytes(k, x, lines) <= MEMORY), HEIGHTS[-1])
    return height, _width(k, height)


def _bytes(k: int, height: int, lines: tuple[int, int]) -> int:
    return 4 * _width(k, height) * (lines[0] * height + lines[1])


def _width(k: int, height: int) -> int:
    return pl.cdiv(k, _piece(height)) * _piece(height)


def _piece(height: int) -> int:
    return ELEMENTS // height


def _distances(perplexity: Any, distances: Any, *rest: Any) -> None:
    *weights, out, scratch = rest
    _solve(_Rows(distances, weights[0] if weights else None, scratch), perplexity, out)


def _points(n: int, perplexity: Any, rows: Any, columns: Any, *rest: Any) -> None:
    *weights, out, scratch = rest
    held = _Rows(scratch, weights[0] if weights else None, scratch)
    row = pl.program_id(0) * scratch.shape[0] + lax.broadcasted_iota(jnp.int32, held.piece, 0)

    def fill(first: Any, carry: Any) -> Any:
        some = pl.ds(first, held.piece[1])
        column = first + lax.broadcasted_iota(jnp.int32, held.piece, 1)
        d = sum(jnp.square(rows[:, e : e + 1] - columns[e : e + 1, some]) for e in range(rows.shape[1]))
        scratch[:, some] = jnp.where((row == column) | (column >= n), jnp.inf, d)
        return carry

    held.pieces(fill, jnp.int32(0))
    _solve(held, perplexity, out)


def _solve(rows: "_Rows", perplexity: Any, out: Any) -> None:
    solved = solve(rows, rows.number(perplexity[0, 0]))
    feasible = jnp.where(solved.feasible, 1.0, 0.0)
    for line, of_rows in enumerate(solved._replace(feasible=feasible)):
        out[:, line : line + 1] = of_rows


@dataclasses.dataclass(frozen=True)
class _Rows:
    """`halley.Rows` in vector memory, numbers of rows [height, 1]."""

    distances: Any
    weights: Any
    scratch: Any

    @property
    def piece(self) -> tuple[int, int]:
        height = self.distances.shape[0]
        return height, _piece(height)

    def pieces(self, step: Callable, carry: Any) -> Any:
        """Fold step(first column, carry) over the pieces of the rows."""
        width = self.piece[1]
        at = lambda i, carry: step(pl.multiple_of(i * width, width), carry)  # noqa: E731
        return lax.fori_loop(0, self.distances.shape[1] // width, at, carry)

    def at(self, first: Any) -> tuple[Any, Any]:
        """Distances and weights of a piece."""
        some = pl.ds(first, self.piece[1])
        return self.distances[:, some], None if self.weights is None else self.weights[:, some]

    def sums(self, terms: Callable, *of_rows: Any) -> tuple[Any, ...]:
        def add(first: Any, totals: Any) -> Any:
            found = terms(*self.at(first), *of_rows)
            return tuple(total + x for total, x in zip(totals, found, strict=True))

        shapes = jax.eval_shape(lambda: terms(*self.at(0), *of_rows))
        totals = self.pieces(add, tuple(jnp.zeros(self.piece, jnp.float32) for _ in shapes))
        return tuple(jnp.sum(total, axis=1, keepdims=True) for total in totals)

    def least(self, term: Callable, *of_rows: Any) -> Any:
        def lower(first: Any, least: Any) -> Any:
            return jnp.minimum(least, term(*self.at(first), *of_rows))

        least = self.pieces(lower, jnp.full(self.piece, jnp.inf, jnp.float32))
        return jnp.min(least, axis=1, keepdims=True)

    def scaled(self, shift: Any, scale: Any) -> "_Rows":
        def write(first: Any, carry: Any) -> Any:
            d, _ = self.at(first)
            self.scratch[:, pl.ds(first, self.piece[1])] = jnp.where(d < FAR, (d - shift) / scale, FAR)
            return carry

        self.pieces(write, jnp.int32(0))
        return _Rows(self.scratch, self.weights, self.scratch)

    def number(self, value: Any) -> Any:
        return jnp.full((self.distances.shape[0], 1), value, jnp.float32)

    def some(self, of_rows: Any) -> Any:
        return jnp.max(jnp.where(of_rows, 1.0, 0.0)) > 0
