"""M3ER: modality-specific predictions multiplied, and a memory fed back to the modalities' LSTMs."""

import dataclasses
from typing import Literal

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from mer_jax import losses
from mer_jax.data.batching import Batch
from mer_jax.errors import InputError
from mer_jax.losses import Multiplicative, Weighting
from mer_jax.models.base import Outputs, Task
from mer_jax.models.memory_network import Head, MemoryNetworkConfig, remembered
from mer_jax.training.scalars import with_scalars


@dataclasses.dataclass(frozen=True)
class M3ERConfig(MemoryNetworkConfig):
    """The classification and fusion network of Mittal et al. (AAAI 2020) and its loss,

        L = task loss of the fused logits + multiplicative * c^(y) of the modalities' own logits

    Modality check and proxies are the experiment's `robustness`, and serve any system.

    Attributes:
        combine: how the modalities' states become one vector: product of their projections, or
            their sum weighted by how sure each modality's own prediction is (its largest p).
        multiplicative: weight of the multiplicative loss; 0: the fused network alone.
        weighting: M3ER's (modified), its other reading (product), or Liu's (original).
        beta: how much the weights of the multiplicative loss matter.
        stop_gradient: its weights are constants to the gradient; without, see `losses.Multiplicative`.
        margin: of Liu's boosted training; none: no boosting.
        candidates: what the multiplicative loss multiplies: each modality, or the mixtures of each
            subset of modalities (Liu's MulMix).
        binary: each class against the rest by a logistic output, as printed, in place of a softmax.
        decide: by the fused network, or by Liu's rule on the candidates' predictions.
        largest_intensity: of a regression's targets; they count as shares of it for the candidates.
    """

    combine: Literal["product", "confidence"] = "product"
    multiplicative: float = 1.0
    weighting: Weighting = "modified"
    beta: float = 0.5
    stop_gradient: bool = True
    margin: float | None = None
    candidates: Literal["modalities", "mixtures"] = "modalities"
    binary: bool = False
    decide: Literal["fused", "least_costly"] = "fused"
    largest_intensity: float = 3.0

    def __post_init__(self) -> None:
        super().__post_init__()
        Multiplicative(self.weighting, self.beta, self.stop_gradient, self.margin)
        if not self.multiplicative >= 0 or not self.largest_intensity > 0:
            raise InputError(
                f"model.multiplicative={self.multiplicative} must be at least 0 and "
                f"model.largest_intensity={self.largest_intensity} above 0"
            )
        if self.decide == "least_costly" and self.multiplicative == 0:
            raise InputError(
                "model.decide=least_costly reads predictions that model.multiplicative=0 does not train; "
                "give it a weight or decide by the fused network"
            )

    @property
    def form(self) -> Multiplicative:
        """The multiplicative loss; beta may be traced."""
        form = Multiplicative(self.weighting, 0.5, self.stop_gradient, self.margin)
        return with_scalars(form, "loss", {"loss.beta": self.beta})

    def build(self, task: Task) -> nn.Module:
        """Raises InputError where the clock is no modality, or Liu's rule is to give intensities."""
        self.check(task)
        if self.decide == "least_costly" and (self.binary or not task.classification):
            raise InputError(
                "model.decide=least_costly chooses one class of several; set protocol.task=classification and "
                "model.binary=False, or decide by the fused network"
            )
        return M3ER(self, task)

    def loss(self, outputs: Outputs, batch: Batch) -> Float[Array, "*positions"]:
        """Classes, distributions over them (votes), or intensities, each with `binary` or without."""
        logits, there = (jnp.stack(list(x.values())) for x in (outputs.modality_logits, outputs.available))
        targets = batch.targets if batch.soft_targets is None else batch.soft_targets
        classes = batch.soft_targets is not None or jnp.issubdtype(targets.dtype, jnp.integer)
        fused = outputs.states["logits"]
        if classes and not self.binary:
            own = losses.multiplicative_loss(logits, targets, there, self.form)
            return losses.task_loss(fused, batch.targets, batch.soft_targets) + self.multiplicative * own
        if classes:
            if jnp.issubdtype(targets.dtype, jnp.integer):
                targets = nn.one_hot(targets, logits.shape[-1], dtype=logits.dtype)
            together = losses.one_against_rest_loss(fused[None], targets, None, self.form).sum(axis=-1)
        else:
            together = losses.task_loss(fused, targets)
            targets = jnp.clip(targets / self.largest_intensity, 0, 1)
        own = losses.one_against_rest_loss(logits, targets, there, self.form).sum(axis=-1)
        return together + self.multiplicative * own


