"""Losses as pure functions: one value per labelled position."""

import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int


def cross_entropy(
    logits: Float[Array, "*positions classes"], labels: Int[Array, "*positions"]
) -> Float[Array, "*positions"]:
    """-log softmax(logits)[label]."""
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels)


def squared_error(
    predicted: Float[Array, "*positions targets"], truth: Float[Array, "*positions targets"]
) -> Float[Array, "*positions"]:
    """Mean over targets of (predicted - truth)^2."""
    return jnp.square(predicted - truth).mean(axis=-1)


def task_loss(
    logits: Float[Array, "*positions outputs"], targets: Int[Array, "*positions"] | Float[Array, "..."]
) -> Float[Array, "*positions"]:
    """Cross-entropy for whole-number targets (classes), squared error for real ones."""
    if jnp.issubdtype(targets.dtype, jnp.integer):
        return cross_entropy(logits, targets)
    return squared_error(logits, targets)
