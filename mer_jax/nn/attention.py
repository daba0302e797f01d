"""Attention of one sequence's states to another's, after Luong, Pham and Manning 2015."""

import dataclasses
from typing import Any, Literal

import jax.numpy as jnp
from flax import linen as nn
from flax import struct
from jaxtyping import Array, Bool, Float, Int

from kernels.attention import Forced, Global, LocalMonotonic, LocalPredictive, SlidingWindow, attend
from mer_jax.errors import InputError

Score = Literal["dot", "general", "concat"]
AlignmentName = Literal["global", "local_m", "local_p", "window", "forced"]

ORDINARY = nn.initializers.glorot_uniform()
# The scores of a bilinear form of many features are far apart at an ordinary start: attention then
# sits on single states and hardly moves. Near 0 it begins even over its alignment.
EVEN = nn.initializers.normal(0.01)


@dataclasses.dataclass(frozen=True)
class AttentionConfig:
    """Which score and which alignment, and their sizes.

    Attributes:
        score: dot h . s, general h W s, or concat v . tanh(W1 h + W2 s).
        alignment: the states each h_t may attend to: all (global), those around the diagonal
            t n / m (window, local_m), around a predicted place (local_p), or given ones (forced).
        width: of the window: width / 2 states on each side of the diagonal.
        half_width: D of local_m and local_p; sigma = D / 2.
        size: features of h~ and of the tanh inside the concat score and inside p_t.
        relative_position: whether W_p also sees where in its sequence h_t stands:
            [h_t; logit(r)] with r = (t + 1/2) / m, and starts so that p_t = n r, about. Not in
            Luong et al., whose states count for themselves and whose p_t all start at n / 2.

    Raises:
        InputError: where a width or size is out of range.
    """

    score: Score = "general"
    alignment: AlignmentName = "global"
    width: int = 64
    half_width: int = 16
    size: int = 64
    relative_position: bool = False

    def __post_init__(self) -> None:
        for name in ("width", "half_width", "size"):
            if getattr(self, name) < 1:
                raise InputError(f"attention: {name}={getattr(self, name)} must be at least 1")


class Attended(struct.PyTreeNode):
    """What attention gives of a batch.

    context: c_t, [batch, m, s]; zero where h_t has nothing to attend to.
    states: the attentional vectors h~_t, [batch, m, size].
    weights: `kernels.attention.Weights` where they were asked for, else None.
    """

    context: Any
    states: Any
    weights: Any = None


