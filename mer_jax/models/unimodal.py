"""One modality, one recurrent classifier."""

import dataclasses

from flax import linen as nn
from jaxtyping import Array, Float

from mer_jax import losses
from mer_jax.data.batching import Batch
from mer_jax.errors import InputError
from mer_jax.models.base import Outputs, Task, valid_positions
from mer_jax.nn.classifier import RecurrentClassifier, RecurrentConfig
from mer_jax.nn.front_end import FrontEnd


@dataclasses.dataclass(frozen=True)
class UnimodalConfig(RecurrentConfig):
    """A recurrent classifier of the config's only modality.

    Attributes:
        error: what a regression minimises.
    """

    error: losses.RegressionError = "squared"

    def build(self, task: Task) -> nn.Module:
        """Raises InputError unless there is exactly one modality."""
        if len(task.dims) != 1:
            raise InputError(
                f"a unimodal system takes one modality, data.modalities has {list(task.dims)}; "
                "name one, or use an early_fusion or late_fusion config"
            )
        return Unimodal(self, task)

    def loss(self, outputs: Outputs, batch: Batch) -> Float[Array, "*positions"]:
        return losses.task_loss(outputs.logits, batch.targets, batch.soft_targets, self.error)


class Unimodal(nn.Module):
    """logits = classifier(frames)."""

    config: UnimodalConfig
    task: Task

    @nn.compact
    def __call__(self, batch: Batch, train: bool) -> Outputs:
        batch = FrontEnd(self.config.front, self.task.vocabulary, name="front")(batch)
        (modality,) = self.task.dims
        classifier = RecurrentClassifier(self.config, self.task.targets, self.task.unit == "dialogue")
        slots = batch.slots if train else None
        logits, state = classifier(
            batch.features[modality], batch.masks[modality], valid_positions(batch), slots
        )
        return Outputs(logits, states={modality: state})
