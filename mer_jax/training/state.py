"""What training changes, as one pytree."""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from flax import struct

from mer_jax.data.batching import Batch


class TrainState(struct.PyTreeNode):
    """Arrays, on devices or on the host.

    step: updates made, int32 []. params, statistics: of the module (statistics: the kept
    moments of batch normalisation). optimizer: its optax state. seed: of all randomness,
    uint32 []. rate_factor: times the learning rate, float32 [].
    """

    step: Any
    params: Any
    statistics: Any
    optimizer: Any
    seed: Any
    rate_factor: Any

    @property
    def variables(self) -> dict[str, Any]:
        """The module's variables."""
        return {"params": self.params, "statistics": self.statistics}


def init_state(
    model: nn.Module, optimizer: optax.GradientTransformation, batch: Batch, seed: int
) -> TrainState:
    """Parameters drawn from `seed`; `batch` gives the shapes."""
    key = jax.random.fold_in(jax.random.key(seed), 0)
    one = jax.tree.map(lambda x: jnp.asarray(x[:1]), batch)
    variables = jax.jit(lambda k: model.init(k, one, False))(key)
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=variables["params"],
        statistics=variables.get("statistics", {}),
        optimizer=optimizer.init(variables["params"]),
        seed=jnp.asarray(seed, jnp.uint32),
        rate_factor=jnp.ones((), jnp.float32),
    )


def parameter_count(state: TrainState) -> int:
    """Parameters and kept statistics, as Keras counts them."""
    return sum(x.size for x in jax.tree.leaves(state.variables))
