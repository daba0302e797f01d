"""Optimisers, from optax, and what the learning rate does over the epochs."""

import dataclasses
from typing import Any, Literal

import jax
import optax

from mer_jax.errors import InputError


@dataclasses.dataclass(frozen=True)
class OptimizerConfig:
    """How parameters move.

    Attributes:
        name: adam (Kingma & Ba 2015) or adabelief (Zhuang et al. 2020).
        learning_rate: the largest one.
        weight_decay: decoupled (Loshchilov & Hutter 2019), times the learning rate.
        clip: largest global norm of the gradient; 0: no clipping.
        schedule: constant, cosine to zero over all epochs, or plateau: times `plateau_factor`
            after `plateau_patience` epochs without a better dev loss, down to `plateau_floor`.
        warmup_epochs: epochs of linear increase before the full rate.
    """

    name: Literal["adam", "adabelief"] = "adam"
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    clip: float = 1.0
    schedule: Literal["constant", "cosine", "plateau"] = "plateau"
    warmup_epochs: int = 0
    plateau_factor: float = 0.5
    plateau_patience: int = 3
    plateau_floor: float = 3e-5

    def __post_init__(self) -> None:
        for name in ("learning_rate", "plateau_factor"):
            if getattr(self, name) <= 0:
                raise InputError(f"optimizer.{name}={getattr(self, name)} must be above 0")
        for name in ("weight_decay", "clip", "warmup_epochs", "plateau_patience"):
            if getattr(self, name) < 0:
                raise InputError(f"optimizer.{name}={getattr(self, name)} must not be negative")


def make_optimizer(config: OptimizerConfig) -> optax.GradientTransformation:
    """Updates at the full learning rate; `TrainState.rate_factor` holds what the schedule
    makes of it in an epoch."""
    direction = {"adam": optax.scale_by_adam, "adabelief": optax.scale_by_belief}[config.name]()
    parts = [optax.clip_by_global_norm(config.clip)] if config.clip else []
    parts.append(direction)
    if config.weight_decay:
        parts.append(optax.add_decayed_weights(config.weight_decay))
    chain = optax.chain(*parts, optax.scale_by_learning_rate(config.learning_rate))

    def update(updates: optax.Updates, state: optax.OptState, params: optax.Params | None = None) -> Any:
        with jax.numpy_dtype_promotion("standard"):  # optax multiplies real by whole numbers
            return chain.update(updates, state, params)

    return optax.GradientTransformation(chain.init, update)
