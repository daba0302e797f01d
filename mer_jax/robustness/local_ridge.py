"""A query as a combination of its nearest training vectors, and the same combination of their partners."""

import functools
from collections.abc import Mapping
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

CHUNK = 128
Combine = Literal["joint", "mean"]


def combine_in_chunks(
    queries: Mapping[str, Float[np.ndarray, "queries _dim"]],
    effective: Bool[np.ndarray, "queries sources"],
    **fixed: Any,
) -> tuple[Float[np.ndarray, "queries target_dim"], Bool[np.ndarray, " queries"]]:
    """`combine` on chunks of 128 queries: one compilation and bounded memory for any number of them."""
    count = len(effective)
    extra = -count % CHUNK
    padded = {name: np.pad(x, ((0, extra), (0, 0))) for name, x in queries.items()}
    serving = np.pad(effective, ((0, extra), (0, 0)))
    parts = []
    for start in range(0, count + extra, CHUNK):
        chunk = slice(start, start + CHUNK)
        parts.append(combine({name: x[chunk] for name, x in padded.items()}, serving[chunk], **fixed))
    if not parts:
        return np.zeros((0, fixed["wanted"].shape[1]), np.float32), np.zeros(0, bool)
    proxies, found = (np.concatenate([np.asarray(part[k]) for part in parts])[:count] for k in (0, 1))
    return proxies, found


@functools.partial(jax.jit, static_argnames=("neighbours", "ridge", "how"))
def combine(
    queries: Mapping[str, Float[Any, "queries _dim"]],
    effective: Bool[Any, "queries sources"],
    *,
    vectors: Mapping[str, Float[Array, "points _dim"]],
    paired: Bool[Array, "points sources"],
    wanted: Float[Array, "points target_dim"],
    neighbours: int,
    ridge: float,
    how: Combine,
) -> tuple[Float[Array, "queries target_dim"], Bool[Array, " queries"]]:
    """p = sum a_j w_j with a = argmin |f - sum a_j v_j|^2 + lambda |a|^2 over the K nearest points.

    queries, vectors: f and v by source. wanted: w. paired: which sources a point has; points that
        lack an effective one don't serve. ridge: lambda over the mean |v_j|^2.
    how: joint, sources side by side; or mean, of one p for each source.

    Gives zeros and False where no source is effective or no point serves.
    """
    if how == "joint":
        return _nearest_combination(queries, effective, vectors, paired, wanted, neighbours, ridge)
    total, count = jnp.zeros((len(effective), wanted.shape[1]), jnp.float32), jnp.zeros(len(effective), int)
    for place in range(len(queries)):
        alone = effective & (jnp.arange(len(queries)) == place)[None, :]
        proxies, found = _nearest_combination(queries, alone, vectors, paired, wanted, neighbours, ridge)
        total, count = total + proxies, count + found.astype(count.dtype)
    return total / jnp.maximum(count, 1).astype(jnp.float32)[:, None], count > 0


def _nearest_combination(
    queries: Mapping[str, Array],
    effective: Array,
    vectors: Mapping[str, Array],
    paired: Array,
    wanted: Array,
    neighbours: int,
    ridge: float,
) -> tuple[Array, Array]:
    serving = effective.astype(jnp.float32)
    masked = {
        name: jnp.where(effective[:, place, None], query, 0)
        for place, (name, query) in enumerate(queries.items())
    }
    distance = jnp.where(_exact("qs,ps->qp", serving, (~paired).astype(jnp.float32)) > 0, jnp.inf, 0.0)
    for place, (name, query) in enumerate(masked.items()):
        points = vectors[name]
        squares = (query**2).sum(axis=1)[:, None] + (points**2).sum(axis=1)[None, :]
        distance += serving[:, place, None] * (squares - 2 * _exact("qd,pd->qp", query, points))
    distance = jnp.where(effective.any(axis=1)[:, None], distance, jnp.inf)
    near, places = jax.lax.top_k(-distance, min(neighbours, len(wanted)))
    usable = jnp.isfinite(near)
    chosen = []
    for place, name in enumerate(queries):
        kept = serving[:, place, None] * usable.astype(jnp.float32)
        chosen.append(kept[:, :, None] * vectors[name][places])
    query = jnp.concatenate(list(masked.values()), axis=1)
    weights = _ridge_weights(jnp.concatenate(chosen, axis=2), query, usable, ridge)
    return _exact("qk,qkd->qd", weights, wanted[places]), usable.any(axis=1)


def _ridge_weights(chosen: Array, query: Array, usable: Array, ridge: float) -> Array:
    """[queries, K] a = V (V'V + lambda I)^-1 f = (VV' + lambda I)^-1 V f, whichever system is smaller;
    rows of V that aren't usable are zero, and so are their a."""
    number = jnp.maximum(usable.sum(axis=1), 1).astype(jnp.float32)
    strength = ridge * (chosen**2).sum(axis=(1, 2)) / number + jnp.finfo(jnp.float32).tiny
    if chosen.shape[2] < chosen.shape[1]:
        solved = _solve(_exact("qkd,qke->qde", chosen, chosen), strength, query)
        return _exact("qkd,qd->qk", chosen, solved)
    return _solve(_exact("qkd,qld->qkl", chosen, chosen), strength, _exact("qkd,qd->qk", chosen, query))


def _solve(gram: Array, strength: Array, right: Array) -> Array:
    """(G + lambda I)^-1 b by Cholesky, batched."""
    regular = gram + strength[:, None, None] * jnp.eye(gram.shape[1], dtype=gram.dtype)[None]
    factor = jax.lax.linalg.cholesky(regular)
    triangular = functools.partial(jax.lax.linalg.triangular_solve, left_side=True, lower=True)
    return triangular(factor, triangular(factor, right[:, :, None]), transpose_a=True)[:, :, 0]


_exact = functools.partial(jnp.einsum, precision="highest")
