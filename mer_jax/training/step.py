"""One training step and one prediction step of one training, on one device of the axis "data"."""

from collections.abc import Callable, Mapping
from typing import Any, runtime_checkable
from typing import Protocol as Interface

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from jaxtyping import Array

from mer_jax.data.batching import Batch
from mer_jax.nn.regularization import DATA_AXIS, fold_moments
from mer_jax.training.optimizer import OptimizerConfig, make_optimizer
from mer_jax.training.scalars import with_scalars
from mer_jax.training.state import TrainState

STATISTICS_MOMENTUM = 0.99


@runtime_checkable
class System(Interface):
    """A frozen dataclass that builds its module for a task and knows its loss."""

    def build(self, task: Any) -> nn.Module:
        """The module; called as `module(batch, train)` it returns outputs with `logits`."""
        ...

    def loss(self, outputs: Any, batch: Batch) -> Array:
        """The loss of each position of the batch."""
        ...


def make_train_step(
    system: System, task: Any, optimizer: OptimizerConfig
) -> Callable[[TrainState, Batch], tuple[TrainState, dict[str, Array]]]:
    """A step whose result is that of one device holding the whole batch:

        L = sum_i w_i l_i / sum_i w_i   over the positions of all devices.

    Returns the new state, and `loss` = sum_i w_i l_i and `weight` = sum_i w_i.
    """

    def step(state: TrainState, batch: Batch) -> tuple[TrainState, dict[str, Array]]:
        here = with_scalars(system, "model", state.scalars)
        model, rule = here.build(task), make_optimizer(_at(optimizer, state.scalars))
        # Dropout adds each example's slot to this key: see mer_jax.nn.regularization.
        key = jax.random.fold_in(jax.random.fold_in(jax.random.key(state.seed), 1), state.step)
        weight = jax.lax.psum(batch.weights.sum(), DATA_AXIS)

        def objective(params):
            variables = {"params": params, "statistics": state.statistics}
            outputs, extra = model.apply(
                variables, batch, True, rngs={"dropout": key}, mutable=["intermediates"]
            )
            total = (batch.weights * here.loss(outputs, batch)).sum()
            return total / jnp.maximum(weight, 1e-9), (total, extra.get("intermediates", {}))

        (_, (total, seen)), grads = jax.value_and_grad(objective, has_aux=True)(state.params)
        grads, total = jax.lax.psum((grads, total), DATA_AXIS)
        updates, new_optimizer = rule.update(grads, state.optimizer, state.params)
        updates = jax.tree.map(lambda u: u * state.rate_factor, updates)
        new = state.replace(
            step=state.step + 1,
            params=optax.apply_updates(state.params, updates),
            statistics=fold_moments(state.statistics, seen, STATISTICS_MOMENTUM),
            optimizer=new_optimizer,
        )
        return new, {"loss": total, "weight": weight}

    return step


def make_predict_step(system: System, task: Any) -> Callable[[TrainState, Batch], Any]:
    """A function giving the outputs of the device's examples."""

    def predict(state: TrainState, batch: Batch) -> Any:
        model = with_scalars(system, "model", state.scalars).build(task)
        return model.apply(state.variables, batch, False)

    return predict


def make_init(
    system: System, task: Any, optimizer: OptimizerConfig
) -> Callable[[Batch, Any, Mapping[str, Any]], TrainState]:
    """A function from a batch (for its shapes), a seed (uint32 []) and scalars to a fresh state."""

    def init(batch: Batch, seed: Any, scalars: Mapping[str, Any]) -> TrainState:
        model = with_scalars(system, "model", scalars).build(task)
        variables = model.init(jax.random.fold_in(jax.random.key(seed), 0), batch, False)
        return TrainState(
            step=jnp.zeros((), jnp.int32),
            params=variables["params"],
            statistics=variables.get("statistics", {}),
            optimizer=make_optimizer(_at(optimizer, scalars)).init(variables["params"]),
            seed=seed,
            rate_factor=jnp.ones((), jnp.float32),
            scalars=dict(scalars),
        )

    return init


def _at(optimizer: OptimizerConfig, scalars: Mapping[str, Any]) -> OptimizerConfig:
    return with_scalars(optimizer, "training.optimizer", scalars)
