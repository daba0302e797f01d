"""Text attends to audio: the lexico-acoustic fusion of G. Cid Ornelas (ETH 2019), without feedback."""

import dataclasses
from typing import Any, Literal

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Bool, Float, Int

from mer_jax import losses
from mer_jax.data.batching import Batch
from mer_jax.errors import InputError, nearest
from mer_jax.models.base import Outputs, Task
from mer_jax.nn.attention import Attention, AttentionConfig, Score
from mer_jax.nn.recurrent import LSTM, BiLSTM
from mer_jax.nn.regularization import Dropout

Encoder = Literal["recurrent", "dense"]


@dataclasses.dataclass(frozen=True)
class LexicoAcousticConfig:
    """A main sequence (text) whose states attend to those of an auxiliary one (audio).

    Attributes:
        main: the modality that attends, and whose states are classified.
        auxiliary: the modality attended to.
        hidden: units of each layer (per direction) of the main encoder.
        auxiliary_hidden: the same of the auxiliary encoder; empty: as `hidden`.
        bidirectional: whether recurrent layers read both ways.
        encoder: of the main sequence: recurrent (LSTM), or dense: each word for itself, as many
            units as the LSTM gives. Recurrent words know what the others say and may all attend
            to the one that tells the class, wherever their own audio is.
        auxiliary_encoder: the same of the auxiliary one; dense: each frame for itself, so that
            what is attended to lies where the weights are.
        score: how well a main and an auxiliary state go together (see nn.attention).
        alignment: the auxiliary states that a main state may attend to.
        width: of the sliding window, in auxiliary states.
        half_width: D of local_m and local_p, in auxiliary states.
        relative_position: whether local_p's prediction also sees the relative position.
        attention_size: features of the attentional states, and inside concat and local_p.
        dense: units of each dense layer on the attentional states.
        dropout: rate on both encoders' states and between dense layers.
        pooling: the mean over the main sequence's states, or its last state.
    """

    main: str = "text"
    auxiliary: str = "audio"
    hidden: tuple[int, ...] = (64,)
    auxiliary_hidden: tuple[int, ...] = ()
    bidirectional: bool = True
    encoder: Encoder = "recurrent"
    auxiliary_encoder: Encoder = "recurrent"
    score: Score = "general"
    alignment: Literal["global", "local_m", "local_p", "window"] = "window"
    width: int = 64
    half_width: int = 16
    relative_position: bool = False
    attention_size: int = 64
    dense: tuple[int, ...] = (64,)
    dropout: float = 0.3
    pooling: Literal["mean", "last"] = "mean"

    def __post_init__(self) -> None:
        if not 0 <= self.dropout < 1:
            raise InputError(f"model.dropout={self.dropout} must be at least 0 and below 1")
        if not self.hidden:
            raise InputError("model.hidden is empty; give the units of at least one recurrent layer")
        self.attention()

    def attention(self) -> AttentionConfig:
        """The part that the attention itself reads."""
        return AttentionConfig(
            self.score,
            self.alignment,
            self.width,
            self.half_width,
            self.attention_size,
            self.relative_position,
        )

    @property
    def attends(self) -> tuple[str, str]:
        """The modality that attends, and the one it attends to."""
        return self.main, self.auxiliary

    def build(self, task: Task) -> nn.Module:
        """Raises InputError unless main and auxiliary are the modalities of the config."""
        for role in ("main", "auxiliary"):
            name = getattr(self, role)
            if name not in task.dims:
                raise InputError(
                    f"model.{role}={name!r} is not among data.modalities {list(task.dims)}; "
                    f"{nearest(name, task.dims)}"
                )
        if self.main == self.auxiliary or len(task.dims) != 2:
            raise InputError(
                f"a lexico-acoustic system takes two modalities, model.main={self.main!r} and "
                f"model.auxiliary={self.auxiliary!r}, data.modalities has {list(task.dims)}; name both, no other"
            )
        return LexicoAcoustic(self, task)

    def loss(self, outputs: Outputs, batch: Batch) -> Float[Array, "*positions"]:
        return losses.task_loss(outputs.logits, batch.targets, batch.soft_targets)


class LexicoAcoustic(nn.Module):
    """logits = W pool_t(dense(h~_t)) + b,  h~_t = tanh(W_c [c_t; h_t])

    with h the main encoder's states and c_t their context among the auxiliary one's. All words
    are attended for at once: h~ is not fed back. Where the auxiliary modality is missing c_t is
    0; where the main one is, there is nothing to pool and the logits are b.
    """

    config: LexicoAcousticConfig
    task: Task

    @nn.compact
    def __call__(self, batch: Batch, train: bool, weights: bool = False) -> Outputs:
        """weights: also give the attention weights, as `attention["weights"]`."""
        config, slots = self.config, batch.slots if train else None
        mask, there = batch.masks[config.main], batch.masks[config.auxiliary]
        words = self._encoded("main", config.encoder, batch, slots)
        frames = self._encoded("auxiliary", config.auxiliary_encoder, batch, slots)
        attended = Attention(config.attention(), name="attention")(
            words, mask, frames, there, weights=weights
        )
        x = attended.states
        for number, width in enumerate(config.dense):
            x = Dropout(config.dropout)(x, slots) if number else x
            x = nn.relu(nn.Dense(width)(x))
        state = x if self.task.unit == "dialogue" else pool(x, mask, config.pooling)
        found: dict[str, Any] = {"weights": attended.weights} if weights else {}
        logits = nn.Dense(self.task.targets)(state)
        return Outputs(logits, states={"fused": state}, attention=found)

    def _encoded(self, role, encoder, batch, slots):
        """States of the main or the auxiliary sequence, [batch, time, units]."""
        config, modality = self.config, getattr(self.config, role)
        sequence, mask = batch.features[modality], batch.masks[modality]
        sizes = (config.auxiliary_hidden if role == "auxiliary" else ()) or config.hidden
        layer = BiLSTM if config.bidirectional else LSTM
        for number, units in enumerate(sizes):
            name = f"{role}_{number}"
            if encoder == "recurrent":
                sequence, _ = layer(units, name=name)(sequence, mask)
            else:
                width = units * (2 if config.bidirectional else 1)
                sequence = nn.tanh(nn.Dense(width, name=name)(sequence))
            sequence = Dropout(config.dropout)(sequence, slots)
        return sequence


def pool(
    states: Float[Array, "batch time dim"], mask: Bool[Array, "batch time"], how: Literal["mean", "last"]
) -> Float[Array, "batch dim"]:
    """The mean over the unmasked states, or the last of them; 0 where there is none."""
    shares = mask if how == "mean" else mask & (_places_left(mask) == 1)
    shares = shares.astype(states.dtype)
    return (shares[:, :, None] * states).sum(axis=1) / jnp.maximum(shares.sum(axis=1), 1)[:, None]


def _places_left(mask: Bool[Array, "batch time"]) -> Int[Array, "batch time"]:
    """How many unmasked places there are from each place on."""
    return jnp.cumsum(mask[:, ::-1].astype(jnp.int32), axis=1)[:, ::-1]
