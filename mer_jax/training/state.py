"""What training changes, as one pytree."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from flax import struct


class TrainState(struct.PyTreeNode):
    """Arrays, on devices or on the host; of one training, or stacked along a first axis.

    step: updates made, int32 []. params, statistics: of the module (statistics: the kept
    moments of batch normalisation). optimizer: its optax state. seed: of all randomness,
    uint32 []. rate_factor: times the learning rate, float32 []. scalars: the hyper-parameters
    in which trainings of one program differ, float32 [] each.
    """

    step: Any
    params: Any
    statistics: Any
    optimizer: Any
    seed: Any
    rate_factor: Any
    scalars: Any = struct.field(default_factory=dict)

    @property
    def variables(self) -> dict[str, Any]:
        """The module's variables."""
        return {"params": self.params, "statistics": self.statistics}


def stack(states: Sequence[Any]) -> Any:
    """Pytrees of one structure as one, each array with a first axis more; on the host."""
    return jax.tree.map(lambda *leaves: np.stack([np.asarray(x) for x in leaves]), *states)


def unstack(stacked: Any, member: int) -> Any:
    """One of the pytrees that `stack` joined, copied."""
    return jax.tree.map(lambda x: np.array(x[member]), stacked)


def parameter_count(state: TrainState) -> int:
    """Parameters and kept statistics, as Keras counts them."""
    return sum(x.size for x in jax.tree.leaves(state.variables))
