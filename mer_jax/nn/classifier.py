"""The recurrent classifier all of section 3's systems share."""

import dataclasses
from typing import Literal

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Bool, Float, Int

from mer_jax.errors import InputError
from mer_jax.nn.front_end import FrontEndConfig
from mer_jax.nn.recurrent import LAYERS, Cell
from mer_jax.nn.regularization import BatchNorm, Dropout


@dataclasses.dataclass(frozen=True)
class RecurrentConfig:
    """Sizes of a recurrent classifier.

    Attributes:
        hidden: units of each recurrent layer (per direction).
        dense: units of each dense layer behind them.
        dropout: rate after every recurrent layer and between dense layers.
        batch_norm: batch normalisation before the first dense layer's ReLU.
        bidirectional: whether the layers read both ways.
        front: how words and waveforms are read.
        cell: LSTM or GRU.
        pooling: the vector a sequence becomes: its last state, the mean of its states, or their
            mean and standard deviation (statistics pooling, Snyder et al. 2018).
    """

    hidden: tuple[int, ...] = (64,)
    dense: tuple[int, ...] = (64,)
    dropout: float = 0.3
    batch_norm: bool = False
    bidirectional: bool = True
    front: FrontEndConfig = dataclasses.field(default_factory=FrontEndConfig)
    cell: Cell = "lstm"
    pooling: Literal["last", "mean", "statistics"] = "last"

    def __post_init__(self) -> None:
        if not 0 <= self.dropout < 1:
            raise InputError(f"model.dropout={self.dropout} must be at least 0 and below 1")


class RecurrentClassifier(nn.Module):
    """(Bi)LSTM layers, a vector per sequence (or per step), dense layers, one linear output.

    The network of M. Schmitz' comparison is hidden=(512, 256),
    dense=(512, 512), dropout=.8, batch_norm=True.
    """

    config: RecurrentConfig
    targets: int
    per_step: bool

    @nn.compact
    def __call__(
        self,
        inputs: Float[Array, "batch time dim"],
        mask: Bool[Array, "batch time"],
        valid: Bool[Array, "*positions"],
        slots: Int[Array, " batch"] | None,
    ) -> tuple[Float[Array, "*positions targets"], Float[Array, "*positions state"]]:
        """`slots` None: no dropout, kept statistics. Returns logits and the state they come from."""
        config = self.config
        layer = LAYERS[config.cell, config.bidirectional]
        sequence, last = inputs, inputs[:, 0]
        for hidden in config.hidden:
            sequence, last = layer(hidden)(sequence, mask)
            sequence = Dropout(config.dropout)(sequence, slots)
        state = sequence if self.per_step else self._pool(sequence, last, mask, slots)
        x = state
        for number, width in enumerate(config.dense):
            x = Dropout(config.dropout)(x, slots) if number else x
            normalised = config.batch_norm and number == 0
            x = nn.Dense(width, use_bias=not normalised)(x)
            if normalised:
                x = BatchNorm()(x + self._cancelled_bias(x.ndim, width), valid, slots is not None)
            x = nn.relu(x)
        return nn.Dense(self.targets)(x), state

    def _cancelled_bias(self, ndim, width):
        """The bias of a dense layer that batch normalisation takes out again. Its gradient is 0
        but for rounding, which Adam would scale to full steps: so it stays where it starts."""
        bias = self.param("cancelled_bias", nn.initializers.zeros, (width,))
        return jax.lax.stop_gradient(bias).reshape((1,) * (ndim - 1) + (width,))

    def _pool(self, sequence, last, mask, slots):
        if self.config.pooling == "last":
            return Dropout(self.config.dropout)(last, slots)
        weights = mask[:, :, None].astype(sequence.dtype)
        count = jnp.maximum(weights.sum(axis=1), 1)
        mean = (weights * sequence).sum(axis=1) / count
        if self.config.pooling == "mean":
            return mean
        centred = weights * (sequence - mean[:, None, :])
        return jnp.concatenate([mean, jnp.sqrt(jnp.square(centred).sum(axis=1) / count + 1e-6)], axis=-1)
