"""Losses as pure functions: one value per labelled position."""

import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int


def cross_entropy(
    logits: Float[Array, "*positions classes"], labels: Int[Array, "*positions"]
) -> Float[Array, "*positions"]:
    """-log softmax(logits)[label]."""
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels)


def soft_cross_entropy(
    logits: Float[Array, "*positions classes"], soft_targets: Float[Array, "*positions classes"]
) -> Float[Array, "*positions"]:
    """-sum_k p_k log softmax(logits)_k, for a distribution p over the classes.

    With p from annotators' votes: Peterson et al., ICCV 2019 (human uncertainty makes
    classification more robust); the loss of soft targets is that of Hinton et al. 2015.
    A one-hot p gives `cross_entropy`, zeros (padding) give 0.
    """
    return optax.softmax_cross_entropy(logits, soft_targets)


def squared_error(
    predicted: Float[Array, "*positions targets"], truth: Float[Array, "*positions targets"]
) -> Float[Array, "*positions"]:
    """Mean over targets of (predicted - truth)^2."""
    return jnp.square(predicted - truth).mean(axis=-1)


def task_loss(
    logits: Float[Array, "*positions outputs"],
    targets: Int[Array, "*positions"] | Float[Array, "..."],
    soft_targets: Float[Array, "*positions outputs"] | None = None,
) -> Float[Array, "*positions"]:
    """Cross-entropy for whole-number targets (classes), squared error for real ones; where
    `soft_targets` are given, the cross-entropy to them."""
    if soft_targets is not None:
        return soft_cross_entropy(logits, soft_targets)
    if jnp.issubdtype(targets.dtype, jnp.integer):
        return cross_entropy(logits, targets)
    return squared_error(logits, targets)
