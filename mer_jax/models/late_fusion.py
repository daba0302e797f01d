"""One recurrent classifier per modality; their probabilities are averaged."""

import dataclasses

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Bool, Float

from mer_jax import losses
from mer_jax.data.batching import Batch
from mer_jax.models.base import Outputs, Task, valid_positions
from mer_jax.nn.classifier import RecurrentClassifier, RecurrentConfig
from mer_jax.nn.front_end import FrontEnd


@dataclasses.dataclass(frozen=True)
class LateFusionConfig(RecurrentConfig):
    """Each modality's classifier learns from its own loss, as if trained alone."""

    def build(self, task: Task) -> nn.Module:
        return LateFusion(self, task)

    def loss(self, outputs: Outputs, batch: Batch) -> Float[Array, "*positions"]:
        """The sum of the modalities' losses; one that is missing adds nothing."""
        total = jnp.zeros_like(batch.weights)
        for modality, logits in outputs.modality_logits.items():
            there = _there(batch.masks[modality], batch.weights.ndim).astype(total.dtype)
            total += there * losses.task_loss(logits, batch.targets, batch.soft_targets)
        return total


class LateFusion(nn.Module):
    """p = mean over the modalities that are there of softmax(logits_m); for regression the
    mean of the predictions. `logits` are log p."""

    config: LateFusionConfig
    task: Task

    @nn.compact
    def __call__(self, batch: Batch, train: bool) -> Outputs:
        batch = FrontEnd(self.config.front, self.task.vocabulary, name="front")(batch)
        logits, states, present = {}, {}, {}
        for modality in self.task.dims:
            classifier = RecurrentClassifier(
                self.config, self.task.targets, self.task.unit == "dialogue", name=modality
            )
            mask = batch.masks[modality]
            logits[modality], states[modality] = classifier(
                batch.features[modality], mask, valid_positions(batch), batch.slots if train else None
            )
            present[modality] = _there(mask, logits[modality].ndim)
        return Outputs(average(logits, present, self.task.classification), logits, states)


def average(
    logits: dict[str, Float[Array, "*positions targets"]],
    present: dict[str, Bool[Array, "..."]],
    classification: bool,
) -> Float[Array, "*positions targets"]:
    """Log of the mean probability (or the mean prediction) over present modalities; over all
    of them where none is present."""
    stacked = jnp.stack(list(logits.values()))
    weights = jnp.stack(list(present.values())).astype(stacked.dtype)
    weights = jnp.where(weights.sum(axis=0, keepdims=True) > 0, weights, 1)
    share = weights / weights.sum(axis=0, keepdims=True)
    if not classification:
        return (share * stacked).sum(axis=0)
    tiny = jnp.finfo(stacked.dtype).tiny
    return jax.nn.logsumexp(jax.nn.log_softmax(stacked) + jnp.log(jnp.maximum(share, tiny)), axis=0)


def _there(mask: Bool[Array, "batch time"], ndim: int) -> Bool[Array, "..."]:
    """[batch, 1, ...] whether an example has any frame of the modality."""
    return mask.any(axis=1).reshape((-1,) + (1,) * (ndim - 1))