class M3ER(nn.Module):
    """With states h_m and memory from `nn.memory_fusion`, fed back to the LSTMs' inputs,

        z_m = W_m h_m + b_m                         each modality's own prediction
        s = prod over m that are there of (V_m h_m + c_m)        c_m = 1 at the start
        logits = MLP([s; memory])

    `modality_logits` has the candidates' z, `available` where they are there, `states` the last h of
    every modality, s and the memory.

    Source: Mittal et al. 2020 (arXiv 1911.05659), section 3.4 and figure 2; how the three states
    become one is not said there.
    """

    config: M3ERConfig
    task: Task

    @nn.compact
    def __call__(self, batch: Batch, train: bool) -> Outputs:
        config, names, slots = self.config, tuple(self.task.dims), batch.slots if train else None
        states, memory, there = remembered(config, self.task, batch, feeds=True)
        by_modality = jnp.moveaxis(states, -2, 0)
        candidates, available = self._candidates(by_modality, jnp.moveaxis(there, -1, 0))
        fused = self._combined(by_modality, jnp.moveaxis(there, -1, 0), candidates)
        joined = jnp.concatenate([fused, memory], axis=-1)
        logits = Head(config.dense, config.dropout, self.task.targets, name="head")(joined, slots)
        chosen = logits
        if config.decide == "least_costly":
            original = Multiplicative("original", 0.5)
            original = with_scalars(original, "loss", {"loss.beta": config.beta})
            chosen = -losses.multiplicative_costs(candidates, available, original)
        labels = names if config.candidates == "modalities" else _subset_names(names)
        kept = {"fused": fused, "memory": memory, "logits": logits}
        return Outputs(
            chosen,
            dict(zip(labels, candidates, strict=True)),
            kept | dict(zip(names, by_modality, strict=True)),
            available=dict(zip(labels, available, strict=True)),
        )

    def _candidates(self, states, there):
        """[candidates, *positions, targets] logits, and where they are there."""
        if self.config.candidates == "mixtures":
            states, there = losses.mixtures(states, there)
        each = [nn.Dense(self.task.targets, name=f"own_{k}")(state) for k, state in enumerate(states)]
        return jnp.stack(each), there

    def _combined(self, states, there, candidates):
        """[*positions, hidden] one vector of all modalities that are there."""
        width, there = states.shape[-1], there[..., None]
        if self.config.combine == "product":
            one = nn.initializers.ones
            each = [nn.Dense(width, bias_init=one, name=f"project_{k}")(s) for k, s in enumerate(states)]
            return jnp.where(there, jnp.stack(each), 1).prod(axis=0)
        each = [nn.Dense(width, name=f"project_{k}")(s) for k, s in enumerate(states)]
        sure = _certainty(candidates[: len(states)], self.config.binary or not self.task.classification)
        weights = jnp.where(there, sure[..., None], 0)
        total = jnp.maximum(weights.sum(axis=0), 1e-6)
        return (weights * jnp.stack(each)).sum(axis=0) / total


def _certainty(
    logits: Float[Array, "modalities *positions targets"], binary: bool
) -> Float[Array, "modalities *positions"]:
    """The largest probability of any class; of its two sides where each class is a question of its own."""
    p = nn.sigmoid(jnp.abs(logits)) if binary else nn.softmax(logits)
    return p.mean(axis=-1) if binary else p.max(axis=-1)


def _subset_names(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(
        "+".join(n for n, inside in zip(names, row, strict=True) if inside)
        for row in losses.subsets(len(names))
    )
