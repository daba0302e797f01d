"""All modalities on one clock, concatenated, into one recurrent classifier."""

import dataclasses

from flax import linen as nn
from jaxtyping import Array, Float

from mer_jax import losses
from mer_jax.data.batching import Batch
from mer_jax.errors import InputError, nearest
from mer_jax.models.base import Outputs, Task, valid_positions
from mer_jax.nn.classifier import RecurrentClassifier, RecurrentConfig
from mer_jax.nn.front_end import FrontEnd
from mer_jax.nn.fusion import Lengths, one_clock


@dataclasses.dataclass(frozen=True)
class EarlyFusionConfig(RecurrentConfig):
    """A recurrent classifier of all modalities together.

    Attributes:
        clock: the modality whose frames the others are interpolated to; empty: the first.
        interpolation: between the true lengths of an utterance's sequences, or between the
            padded grids of its batch, as M. Schmitz did (one bucket, so that the grids are fixed).
    """

    clock: str = ""
    interpolation: Lengths = "true"

    def build(self, task: Task) -> nn.Module:
        """Raises InputError where the clock is no modality of the config."""
        if self.clock and self.clock not in task.dims:
            raise InputError(
                f"model.clock={self.clock!r} is not among data.modalities {list(task.dims)}; "
                f"{nearest(self.clock, task.dims)}"
            )
        return EarlyFusion(self, task)

    def loss(self, outputs: Outputs, batch: Batch) -> Float[Array, "*positions"]:
        return losses.task_loss(outputs.logits, batch.targets, batch.soft_targets)


class EarlyFusion(nn.Module):
    """logits = classifier([x_1; ...; x_M] on one clock)."""

    config: EarlyFusionConfig
    task: Task

    @nn.compact
    def __call__(self, batch: Batch, train: bool) -> Outputs:
        batch = FrontEnd(self.config.front, self.task.vocabulary, name="front")(batch)
        ordered = {m: batch.features[m] for m in self.task.dims}
        clock = self.config.clock or next(iter(ordered))
        masks = {m: batch.masks[m] for m in ordered}
        joined, mask = one_clock(ordered, masks, clock, self.config.interpolation)
        classifier = RecurrentClassifier(self.config, self.task.targets, self.task.unit == "dialogue")
        logits, state = classifier(joined, mask, valid_positions(batch), batch.slots if train else None)
        return Outputs(logits, states={"fused": state})
