"""One training step and one prediction step on one device of the axis "data"."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from jaxtyping import Array

from mer_jax.data.batching import Batch
from mer_jax.nn.regularization import DATA_AXIS, fold_moments
from mer_jax.training.state import TrainState

Loss = Callable[[Any, Batch], Array]
STATISTICS_MOMENTUM = 0.99


def make_train_step(
    model: nn.Module, loss: Loss, optimizer: optax.GradientTransformation
) -> Callable[[TrainState, Batch], tuple[TrainState, dict[str, Array]]]:
    """A step whose result is that of one device holding the whole batch:

        L = sum_i w_i l_i / sum_i w_i   over the positions of all devices.

    Returns the new state, and `loss` = sum_i w_i l_i and `weight` = sum_i w_i.
    """

    def step(state: TrainState, batch: Batch) -> tuple[TrainState, dict[str, Array]]:
        # Dropout adds each example's slot to this key: see mer_jax.nn.regularization.
        key = jax.random.fold_in(jax.random.fold_in(jax.random.key(state.seed), 1), state.step)
        weight = jax.lax.psum(batch.weights.sum(), DATA_AXIS)

        def objective(params):
            variables = {"params": params, "statistics": state.statistics}
            outputs, extra = model.apply(
                variables, batch, True, rngs={"dropout": key}, mutable=["intermediates"]
            )
            total = (batch.weights * loss(outputs, batch)).sum()
            return total / jnp.maximum(weight, 1e-9), (total, extra.get("intermediates", {}))

        (_, (total, seen)), grads = jax.value_and_grad(objective, has_aux=True)(state.params)
        grads, total = jax.lax.psum((grads, total), DATA_AXIS)
        updates, new_optimizer = optimizer.update(grads, state.optimizer, state.params)
        updates = jax.tree.map(lambda u: u * state.rate_factor, updates)
        new = state.replace(
            step=state.step + 1,
            params=optax.apply_updates(state.params, updates),
            statistics=fold_moments(state.statistics, seen, STATISTICS_MOMENTUM),
            optimizer=new_optimizer,
        )
        return new, {"loss": total, "weight": weight}

    return step


def make_predict_step(model: nn.Module) -> Callable[[TrainState, Batch], Any]:
    """A function giving the `Outputs` of the device's examples."""

    def predict(state: TrainState, batch: Batch) -> Any:
        return model.apply(state.variables, batch, False)

    return predict
