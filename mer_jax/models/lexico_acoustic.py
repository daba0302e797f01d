"""Text attends to audio: the lexico-acoustic fusion of G. Cid Ornelas (ETH 2019)."""

import dataclasses
from typing import Any, Literal

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Bool, Float, Int

from mer_jax import losses
from mer_jax.data.batching import Batch
from mer_jax.errors import InputError, nearest
from mer_jax.models.base import Outputs, Task
from mer_jax.nn.attention import AlignmentName, Attention, AttentionConfig, Score
from mer_jax.nn.decoder import AttendingDecoder, Feedback
from mer_jax.nn.front_end import FrontEnd, FrontEndConfig
from mer_jax.nn.recurrent import LAYERS, Cell
from mer_jax.nn.regularization import Dropout

Encoder = Literal["recurrent", "dense", "decoder"]


@dataclasses.dataclass(frozen=True)
class LexicoAcousticConfig:
    """A main sequence (text) whose states attend to those of an auxiliary one (audio).

    Attributes:
        main: the modality that attends, and whose states are classified.
        auxiliary: the modality attended to.
        front: how words and waveforms are read.
        cell: of recurrent encoders, LSTM or GRU.
        hidden: units of each layer (per direction) of the main encoder.
        auxiliary_hidden: the same of the auxiliary encoder; empty: as `hidden`.
        bidirectional: whether recurrent layers read both ways (a decoder reads one way).
        encoder: of the main sequence: recurrent; dense: each word for itself, as many units as
            the recurrent layer gives (recurrent words know what the others say and may all attend
            to the one that tells the class, wherever their own audio is); decoder: a GRU that
            attends as it reads, the last of `hidden` its units.
        auxiliary_encoder: recurrent or dense; dense: each frame for itself, so that what is
            attended to lies where the weights are.
        feedback: what a decoder's attentional vector does to its next state (nn.decoder).
        starts_from_auxiliary: whether a decoder starts from the auxiliary encoder's last state.
        score: how well a main and an auxiliary state go together (see nn.attention).
        alignment: the auxiliary states that a main state may attend to.
        width: of the sliding window, in auxiliary states.
        half_width: D of local_m and local_p, in auxiliary states.
        relative_position: whether local_p's prediction also sees the relative position.
        attention_size: features of the attentional states, and inside concat and local_p.
        dense: units of each dense layer on the attentional states.
        dropout: rate on both encoders' states and between dense layers.
        auxiliary_dropout: rate on the auxiliary encoder's states; None: as `dropout`.
        pooling: the mean over the main sequence's states, or its last state.
        auxiliary_states: in_order; or scrambled_by_reshape: [time, features] read as
            [features, time], as the original code did where it meant to transpose. For comparison.
        masked: whether padding is masked; the original code did not. For comparison.
    """

    main: str = "text"
    auxiliary: str = "audio"
    front: FrontEndConfig = dataclasses.field(default_factory=FrontEndConfig)
    cell: Cell = "lstm"
    hidden: tuple[int, ...] = (64,)
    auxiliary_hidden: tuple[int, ...] = ()
    bidirectional: bool = True
    encoder: Encoder = "recurrent"
    auxiliary_encoder: Literal["recurrent", "dense"] = "recurrent"
    feedback: Feedback = "none"
    starts_from_auxiliary: bool = False
    score: Score = "general"
    alignment: AlignmentName = "window"
    width: int = 64
    half_width: int = 16
    relative_position: bool = False
    attention_size: int = 64
    dense: tuple[int, ...] = (64,)
    dropout: float = 0.3
    auxiliary_dropout: float | None = None
    pooling: Literal["mean", "last"] = "mean"
    auxiliary_states: Literal["in_order", "scrambled_by_reshape"] = "in_order"
    masked: bool = True

    def __post_init__(self) -> None:
        for name in ("dropout", "auxiliary_dropout"):
            rate = getattr(self, name)
            if rate is not None and not 0 <= rate < 1:
                raise InputError(f"model.{name}={rate} must be at least 0 and below 1")
        if not self.hidden:
            raise InputError("model.hidden is empty; give the units of at least one recurrent layer")
        self._check_decoder()
        self.attention()

    def _check_decoder(self) -> None:
        if self.encoder != "decoder":
            if self.feedback != "none" or self.starts_from_auxiliary:
                raise InputError(
                    f"model.feedback={self.feedback!r} and model.starts_from_auxiliary={self.starts_from_auxiliary} "
                    f"are a decoder's; set model.encoder='decoder', not {self.encoder!r}"
                )
            return
        if self.feedback == "state" and self.attention_size != self.hidden[-1]:
            raise InputError(
                f"model.attention_size={self.attention_size} must be the decoder's {self.hidden[-1]} units where "
                "model.feedback='state'; make them equal or use feedback='input'"
            )
        units = (self.auxiliary_hidden or self.hidden)[-1] * (2 if self.bidirectional else 1)
        if self.starts_from_auxiliary and (units != self.hidden[-1] or self.auxiliary_encoder == "dense"):
            raise InputError(
                f"model.starts_from_auxiliary: a decoder of {self.hidden[-1]} units can't start from the "
                f"auxiliary encoder ({self.auxiliary_encoder}, {units} units); make it recurrent and of the same size"
            )

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

    def attended_rate(self, rate: float) -> float:
        """States of the auxiliary modality per second, where its clock has `rate`."""
        return self.front.rate(self.auxiliary, rate)

    def build(self, task: Task) -> nn.Module:
        """Raises InputError unless main and auxiliary are the modalities of the config, and where
        forced alignment has no clock to go by."""
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
        if self.alignment == "forced" and task.timed != self.main:
            raise InputError(
                f"model.alignment='forced' needs the times of the words of model.main={self.main!r}; "
                f"set --data.timed {self.main}"
            )
        if self.alignment == "forced" and self.auxiliary not in task.rates:
            raise InputError(
                f"model.alignment='forced' needs the clock of model.auxiliary={self.auxiliary!r}, which has none; "
                "let the modality with a clock be the auxiliary one, and the one of words the main one"
            )
        return LexicoAcoustic(self, task)

    def loss(self, outputs: Outputs, batch: Batch) -> Float[Array, "*positions"]:
        return losses.task_loss(outputs.logits, batch.targets, batch.soft_targets)


