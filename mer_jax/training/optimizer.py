"""Optimisers, from optax, and what the learning rate does over the epochs."""

import dataclasses
from typing import Any, Literal

import jax
import jax.numpy as jnp
import optax

from mer_jax.errors import InputError
from mer_jax.training.adabelief import scale_by_amsbelief
from mer_jax.training.scalars import is_zero

DIRECTIONS = {
    ("adam", False): optax.scale_by_adam,
    ("adam", True): optax.scale_by_amsgrad,
    ("adabelief", False): optax.scale_by_belief,
    ("adabelief", True): scale_by_amsbelief,
}


@dataclasses.dataclass(frozen=True)
class OptimizerConfig:
    """How parameters move.

    Attributes:
        name: adam (Kingma & Ba 2015) or adabelief (Zhuang et al. 2020).
        amsgrad: divide by the largest second moment so far (Reddi et al. 2018).
        learning_rate: the largest one.
        weight_decay: decoupled (Loshchilov & Hutter 2019), times the learning rate.
        clip: largest global norm of the gradient; 0: no clipping.
        schedule: constant, cosine to zero over all epochs, or plateau: times `plateau_factor`
            after `plateau_patience` epochs without a better dev loss, down to `plateau_floor`.
        warmup_epochs: epochs of linear increase before the full rate.
    """

    name: Literal["adam", "adabelief"] = "adam"
    amsgrad: bool = False
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
    nothing = optax.identity()
    chain = optax.chain(
        nothing if is_zero(config.clip) else optax.clip_by_global_norm(_limit(config.clip)),
        DIRECTIONS[config.name, config.amsgrad](),
        nothing if is_zero(config.weight_decay) else optax.add_decayed_weights(config.weight_decay),
        optax.scale_by_learning_rate(config.learning_rate),
    )

    def update(updates: optax.Updates, state: optax.OptState, params: optax.Params | None = None) -> Any:
        with jax.numpy_dtype_promotion("standard"):  # optax multiplies real by whole numbers
            return chain.update(updates, state, params)

    return optax.GradientTransformation(chain.init, update)


def _limit(clip: Any) -> Any:
    """The largest norm; of an array that may hold 0 (no clipping), infinity there."""
    return jnp.where(clip > 0, clip, jnp.inf) if isinstance(clip, jax.Array) else clip
