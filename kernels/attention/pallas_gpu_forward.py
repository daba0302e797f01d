"""Context and log-sum-exp on a GPU: one pass over the live keys of each block of queries."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import mosaic_gpu as plgpu

from kernels.attention.pallas_gpu_tiles import (
    CENTRE,
    END,
    MASKED,
    PER_QUERY,
    ROWS,
    START,
    Tile,
    gaussian,
    launch,
    scores,
)
from kernels.gpu_tiles import over_batch, place


def forward(tile: Tile, arrays: dict[str, Any], dtype: Any) -> tuple[Any, Any]:
    """Context [batch, padded m, padded dv] in `dtype` and log-sum-exp [batch, padded m].

    arrays: live (first key block and the one after the last of each query block), query, key,
    value, queries, keys, vector, exponentials, as `pallas_gpu.Kernel` prepares them.
    """

    def run(*inputs):
        batch, _, m = inputs[4].shape
        out = (
            jax.ShapeDtypeStruct((batch, m, tile.value), dtype),
            jax.ShapeDtypeStruct((batch, m), jnp.float32),
        )
        scratch = [
            tile.operand(ROWS),
            tile.operand(tile.columns, tile.stages),
            tile.values(tile.columns, tile.stages),
            plgpu.SMEM((PER_QUERY, ROWS), jnp.float32),
            plgpu.SMEM((tile.stages, 1, tile.columns), jnp.float32),
            plgpu.SMEM(inputs[6].shape[1:], jnp.float32),
            tile.result(dtype),
            plgpu.Barrier(num_arrivals=tile.copies - tile.parts + 2),
            plgpu.Barrier(num_arrivals=tile.copies + 1, num_barriers=tile.stages),
        ]
        body = functools.partial(_body, tile)
        return launch(body, "forward", tile, out, scratch, (batch, m // ROWS))(*inputs)

    names = ("live", "query", "key", "value", "queries", "keys", "vector", "exponentials")
    return over_batch(run)(*(arrays[name] for name in names))


def _body(
    tile, live, query, key, value, queries, keys, vector, exponentials, context, log_sum_exp,
    rows, columns, values, table, counted, weights, result, ready, streamed,
):  # fmt: skip
    """One block of queries."""
    batch, block = place(context.shape[1] // ROWS)
    base = block * ROWS
    tile.fetch_operand(query, batch, base, ROWS, rows, ready)
    plgpu.copy_gmem_to_smem(queries.at[batch, :, pl.ds(base, ROWS)], table, ready)
    plgpu.copy_gmem_to_smem(vector.at[batch], weights, ready)
    plgpu.barrier_wait(ready)
    precomputed = exponentials[batch] > 0

    def fetch(block, slot):
        base = block * tile.columns
        tile.fetch_operand(key, batch, base, tile.columns, columns.at[slot], streamed.at[slot])
        tile.fetch_values(value, batch, base, tile.columns, values.at[slot], streamed.at[slot])
        plgpu.copy_gmem_to_smem(
            keys.at[batch, :, pl.ds(base, tile.columns)], counted.at[slot], streamed.at[slot]
        )

    def step(block, slot, carry):
        total, top, mean = carry
        found = scores(tile, rows, columns.at[slot], weights, precomputed)
        position = tile.positions(block * tile.columns, 1)
        start, end = (tile.across(tile.per_row(table.at[i])) for i in (START, END))
        allowed = (start <= position) & (position <= end) & (tile.down(counted.at[slot, 0]) > 0)
        found = jnp.where(allowed, found, MASKED)
        higher = jnp.maximum(top, jnp.max(found, axis=1))
        shrink = jnp.exp(top - higher)
        raised = jnp.where(allowed, jnp.exp(found - tile.across(higher)), 0)
        total = total * shrink + jnp.sum(raised, axis=1)
        if tile.sigma is not None:
            raised *= gaussian(tile.sigma, position - tile.across(tile.per_row(table.at[CENTRE])))
        mean = mean * tile.across(shrink, tile.value)
        return total, higher, tile.product(tile.split(raised), values.at[slot], onto=mean)

    none = (tile.constant(0.0, ROWS), tile.constant(MASKED, ROWS), tile.constant(0.0, ROWS, tile.value))
    total, top, mean = tile.stream(live[batch, block, 0], live[batch, block, 1], fetch, streamed, step, none)
    some = total > 0
    safe = jnp.where(some, total, 1)
    log_sum_exp[batch, pl.ds(base, ROWS)] = jnp.where(some, top + jnp.log(safe), jnp.inf)
    result[...] = (mean * tile.across(1 / safe, tile.value)).astype(context.dtype)
    plgpu.commit_smem()
    plgpu.copy_smem_to_gmem(result, context.at[batch, pl.ds(base, ROWS), :])
    plgpu.wait_smem_to_gmem(0)
