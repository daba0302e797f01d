"""The Memory Fusion Network, which M3ER builds on."""

import dataclasses

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from mer_jax import losses
from mer_jax.data.batching import Batch
from mer_jax.models.base import Outputs, Task
from mer_jax.models.memory_network import Head, MemoryNetworkConfig, remembered


@dataclasses.dataclass(frozen=True)
class MemoryFusionNetworkConfig(MemoryNetworkConfig):
    """One LSTM per modality, an attention over their cells, a memory (Zadeh et al. 2018)."""

    def build(self, task: Task) -> nn.Module:
        """Raises InputError where the clock is no modality of the config."""
        self.check(task)
        return MemoryFusionNetwork(self, task)

    def loss(self, outputs: Outputs, batch: Batch) -> Float[Array, "*positions"]:
        return losses.task_loss(outputs.logits, batch.targets, batch.soft_targets)


class MemoryFusionNetwork(nn.Module):
    """logits = MLP([h_1; ...; h_M; memory]), of the last step, or of each step of a dialogue.

    Source: Zadeh, Liang, Mazumder, Poria, Cambria and Morency, AAAI 2018 (arXiv 1802.00927).
    """

    config: MemoryFusionNetworkConfig
    task: Task

    @nn.compact
    def __call__(self, batch: Batch, train: bool) -> Outputs:
        config, slots = self.config, batch.slots if train else None
        states, memory, _ = remembered(self.config, self.task, batch, feeds=False)
        joined = jnp.concatenate([states.reshape(*states.shape[:-2], -1), memory], axis=-1)
        logits = Head(config.dense, config.dropout, self.task.targets, name="head")(joined, slots)
        return Outputs(logits, states={"fused": joined, "memory": memory})
