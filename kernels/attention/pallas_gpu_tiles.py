"""What the GPU kernels are built from: tiles in shared memory, products on tensor cores, the score of a tile.

A program of 128 threads (a warpgroup) holds a tile of ROWS x columns scores in registers. Queries
are its rows in the forward pass and in that of the gradient of the queries, keys are in that of the
gradient of the keys, so that every sum runs along a row and no program writes where another does.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import mosaic_gpu as plgpu

from kernels import gpu_tiles
from kernels.gpu_tiles import ROWS

SWIZZLED = 64  # bfloat16 numbers in the 128 bytes that shared memory is swizzled over
UNROLLED = 4  # features of the additive score between two tests of its loop
MASKED = -1e30
LARGEST = 2.0**62  # product of two exponentials, so that x y of `pair` is a float32
SURELY_SATURATED = 20.0  # 1 + e^40 is below LARGEST
START, END, CENTRE, LOG_SUM_EXP, DELTA = range(5)
PER_QUERY = 8  # rows of the table of queries, of which the above are used


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tile(gpu_tiles.Tile):
    """The static side of a kernel.

    Attributes (further ones in `gpu_tiles.Tile`):
        score: features of queries and keys, padded.
        value: features of values, padded.
        parts: bfloat16 terms that an operand of a matrix product is the sum of.
        additive: whether the score is additive: operands [features, positions] in float32, and no parts.
        sigma: of the Gaussian, or None.
    """

    score: int
    value: int
    parts: int
    additive: bool
    sigma: float | None

    def operand(self, positions: int, *lead: int) -> Any:
        """Shared memory for queries or keys of a block."""
        if self.additive:
            return plgpu.SMEM((*lead, self.score, positions), jnp.float32)
        return self.values(positions, *lead, features=self.score)

    def values(self, positions: int, *lead: int, features: int | None = None) -> Any:
        """Shared memory for an operand of a matrix product."""
        wide = min(SWIZZLED, self.columns)  # a product takes whole swizzled lines, of columns too
        transforms = (plgpu.TilingTransform((8, wide)), plgpu.SwizzleTransform(2 * wide))
        shape = (*lead, self.parts, positions, features or self.value)
        return plgpu.SMEM(shape, jnp.bfloat16, transforms=transforms)

    def result(self, dtype: Any) -> Any:
        """Shared memory that the context leaves by."""
        transforms = (plgpu.TilingTransform((8, 128 // dtype.itemsize)), plgpu.SwizzleTransform(128))
        return plgpu.SMEM((ROWS, self.value), dtype, transforms=transforms)

    def fetch_operand(
        self, source: Any, row: Any, base: Any, positions: int, target: Any, barrier: Any
    ) -> None:
        """Start the copy of a block of queries or keys."""
        if self.additive:
            plgpu.copy_gmem_to_smem(source.at[row, :, pl.ds(base, positions)], target, barrier)
        else:
            self.fetch_values(source, row, base, positions, target, barrier)

    def fetch_values(
        self, source: Any, row: Any, base: Any, positions: int, target: Any, barrier: Any
    ) -> None:
        """Start the copy of a block of values, term by term: a copy has five dimensions at most."""
        for i in range(self.parts):
            plgpu.copy_gmem_to_smem(source.at[row, i, pl.ds(base, positions), :], target.at[i], barrier)

    @property
    def copies(self) -> int:
        """How many the two fetches start."""
        return self.parts + (1 if self.additive else self.parts)

    def split(self, x: Any) -> list[Any]:
        """The terms of a tile whose sum it is, to be the left side of a product."""
        terms = []
        for _ in range(self.parts):
            terms.append(x.astype(jnp.bfloat16))
            x = x - terms[-1].astype(jnp.float32)
        return terms

    def product(self, left: Any, right: Any, *, transposed: bool = False, onto: Any = None) -> Any:
        """left @ right, or left @ right^T, in float32, added to `onto` where that is given.

        right: a reference [parts, ...] to shared memory; left: one too, or the terms of a tile.
        Products of terms below the precision of float32 are left out.
        """
        terms = [(i, j) for i in range(self.parts) for j in range(self.parts - i)][::-1]
        of = (lambda x, i: x[i]) if isinstance(left, list) else (lambda x, i: x.at[i])
        pairs = [(of(left, i), right.at[j]) for i, j in terms]
        if self.interpret is not None:
            return _interpreted(pairs, transposed, onto)
        turned = (lambda ref: ref.transpose((1, 0))) if transposed else (lambda ref: ref)

        def multiply(accumulator):
            for a, b in pairs:
                plgpu.wgmma(accumulator, a, turned(b))

        if onto is not None:
            return pl.run_state(multiply)(plgpu.ACC.init(onto))
        shape = (ROWS, right.shape[-2] if transposed else right.shape[-1])
        return pl.run_scoped(lambda acc: (multiply(acc), acc[...])[1], plgpu.ACC(shape, jnp.float32))


def _interpreted(pairs: list[Any], transposed: bool, onto: Any) -> Any:
    total = onto
    for a, b in pairs:
        a, b = (x[...].astype(jnp.float32) for x in (a, b))
        found = a @ (b.T if transposed else b)
        total = found if total is None else total + found
    return total


def pair(tile: Tile, rows: Any, columns: Any, feature: Any, exponentials: bool) -> tuple[Any, Any, Any]:
    """x = 1 + e^2(a + b) of a feature, y of the next one, and 1 / (x y): one reciprocal for two.

    tanh(a + b) = 1 - 2 / x. exponentials: the operands are e^2a and e^2b already, their products at
    most LARGEST; otherwise an exponential is taken for each sum.
    """

    def one_and(e):
        a, b = tile.across(tile.per_row(rows.at[e])), tile.down(columns.at[e])
        return 1 + (a * b if exponentials else jnp.exp(jnp.minimum(2 * (a + b), 2 * SURELY_SATURATED)))

    x, y = one_and(feature), one_and(feature + 1)
    root = lax.rsqrt(x * y)
    return x, y, root * root


def features(tile: Tile, start: Any, body: Callable) -> Any:
    """Fold `body(feature, carry)` over every second feature of the additive score."""

    def several(i, carry):
        for k in range(0, UNROLLED, 2):
            carry = body(i * UNROLLED + k, carry)
        return carry

    return lax.fori_loop(0, tile.score // UNROLLED, several, start)


def scores(tile: Tile, rows: Any, columns: Any, vector: Any, exponentials: Any) -> Any:
    """Scores of the pairs of a tile.

    vector: v in shared memory, and after its features their sum; exponentials: see `pair`,
    known when running.
    """
    if not tile.additive:
        return tile.product(rows, columns, transposed=True)

    def total(exponentials):
        def add(e, s):
            x, y, reciprocal = pair(tile, rows, columns, e, exponentials)
            return s + (vector[e] * y + vector[e + 1] * x) * reciprocal

        return features(tile, tile.constant(0.0, *tile.shape), add)

    found = lax.cond(exponentials, functools.partial(total, True), functools.partial(total, False))
    return vector[tile.score] - 2 * found


def gaussian(sigma: float, distance: Any) -> Any:
    """exp(-distance^2 / 2 sigma^2)."""
    return jnp.exp(distance * distance * (-0.5 / sigma**2))


def launch(body: Any, name: str, tile: Tile, out: Any, scratch: list[Any], grid: tuple[int, int]) -> Callable:
    """The kernel over a grid of (rows of the batch, blocks); every array begins with the batch."""
    kind = "additive" if tile.additive else "dot"
    return gpu_tiles.launch(body, f"{kind}_attention_{name}", out, scratch, grid, tile.interpret)
