"""Two recurrent encoders side by side: MDRE and MDREA of Yoon, Byun and Jung (SLT 2018)."""

import dataclasses
from typing import Literal

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Bool, Float

from kernels.attention.reference import softmax
from mer_jax import losses
from mer_jax.data.batching import Batch
from mer_jax.errors import InputError, nearest
from mer_jax.models.base import Outputs, Task
from mer_jax.nn.front_end import FrontEnd, FrontEndConfig
from mer_jax.nn.recurrent import LAYERS, Cell
from mer_jax.nn.regularization import Dropout


@dataclasses.dataclass(frozen=True)
class DualRecurrentConfig:
    """A text and an audio encoder whose last states are classified together.

    Attributes:
        text, audio: the modalities.
        front: how words and waveforms are read.
        cell: LSTM or GRU; the paper has GRUs.
        hidden: units of each encoder.
        bidirectional: whether they read both ways.
        attention: none (MDRE): [h_text; h_audio]; or by audio (MDREA): the text's states weighted
            by how well they go with the audio's last state.
        dropout: rate on the states.
    """

    text: str = "text"
    audio: str = "audio"
    front: FrontEndConfig = dataclasses.field(default_factory=FrontEndConfig)
    cell: Cell = "gru"
    hidden: int = 200
    bidirectional: bool = False
    attention: Literal["none", "by_audio"] = "none"
    dropout: float = 0.3

    def __post_init__(self) -> None:
        if not 0 <= self.dropout < 1 or self.hidden < 1:
            raise InputError(
                f"model.dropout={self.dropout} must be at least 0 and below 1, model.hidden={self.hidden} at least 1"
            )

    def build(self, task: Task) -> nn.Module:
        """Raises InputError unless text and audio are modalities of the config."""
        for role in ("text", "audio"):
            name = getattr(self, role)
            if name not in task.dims:
                raise InputError(
                    f"model.{role}={name!r} is not among data.modalities {list(task.dims)}; "
                    f"{nearest(name, task.dims)}"
                )
        if task.unit != "utterance":
            raise InputError("a dual recurrent system reads utterances; set data.unit='utterance'")
        return DualRecurrent(self, task)

    def loss(self, outputs: Outputs, batch: Batch) -> Float[Array, "*positions"]:
        return losses.task_loss(outputs.logits, batch.targets, batch.soft_targets)


class DualRecurrent(nn.Module):
    """MDRE:  logits = V [o_T; o_A] + b
    MDREA: e = W o_A + b_e,  a = softmax_t(e . h_t),  logits = V [sum_t a_t h_t; e] + b

    with h_t the text's states, o_T and o_A the last states of text and audio. A missing
    modality's last state is 0.

    Source: Yoon, Byun and Jung 2018, equations 3 (MDRE) and 4 to 6 (MDREA).
    """

    config: DualRecurrentConfig
    task: Task

    @nn.compact
    def __call__(self, batch: Batch, train: bool) -> Outputs:
        config, slots = self.config, batch.slots if train else None
        batch = FrontEnd(config.front, self.task.vocabulary, name="front")(batch)
        states, last = {}, {}
        for role in ("text", "audio"):
            name = getattr(config, role)
            layer = LAYERS[config.cell, config.bidirectional](config.hidden, name=role)
            states[role], last[role] = layer(batch.features[name], batch.masks[name])
        audio = Dropout(config.dropout)(last["audio"], slots)
        if config.attention == "none":
            joined = jnp.concatenate([Dropout(config.dropout)(last["text"], slots), audio], axis=-1)
        else:
            text = Dropout(config.dropout)(states["text"], slots)
            query = nn.Dense(text.shape[-1], name="query")(audio)
            joined = jnp.concatenate([read(query, text, batch.masks[config.text]), query], axis=-1)
        return Outputs(nn.Dense(self.task.targets)(joined), states={"fused": joined})


def read(
    query: Float[Array, "batch dim"], states: Float[Array, "batch time dim"], mask: Bool[Array, "batch time"]
) -> Float[Array, "batch dim"]:
    """sum_t a_t h_t,  a = softmax_t(query . h_t) over the unmasked states; 0 where there is none."""
    weights = softmax(jnp.einsum("bd,btd->bt", query, states), mask)
    return jnp.einsum("bt,btd->bd", weights, states)
