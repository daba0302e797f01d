"""The definition of attention over ranges, with everything materialised: what the kernels are held to."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from kernels.attention.alignment import Ranges


class Inputs(NamedTuple):
    """Arrays of one call, leading dimensions flattened into one.

    Attributes:
        query: [batch, m, d].
        key: [batch, n, d].
        value: [batch, n, dv].
        score_vector: v of the additive score, [d], or None for the dot score.
        key_mask: keys that count, [batch, n], or None where all do.
    """

    query: Float[Array, "batch m d"]
    key: Float[Array, "batch n d"]
    value: Float[Array, "batch n dv"]
    score_vector: Float[Array, " d"] | None = None
    key_mask: Any = None


def accumulator(dtype: Any) -> Any:
    """The type that sums are kept in: float64 for float64, float32 for everything narrower."""
    return jnp.float64 if dtype == jnp.float64 else jnp.float32


def scores(
    query: Float[Array, "batch m d"],
    key: Float[Array, "batch n d"],
    score_vector: Float[Array, " d"] | None,
) -> Float[Array, "batch m n"]:
    """q_t . k_s, or v . tanh(q_t + k_s) where a score vector is given."""
    if score_vector is None:
        return jnp.einsum("btd,bsd->bts", query, key)
    return jnp.tanh(query[:, :, None, :] + key[:, None, :, :]) @ score_vector


def gaussian(
    positions: Float[Array, "*#shape"], centre: Float[Array, "*#shape"], sigma: Any
) -> Float[Array, "..."]:
    """exp(-(s - p)^2 / 2 sigma^2)."""
    return jnp.exp(-jnp.square(positions - centre) / (2 * sigma**2))


def softmax(
    logits: Float[Array, "*batch keys"], allowed: Bool[Array, "*#batch keys"]
) -> Float[Array, "*batch keys"]:
    """softmax over the allowed keys; 0 elsewhere, and everywhere, gradients too, where none is allowed."""
    top = jax.lax.stop_gradient(jnp.max(logits, axis=-1, keepdims=True, where=allowed, initial=-jnp.inf))
    raised = jnp.where(allowed, jnp.exp(jnp.where(allowed, logits - top, 0)), 0)
    total = raised.sum(axis=-1, keepdims=True)
    return raised / jnp.where(total > 0, total, 1)


def weights(inputs: Inputs, ranges: Ranges, sigma: float | None) -> Float[Array, "batch m n"]:
    """softmax over the range of each query, times the Gaussian where there is one; 0 elsewhere.

        a_t(s) = [start_t <= s <= end_t] exp(e_ts - max_s e_ts) / sum_s ... * g_t(s)

    in float32 at least; all zero where the range is empty or holds only masked keys.
    """
    precise = accumulator(inputs.query.dtype)
    query, key = inputs.query.astype(precise), inputs.key.astype(precise)
    vector = None if inputs.score_vector is None else inputs.score_vector.astype(precise)
    logits = scores(query, key, vector)
    positions = jnp.arange(key.shape[1], dtype=jnp.int32)[None, None, :]
    allowed = (jnp.asarray(ranges.start)[:, :, None] <= positions) & (
        positions <= jnp.asarray(ranges.end)[:, :, None]
    )
    if inputs.key_mask is not None:
        allowed &= inputs.key_mask[:, None, :]
    result = softmax(logits, allowed)
    if ranges.centre is not None:
        result *= gaussian(positions.astype(precise), ranges.centre.astype(precise)[:, :, None], sigma)
    return result


def attend(inputs: Inputs, ranges: Ranges, sigma: float | None) -> Float[Array, "batch m dv"]:
    """c_t = sum_s a_t(s) value_s, in the type of the values."""
    share = weights(inputs, ranges, sigma)
    return (share @ inputs.value.astype(share.dtype)).astype(inputs.value.dtype)
