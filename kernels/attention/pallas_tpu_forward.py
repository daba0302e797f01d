"""The forward pass on a TPU: online softmax over the blocks of keys that a block of queries reaches."""

import types
from typing import Any

import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl

from kernels.attention import pallas_tpu_tiles as tiles
from kernels.attention.pallas_tpu_tiles import Place, Tiling, Walk

LOWEST = -1e30  # below any score; finite, so that no difference of two is NaN


def forward(
    tiling: Tiling,
    walk: Walk,
    steps: Any,
    across: dict[str, Any],
    down: dict[str, Any],
    vector: Any,
) -> tuple[Any, Any]:
    """Context transposed, [batch, dv, m], and log-sum-exp, [batch, 1, m]; queries across, keys down."""
    kind, rows = down["down_payload"].dtype, down["down_payload"].shape[2]
    scratch = {"top": (1, tiling.across), "total": (1, tiling.across), "sum": (rows, tiling.across)}
    if vector is not None:
        scratch["scores"] = (tiling.down, tiling.across)
    if "down_facts" in down:
        scratch["columns"] = (tiling.down, tiles.SUBLANES)

    def body(refs, place):
        pl.when(pl.program_id(2) == 0)(lambda: _begin(refs))
        pl.when(place.live)(lambda: _step(refs, place, tiling))
        pl.when(pl.program_id(2) == pl.num_programs(2) - 1)(lambda: _finish(refs))

    found = tiles.launch(
        "attention_forward", body, tiling, walk, steps,
        across=across, down=down, vector=vector, scratch=scratch,
        outputs={"context": (rows, kind), "log_sum_exp": (1, jnp.float32)},
    )  # fmt: skip
    return found["context"], found["log_sum_exp"]


def _begin(refs: types.SimpleNamespace) -> None:
    refs.top[...] = jnp.full(refs.top.shape, LOWEST, jnp.float32)
    refs.total[...] = jnp.zeros(refs.total.shape, jnp.float32)
    refs.sum[...] = jnp.zeros(refs.sum.shape, jnp.float32)


def _step(refs: types.SimpleNamespace, place: Place, tiling: Tiling) -> None:
    rows = pl.ds(0, tiling.down)
    tiles.set_columns(refs)
    fact = tiles.query_fact(refs, rows, tiling)
    allowed, keys = tiles.allowed_and_keys(refs, place, rows, tiling)
    logits = jnp.where(allowed, _scores(refs, place, tiling, rows), LOWEST)
    top = jnp.maximum(refs.top[...], jnp.max(logits, axis=0, keepdims=True))
    raised = jnp.where(allowed, jnp.exp(logits - top), 0.0)
    shrink = jnp.exp(refs.top[...] - top)
    refs.top[...] = top
    refs.total[...] = shrink * refs.total[...] + jnp.sum(raised, axis=0, keepdims=True)
    if tiling.sigma is not None:
        raised *= tiles.gaussian(keys, fact, tiling.sigma)
    value = refs.down_payload[...]
    refs.sum[...] = shrink * refs.sum[...] + tiles.matmul(value, raised.astype(value.dtype), (0, 0))


def _scores(refs: types.SimpleNamespace, place: Place, tiling: Tiling, rows: Any) -> Any:
    """Scores of a tile; of the additive score those within reach, and anything elsewhere."""
    if not hasattr(refs, "scores"):
        return tiles.scores(refs, rows)

    def tile(rows):
        refs.scores[rows, :] = tiles.scores(refs, rows)

    tiles.over_tiles(place, tiling, tile)
    return refs.scores[...]


def _finish(refs: types.SimpleNamespace) -> None:
    total = refs.total[...]
    some = total > 0
    safe = jnp.where(some, total, 1.0)
    refs.context[...] = (refs.sum[...] / safe).astype(refs.context.dtype)
    refs.log_sum_exp[...] = jnp.where(some, refs.top[...] + lax.log(safe), jnp.inf)
