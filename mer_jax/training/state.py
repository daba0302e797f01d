"""What training changes, as one pytree."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from flax import struct

from mer_jax.errors import InputError
from mer_jax.nn.front_end import TABLE


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


def with_words(stacked: TrainState, rows: np.ndarray) -> TrainState:
    """Stacked states whose table of words has these rows, [vocabulary, embedding]."""
    held = "params" if TABLE in stacked.params.get("front", {}) else "statistics"
    kept = getattr(stacked, held)
    shape = kept["front"][TABLE].shape
    if shape[1:] != rows.shape:
        raise InputError(
            f"data.vectors has vectors of {rows.shape[1]} numbers, model.front.embedding is {shape[2]}; "
            f"set --model.front.embedding {rows.shape[1]}"
        )
    front = {**kept["front"], TABLE: np.broadcast_to(rows, shape).astype(np.float32)}
    return stacked.replace(**{held: {**kept, "front": front}})


def parameter_count(state: TrainState) -> int:
    """Parameters and kept statistics, as Keras counts them."""
    return sum(x.size for x in jax.tree.leaves(state.variables))
