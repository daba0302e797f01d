"""The backward passes on a TPU: scores are recomputed, dq with queries across and dk, dv with keys across.

With p = exp(e - lse), g the Gaussian, dp = dc . value and de = p (g dp - delta), the gradient
in the features x of the side across is a sum over the other side y:

    dot       dx = sum de y
    additive  dx = v sum de (1 - t^2),  dv = sum de t,  t = tanh(x + y)
"""

import types
from typing import Any

import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl

from kernels.attention import pallas_tpu_tiles as tiles
from kernels.attention.pallas_tpu_tiles import SUBLANES, Place, Tiling, Walk


def backward(
    tiling: Tiling,
    walk: Walk,
    steps: Any,
    across: dict[str, Any],
    down: dict[str, Any],
    vector: Any,
) -> dict[str, Any]:
    """Gradients of the side across, transposed, float32 [batch, rows, length]:

    features  of its features; of the additive score still to be multiplied by v
    vector    of the score vector, to be summed over batch and positions (queries across)
    centre    of the Gaussian, one row (queries across, with sigma)
    payload   of the values (keys across)
    """
    d, payload = across["across"].shape[1], across["across_payload"].shape[1]
    outputs = {"features": (d, jnp.float32)}
    if tiling.queries_across and vector is not None:
        outputs["vector"] = (d, jnp.float32)
    if tiling.queries_across and tiling.sigma is not None:
        outputs["centre"] = (1, jnp.float32)
    if not tiling.queries_across:
        outputs["payload"] = (payload, jnp.float32)
    scratch = _scratch(tiling, d, vector is not None, "down_facts" in down)

    def body(refs, place):
        pl.when(pl.program_id(2) == 0)(lambda: _begin(refs, outputs, scratch))
        pl.when(place.live)(lambda: _step(refs, place, tiling))
        pl.when(pl.program_id(2) == pl.num_programs(2) - 1)(lambda: _finish(refs, outputs))

    return tiles.launch(
        "attention_dq" if tiling.queries_across else "attention_dk_dv", body, tiling, walk, steps,
        across=across, down=down, vector=vector, outputs=outputs, scratch=scratch,
    )  # fmt: skip


def _scratch(tiling: Tiling, d: int, additive: bool, columns: bool) -> dict[str, tuple[int, ...]]:
    whole = (tiling.down, tiling.across)
    scratch: dict[str, tuple[int, ...]] = {"columns": (tiling.down, SUBLANES)} if columns else {}
    if not tiling.queries_across:
        scratch["weights"] = whole
    if additive:
        sums = ("features", "vector") if tiling.queries_across else ("features",)
        scratch |= {"pull": whole, "tanh": (d, tiling.tile, tiling.across)}
        scratch |= {f"{name}_sum": (d, SUBLANES, tiling.across) for name in sums}
    return scratch


def _begin(refs: types.SimpleNamespace, outputs: dict[str, Any], scratch: dict[str, Any]) -> None:
    for name in (*outputs, *(name for name in scratch if name.endswith("_sum"))):
        ref = getattr(refs, name)
        ref[...] = jnp.zeros(ref.shape, jnp.float32)


def _finish(refs: types.SimpleNamespace, outputs: dict[str, Any]) -> None:
    for name in outputs:
        if hasattr(refs, f"{name}_sum"):
            getattr(refs, name)[...] = jnp.sum(getattr(refs, f"{name}_sum")[...], axis=1)


def _step(refs: types.SimpleNamespace, place: Place, tiling: Tiling) -> None:
    tiles.set_columns(refs)
    pull = tiles.matmul(refs.down_payload[...], refs.across_payload[...], (1, 0))
    if hasattr(refs, "tanh"):
        refs.pull[...] = pull
        if not tiling.queries_across:
            refs.weights[...] = jnp.zeros(refs.weights.shape, jnp.float32)
        tiles.over_tiles(place, tiling, lambda rows: _additive(refs, place, tiling, rows))
    else:
        slopes = _slopes(refs, place, tiling, pl.ds(0, tiling.down), pull)
        down = refs.down[...]
        refs.features[...] += tiles.matmul(down, slopes.astype(down.dtype), (0, 0))
    if not tiling.queries_across:
        payload = refs.down_payload[...]
        refs.payload[...] += tiles.matmul(payload, refs.weights[...].astype(payload.dtype), (0, 0))


def _slopes(refs: types.SimpleNamespace, place: Place, tiling: Tiling, rows: Any, pull: Any) -> Any:
    """de of some rows of a tile; adds to the gradient of the centre, and keeps the weights where asked to."""
    fact = tiles.query_fact(refs, rows, tiling)
    allowed, keys = tiles.allowed_and_keys(refs, place, rows, tiling)
    raised = jnp.exp(tiles.scores(refs, rows) - fact(tiles.LOG_SUM_EXP))
    shares = jnp.where(allowed, raised, 0.0)
    weights = shares
    if tiling.sigma is not None:
        weights = shares * tiles.gaussian(keys, fact, tiling.sigma)
        if tiling.queries_across:
            moved = weights * pull * (keys - fact(tiles.CENTRE)) * (1 / tiling.sigma**2)
            refs.centre[...] += jnp.sum(moved, axis=0, keepdims=True)
    if not tiling.queries_across:
        refs.weights[rows, :] = weights
    return weights * pull - shares * fact(tiles.DELTA)


def _additive(refs: types.SimpleNamespace, place: Place, tiling: Tiling, rows: Any) -> None:
    """Add a tile to the sums, each kept as 8 partial ones so that sublanes are added once."""
    slopes = _slopes(refs, place, tiling, rows, refs.pull[rows, :])

    def feature(e, carry):
        t = refs.tanh[e]
        product = slopes * t
        refs.features_sum[e] += _fold(slopes - product * t)
        if tiling.queries_across:
            refs.vector_sum[e] += _fold(product)
        return carry

    lax.fori_loop(0, refs.tanh.shape[0], feature, 0, unroll=8)


def _fold(tile: Any) -> Any:
    """Sum over groups of 8 sublanes, [8, lanes]."""
    return jnp.sum(tile.reshape(-1, SUBLANES, tile.shape[-1]), axis=0)
