"""What stands before any encoder: words become vectors, waveforms become frames, features stay."""

import dataclasses

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Bool, Float

from mer_jax.data.batching import Batch
from mer_jax.data.schema import WAVEFORM
from mer_jax.data.vocabulary import WORDS
from mer_jax.errors import InputError
from mer_jax.nn.waveform import ConvolutionalEncoder, standardise, step_rate

TABLE = "table"


@dataclasses.dataclass(frozen=True)
class FrontEndConfig:
    """How the modalities `words` and `waveform` are read; others are features already.

    Attributes:
        embedding: features of a word's vector; those of data.vectors where they are given.
        trained: whether the words' vectors are learned, or stay as they start.
        filters: of each convolution over a waveform.
        kernels: their widths, in samples or steps.
        pools: how many steps the maximum behind each is taken over.
    """

    embedding: int = 100
    trained: bool = True
    filters: tuple[int, ...] = (25, 50)
    kernels: tuple[int, ...] = (25, 5)
    pools: tuple[int, ...] = (50, 50)

    def __post_init__(self) -> None:
        sizes = (self.filters, self.kernels, self.pools)
        if len({len(x) for x in sizes}) > 1 or not self.filters or min(map(min, sizes)) < 1:
            raise InputError(
                f"model.front: filters={self.filters}, kernels={self.kernels} and pools={self.pools} must name as "
                "many convolutions, at least one, by positive integers"
            )
        if self.embedding < 1:
            raise InputError(f"model.front.embedding={self.embedding} must be at least 1")

    def rate(self, modality: str, rate: float) -> float:
        """Steps per second behind the front end, of a modality with `rate` before it."""
        return step_rate(rate, self.pools) if modality == WAVEFORM else rate


class FrontEnd(nn.Module):
    """A batch whose words are vectors, E w_t, and whose waveforms are frames (`nn.waveform`).

    Attributes:
        vocabulary: rows of the table E, where words are a modality.

    Parameters: E, [vocabulary, embedding] (kept, not trained, under `trained=False`), and those of the
    convolutions.
    """

    config: FrontEndConfig
    vocabulary: int

    @nn.compact
    def __call__(self, batch: Batch) -> Batch:
        features, masks = dict(batch.features), dict(batch.masks)
        if WORDS in features:
            features[WORDS] = self._vectors(features[WORDS], masks[WORDS])
        if WAVEFORM in features:
            c = self.config
            encoder = ConvolutionalEncoder(c.filters, c.kernels, c.pools, name="convolutions")
            samples = standardise(features[WAVEFORM], masks[WAVEFORM])
            features[WAVEFORM], masks[WAVEFORM] = encoder(samples, masks[WAVEFORM])
        return batch.replace(features=features, masks=masks)

    def _vectors(
        self, ids: Float[Array, "batch time 1"], mask: Bool[Array, "batch time"]
    ) -> Float[Array, "batch time embedding"]:
        shape = (self.vocabulary, self.config.embedding)
        start = nn.initializers.normal(self.config.embedding**-0.5)
        if self.config.trained:
            rows = self.param(TABLE, start, shape)
        else:
            kept = self.variable("statistics", TABLE, lambda: start(self.make_rng("params"), shape))
            rows = jax.lax.stop_gradient(kept.value)
        return jnp.where(mask[:, :, None], rows[ids[:, :, 0].astype(jnp.int32)], 0)