class Attention(nn.Module):
    """The attentional vector of each decoder state over the encoder's states.

        score(h_t, s) = h_t . s                  dot
                        h_t^T W s                general
                        v . tanh(W1 h_t + W2 s)  concat
        a_t = softmax over the states of the alignment,  c_t = sum_s a_t(s) s
        h~_t = tanh(W_c [c_t; h_t])

    global: all states. window, local_m: those around t n / m, with m and n the true lengths.
    local_p: those within D of p_t = n sigmoid(v_p . tanh(W_p h_t)), where a_t(s) is
    multiplied by exp(-(s - p_t)^2 / 2 sigma^2), sigma = D / 2. forced: those of the span given.

    Parameters (no biases): W h s; W1, W2, v (h + s + 1) size; W_p, v_p (h + 1) size, with
    `relative_position` (h + 2) size; W_c (s + h) size.

    Source: Luong, Pham and Manning 2015, equations 5 (h~) and 7 to 10 (local attention) and
    section 3.1 (scores); local-m for two lengths as in `kernels.attention`.
    """

    config: AttentionConfig

    @nn.compact
    def __call__(
        self,
        decoder: Float[Array, "batch m h"],
        mask: Bool[Array, "batch m"],
        encoder: Float[Array, "batch n s"],
        encoder_mask: Bool[Array, "batch n"],
        *,
        spans: Int[Array, "batch m 2"] | None = None,
        weights: bool = False,
    ) -> Attended:
        """A sequence's length is that of its mask up to the last true place.

        Args:
            decoder: h_t.
            mask: which of them exist.
            encoder: s.
            encoder_mask: which of them exist; no other one is attended to.
            spans: first and last state, inclusive, of each h_t; for forced alignment.
            weights: whether to compute the weights too.

        Raises:
            InputError: spans missing or too many, or two sizes under the dot score.
        """
        self._check(decoder, encoder, spans)
        query, key, vector = self._projected(decoder, encoder)
        lengths, encoder_lengths = last_place(mask), last_place(encoder_mask)
        alignment = self._alignment(decoder, lengths, encoder_lengths, spans)
        found = attend(
            query,
            key,
            encoder,
            score="dot" if vector is None else "additive",
            score_vector=vector,
            alignment=alignment,
            query_lengths=lengths,
            key_lengths=encoder_lengths,
            key_mask=encoder_mask,
            return_weights=weights,
        )
        context, shares = found if weights else (found, None)
        joined = jnp.concatenate([context, decoder], axis=-1)
        states = jnp.tanh(joined @ self._matrix("W_c", joined.shape[-1], self.config.size))
        return Attended(context, states, shares)

    def _check(self, decoder, encoder, spans):
        alignment, sizes = self.config.alignment, (decoder.shape[-1], encoder.shape[-1])
        if self.config.score == "dot" and sizes[0] != sizes[1]:
            raise InputError(
                f"attention: score='dot' needs states of one size, the decoder's have {sizes[0]} and the "
                f"encoder's {sizes[1]} features; make them equal or use score='general'"
            )
        if (alignment == "forced") != (spans is not None):
            remedy = "give the span of each decoder state" if spans is None else "leave the spans out"
            given = "none" if spans is None else f"{list(spans.shape)}"
            raise InputError(f"attention: alignment={alignment!r} with spans {given}; {remedy}")

    def _projected(self, decoder, encoder):
        """Queries and keys as `attend` takes them, and v of the concat score."""
        h, s, size = decoder.shape[-1], encoder.shape[-1], self.config.size
        if self.config.score == "dot":
            return decoder, encoder, None
        if self.config.score == "general":
            return decoder @ self._matrix("W", h, s), encoder, None
        vector = self._matrix("v", size, 1)[:, 0]
        return decoder @ self._matrix("W1", h, size), encoder @ self._matrix("W2", s, size), vector

    def _alignment(self, decoder, lengths, encoder_lengths, spans):
        config = self.config
        if config.alignment == "window":
            return SlidingWindow(config.width)
        if config.alignment == "local_m":
            return LocalMonotonic(config.half_width)
        if config.alignment == "local_p":
            return LocalPredictive(config.half_width, self._centres(decoder, lengths, encoder_lengths))
        return Global() if spans is None else Forced(spans)

    def _centres(self, decoder, lengths, encoder_lengths):
        """p_t, [batch, m]."""
        size, seen, starts = self.config.size, decoder, (ORDINARY, ORDINARY)
        if self.config.relative_position:
            seen = jnp.concatenate([decoder, _logits_of_place(decoder, lengths)], axis=-1)
            starts = (_on_diagonal, nn.initializers.constant(size**-0.5))
        inner = jnp.tanh(seen @ self.param("W_p", starts[0], (seen.shape[-1], size)))
        share = nn.sigmoid((inner @ self.param("v_p", starts[1], (size, 1)))[:, :, 0])
        return encoder_lengths.astype(decoder.dtype)[:, None] * share

    def _matrix(self, name, rows, columns):
        return self.param(name, EVEN if name == "W" else ORDINARY, (rows, columns))


def _logits_of_place(decoder, lengths):
    """log(r / (1 - r)) of r = (t + 1/2) / m, [batch, m, 1]; 0 beyond the end."""
    place = jnp.arange(decoder.shape[1], dtype=decoder.dtype)[None, :] + 0.5
    left = lengths.astype(decoder.dtype)[:, None] - place
    return jnp.where(left > 0, jnp.log(place / jnp.maximum(left, 0.5)), 0)[:, :, None]


def _on_diagonal(key, shape, dtype=jnp.float32):
    """A start of W_p that lets the last row, of the relative position, count and the others not:
    with v_p = size^-1/2 throughout, p_t is about n (t + 1/2) / m."""
    return nn.initializers.normal(0.01)(key, shape, dtype).at[-1].set(shape[1] ** -0.5)


def last_place(mask: Bool[Array, "batch time"]) -> Int[Array, " batch"]:
    """Length of each sequence: the number of places up to the last true one."""
    places = jnp.arange(1, mask.shape[1] + 1, dtype=jnp.int32)[None, :]
    return jnp.where(mask, places, 0).max(axis=1)