class LexicoAcoustic(nn.Module):
    """logits = W pool_t(dense(h~_t)) + b,  h~_t = tanh(W_c [c_t; h_t])

    with h the main encoder's states and c_t their context among the auxiliary one's. Where the
    auxiliary modality is missing c_t is 0; where the main one is, there is nothing to pool and
    the logits are b.
    """

    config: LexicoAcousticConfig
    task: Task

    @nn.compact
    def __call__(self, batch: Batch, train: bool, weights: bool = False) -> Outputs:
        """weights: also give the attention weights, as `attention["weights"]`."""
        config, slots = self.config, batch.slots if train else None
        batch = FrontEnd(config.front, self.task.vocabulary, name="front")(batch)
        if not config.masked:
            batch = batch.replace(masks={m: jnp.ones_like(x) for m, x in batch.masks.items()})
        mask = batch.masks[config.main]
        attended = self._attended(batch, slots, weights)
        x = attended.states
        for number, width in enumerate(config.dense):
            x = Dropout(config.dropout)(x, slots) if number else x
            x = nn.relu(nn.Dense(width)(x))
        state = x if self.task.unit == "dialogue" else pool(x, mask, config.pooling)
        found: dict[str, Any] = {"weights": attended.weights} if weights else {}
        logits = nn.Dense(self.task.targets)(state)
        return Outputs(logits, states={"fused": state}, attention=found)

    def _attended(self, batch, slots, weights):
        config = self.config
        mask, there = batch.masks[config.main], batch.masks[config.auxiliary]
        decodes = config.encoder == "decoder"
        main, _ = self._encoded("main", batch, slots, config.hidden[:-1] if decodes else config.hidden)
        auxiliary, last = self._encoded("auxiliary", batch, slots, config.auxiliary_hidden or config.hidden)
        if config.auxiliary_states == "scrambled_by_reshape":
            auxiliary = jnp.swapaxes(auxiliary, 1, 2).reshape(auxiliary.shape)
        spans = None
        if config.alignment == "forced":
            rate = config.attended_rate(self.task.rates[config.auxiliary])
            spans = steps_of(batch.spans, rate)
        options = {"spans": spans, "weights": weights}
        if not decodes:
            attention = Attention(config.attention(), name="attention")
            return attention(main, mask, auxiliary, there, **options)
        decoder = AttendingDecoder(config.attention(), config.hidden[-1], config.feedback, name="decoder")
        initial = last if config.starts_from_auxiliary else None
        return decoder(main, mask, auxiliary, there, initial=initial, **options)

    def _encoded(self, role, batch, slots, sizes):
        """States of the main or the auxiliary sequence, [batch, time, units], and the last of them."""
        config, modality = self.config, getattr(self.config, role)
        sequence, mask = batch.features[modality], batch.masks[modality]
        dense = (config.encoder if role == "main" else config.auxiliary_encoder) == "dense"
        own = config.auxiliary_dropout if role == "auxiliary" else None
        rate, last = config.dropout if own is None else own, None
        for number, units in enumerate(sizes):
            name = f"{role}_{number}"
            if dense:
                width = units * (2 if config.bidirectional else 1)
                sequence = nn.tanh(nn.Dense(width, name=name)(sequence))
            else:
                sequence, last = LAYERS[config.cell, config.bidirectional](units, name=name)(sequence, mask)
            sequence = Dropout(rate)(sequence, slots)
        return sequence, last


def steps_of(spans: Float[Array, "batch words 2"], rate: float) -> Int[Array, "batch words 2"]:
    """First and last step, inclusive, that a span of seconds touches at `rate` steps a second, at
    least one; (0, -1) for a span that ends before it begins."""
    first = jnp.floor(spans[:, :, 0] * rate)
    last = jnp.maximum(jnp.ceil(spans[:, :, 1] * rate) - 1, first)
    last = jnp.where(spans[:, :, 1] < spans[:, :, 0], -1, last)
    first = jnp.where(last < 0, 0, first)
    return jnp.stack([first, last], axis=2).astype(jnp.int32)


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
