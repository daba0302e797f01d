"""What Pallas kernels for NVIDIA GPUs are built from: tiles in registers, a pipeline of copies, the launch.

A program of 128 threads (a warpgroup) holds tiles of ROWS x columns in registers, laid out as the
results of matrix instructions are: four threads share a row, so that sums along it stay in a warp.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import mosaic_gpu as plgpu

ROWS = 64  # the rows of a matrix instruction of a warpgroup
HOPPER = 9.0  # compute capability
SKEW = 4  # numbers between lines of a tile in shared memory, so that the lines a warp reads lie in different banks


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tile:
    """Tiles of ROWS x columns, whose columns are streamed.

    Attributes:
        columns: of a tile.
        stages: buffers of the streamed side.
        interpret: parameters of Pallas' interpreter of GPU kernels, or None to run on a GPU.
    """

    columns: int
    stages: int
    interpret: Any = None

    @property
    def shape(self) -> tuple[int, int]:
        return ROWS, self.columns

    def laid(self, x: Any, layout: Any) -> Any:
        """The array spread over the threads by `layout`; the interpreter knows no threads."""
        return x if self.interpret is not None else plgpu.layout_cast(x, layout)

    def constant(self, value: float, *shape: int) -> Any:
        """A tile, or a number per row, all of one value."""
        layout = plgpu.Layout.WGMMA if len(shape) == 2 else plgpu.Layout.WGMMA.reduce(1)
        return self.laid(jnp.full(shape, value, jnp.float32), layout)

    def per_row(self, vector: Any) -> Any:
        """Read from shared memory: one number for each row of a tile."""
        return self.laid(vector[...], plgpu.Layout.WGMMA.reduce(1))

    def across(self, vector: Any, columns: int | None = None) -> Any:
        """A number per row, repeated along it."""
        wide = lax.broadcast_in_dim(vector, (ROWS, columns or self.columns), (0,))
        return self.laid(wide, plgpu.Layout.WGMMA)

    def down(self, vector: Any) -> Any:
        """Read from shared memory: one number for each column, repeated along it."""
        laid = self.laid(vector[...], plgpu.Layout.WGMMA.reduce(0))
        return self.laid(lax.broadcast_in_dim(laid, self.shape, (1,)), plgpu.Layout.WGMMA)

    def whole(self, tiles: Any, slot: Any) -> Any:
        """Read from shared memory: a tile, from lines that may be longer than it (see `SKEW`)."""
        tile = tiles.at[slot, :, pl.ds(0, self.columns)]
        if self.interpret is not None:
            return tile[...]
        index = () if jax.__version_info__ >= (0, 11) else (None,)  # an argument that load had before
        return plgpu.load(tile, *index, layout=plgpu.Layout.WGMMA, optimized=False)

    def positions(self, base: Any, axis: int) -> Any:
        """base, base + 1 ... along an axis of the tile, as float32 (exact to 2^24)."""
        index = self.laid(lax.broadcasted_iota(jnp.int32, self.shape, axis), plgpu.Layout.WGMMA)
        return (index + base).astype(jnp.float32)

    def apart(self) -> Any:
        """Column less row of each place in a tile."""
        column, row = (
            self.laid(lax.broadcasted_iota(jnp.int32, self.shape, axis), plgpu.Layout.WGMMA)
            for axis in (1, 0)
        )
        return column - row

    def stream(
        self, first: Any, stop: Any, fetch: Callable, barriers: Any, step: Callable, carry: Any
    ) -> Any:
        """`step(block, slot, carry)` over the blocks first .. stop - 1, while the next one is on its way.

        fetch(block, slot) starts the copies that `barriers[slot]` waits for.
        """
        ahead = self.stages - 1
        slot_of = lambda block: lax.rem(block - first, jnp.int32(self.stages))  # noqa: E731

        @pl.when(first < stop)
        def _():
            fetch(first, jnp.int32(0))

        def body(block, carry):
            def start_next():
                pl.when(block + 1 < stop)(lambda: fetch(block + 1, slot_of(block + 1)))

            if ahead:
                start_next()
            plgpu.barrier_wait(barriers.at[slot_of(block)])
            carry = step(block, slot_of(block), carry)
            if not ahead:
                start_next()
            return carry

        return lax.fori_loop(first, stop, body, carry)


def launch(body: Any, name: str, out: Any, scratch: Any, grid: tuple[int, int], interpret: Any) -> Callable:
    """The kernel over a grid of (rows of the batch, blocks); every array begins with the batch."""
    body.__name__ = name  # in profiles
    return plgpu.kernel(
        body,
        out_type=out,
        scratch_types=scratch,
        grid=(grid[0] * grid[1],),  # of one dimension: only that may exceed 65535
        grid_names=("program",),
        interpret=interpret,
        compiler_params=plgpu.CompilerParams(
            approx_math=True, lowering_semantics=plgpu.LoweringSemantics.Lane
        ),
    )


def generation() -> str | None:
    """Compute capability of the GPU at hand, or None without one."""
    return getattr(jax.local_devices()[0], "compute_capability", None)


def place(blocks: int) -> tuple[Any, Any]:
    """Row of the batch and block of the running program."""
    program = lax.axis_index("program")
    return lax.div(program, jnp.int32(blocks)), lax.rem(program, jnp.int32(blocks))


def over_batch(function: Callable) -> Callable:
    """`function` of arrays that begin with the batch, under vmap: the new axis joins the batch."""

    @jax.custom_batching.custom_vmap
    def mapped(*arrays):
        return function(*arrays)

    @mapped.def_vmap
    def rule(size, batched, *arrays):
        def folded(x, is_batched):
            x = x if is_batched else jnp.broadcast_to(x[None], (size, *x.shape))
            return x.reshape(-1, *x.shape[2:])

        found = mapped(*(folded(x, b) for x, b in zip(arrays, batched, strict=True)))
        found = jax.tree.map(lambda x: x.reshape(size, -1, *x.shape[1:]), found)
        return found, jax.tree.map(lambda _: True, found)

    return mapped
