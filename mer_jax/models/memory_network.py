"""What systems with a memory network share: sizes, states and memory of a batch, the head."""

import dataclasses

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Bool, Float

from mer_jax.data.batching import Batch
from mer_jax.errors import InputError, nearest
from mer_jax.models.base import Task
from mer_jax.nn.front_end import FrontEnd, FrontEndConfig
from mer_jax.nn.fusion import on_clock
from mer_jax.nn.memory_fusion import MemoryFusion, MemoryFusionConfig
from mer_jax.nn.regularization import Dropout


@dataclasses.dataclass(frozen=True)
class MemoryNetworkConfig:
    """What memory networks share.

    Attributes:
        hidden: units of each modality's LSTM.
        memory: units of the memory.
        units: of the hidden layer of each of the memory's small networks.
        dense: units of the layer before the output.
        dropout: rate before and behind that layer.
        clock: the modality whose frames the others are interpolated to; empty: the first.
        front: how words and waveforms are read.
    """

    hidden: int = 32
    memory: int = 128
    units: int = 64
    dense: int = 64
    dropout: float = 0.3
    clock: str = ""
    front: FrontEndConfig = dataclasses.field(default_factory=FrontEndConfig)

    def __post_init__(self) -> None:
        if not 0 <= self.dropout < 1 or self.dense < 1:
            raise InputError(
                f"model.dropout={self.dropout} must be at least 0 and below 1, model.dense={self.dense} at least 1"
            )
        _ = self.network(False)  # what it refuses, it refuses here

    def network(self, feeds: bool) -> MemoryFusionConfig:
        """The sizes of `nn.MemoryFusion`."""
        return MemoryFusionConfig(self.hidden, self.memory, self.units, feeds)

    def check(self, task: Task) -> None:
        """Raises InputError where the clock is no modality of the task."""
        if self.clock and self.clock not in task.dims:
            raise InputError(
                f"model.clock={self.clock!r} is not among data.modalities {list(task.dims)}; "
                f"{nearest(self.clock, task.dims)}"
            )


class Head(nn.Module):
    """logits = W relu(V x + b) + c, with dropout of x and of the layer between."""

    dense: int
    dropout: float
    targets: int

    @nn.compact
    def __call__(
        self, x: Float[Array, "*positions dim"], slots: Array | None
    ) -> Float[Array, "*positions targets"]:
        x = nn.relu(nn.Dense(self.dense)(Dropout(self.dropout)(x, slots)))
        return nn.Dense(self.targets)(Dropout(self.dropout)(x, slots))


def remembered(
    config: MemoryNetworkConfig, task: Task, batch: Batch, *, feeds: bool
) -> tuple[
    Float[Array, "*positions modalities hidden"],
    Float[Array, "*positions memory"],
    Bool[Array, "*positions modalities"],
]:
    """States and memory at every position of the batch, and which modalities are there; called
    within a module, whose parameters they get.

    A position is an utterance, read to its end, or a step of a dialogue.
    """
    batch = FrontEnd(config.front, task.vocabulary, name="front")(batch)
    ordered = {m: batch.features[m] for m in task.dims}
    masks = {m: batch.masks[m] for m in ordered}
    features, mask = on_clock(ordered, masks, config.clock or next(iter(ordered)))
    present = jnp.stack([masks[m].any(axis=1) for m in ordered], axis=1)
    network = MemoryFusion(config.network(feeds), tuple(ordered), name="network")
    fused = network(features, mask, present)
    if task.unit == "utterance":
        return fused.states, fused.memory, present
    steps = jnp.broadcast_to(present[:, None], (*mask.shape, len(ordered)))
    return fused.all_states, fused.all_memory, steps
