"""Attention of one sequence's states to another's, after Luong, Pham and Manning 2015."""

import dataclasses
from typing import Any, Literal, NamedTuple

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


class Matrices(NamedTuple):
    """The parameters of attention, without biases; None where a score or alignment has no use for one.

    W: [h, s] of the general score. W1: [h, size], W2: [s, size], v: [size] of the concat score.
    W_p: [h, size] (one row more with the relative position), v_p: [size] of local-p.
    W_c: [s + h, size] of the attentional vector.
    """

    W: Any
    W1: Any
    W2: Any
    v: Any
    W_p: Any
    v_p: Any
    W_c: Any


def matrices(module: nn.Module, config: AttentionConfig, h: int, s: int) -> Matrices:
    """The parameters of `config` for states of h and s features, owned by `module`."""
    size, score, local = config.size, config.score, config.alignment == "local_p"

    def when(needed: bool, name: str, start: Any, *shape: int) -> Any:
        return module.param(name, start, shape) if needed else None

    placed, concat = config.relative_position, score == "concat"
    starts = (_on_diagonal, nn.initializers.constant(size**-0.5)) if placed else (ORDINARY, ORDINARY)
    v = when(concat, "v", ORDINARY, size, 1)
    W, W1 = when(score == "general", "W", EVEN, h, s), when(concat, "W1", ORDINARY, h, size)
    W2 = when(concat, "W2", ORDINARY, s, size)
    W_p, v_p = when(local, "W_p", starts[0], h + placed, size), when(local, "v_p", starts[1], size, 1)
    W_c = when(True, "W_c", ORDINARY, s + h, size)
    return Matrices(W, W1, W2, None if v is None else v[:, 0], W_p, None if v_p is None else v_p[:, 0], W_c)


class Parameters(nn.Module):
    """`matrices` as a module of its own, under the names they have in `Attention`."""

    config: AttentionConfig
    h: int
    s: int

    @nn.compact
    def __call__(self) -> Matrices:
        return matrices(self, self.config, self.h, self.s)


def query_of(given: Matrices, decoder: Float[Array, "*batch h"]) -> Float[Array, "*batch d"]:
    """h_t as `kernels.attention.attend` takes it: h (dot), W^T h (general), W1^T h (concat)."""
    projection = given.W if given.W1 is None else given.W1
    return decoder if projection is None else decoder @ projection


def key_of(given: Matrices, encoder: Float[Array, "batch n s"]) -> Float[Array, "batch n d"]:
    """s, or W2^T s of the concat score."""
    return encoder if given.W2 is None else encoder @ given.W2


def centre_of(
    given: Matrices,
    decoder: Float[Array, "*batch h"],
    place: Float[Array, "*batch"],
    length: Float[Array, "*#batch"],
) -> Float[Array, "*batch"]:
    """p_t = n sigmoid(v_p . tanh(W_p h_t)); place: logit of the relative position, for a W_p that sees it."""
    if given.W_p.shape[0] > decoder.shape[-1]:
        decoder = jnp.concatenate([decoder, place[..., None]], axis=-1)
    return length * nn.sigmoid(jnp.tanh(decoder @ given.W_p) @ given.v_p)


def attentional(
    given: Matrices, context: Float[Array, "*batch s"], decoder: Float[Array, "*batch h"]
) -> Float[Array, "*batch size"]:
    """h~_t = tanh(W_c [c_t; h_t])."""
    return jnp.tanh(mixed_of(given, context, decoder))


def mixed_of(
    given: Matrices, context: Float[Array, "*batch s"], decoder: Float[Array, "*batch h"]
) -> Float[Array, "*batch size"]:
    """W_c [c_t; h_t]."""
    return jnp.concatenate([context, decoder], axis=-1) @ given.W_c


class Attention(nn.Module):
    """The attentional vector of each decoder state over the encoder's states, all at once.

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
        check(self.config, decoder.shape[-1], encoder.shape[-1], spans)
        given = matrices(self, self.config, decoder.shape[-1], encoder.shape[-1])
        lengths, encoder_lengths = last_place(mask), last_place(encoder_mask)
        if self.config.alignment == "local_p":
            places = logit_of_place(lengths, decoder.shape[1], decoder.dtype)
            centres = centre_of(given, decoder, places, encoder_lengths.astype(decoder.dtype)[:, None])
            alignment: Any = LocalPredictive(self.config.half_width, centres)
        else:
            alignment = laid_out(self.config, spans)
        found = attend(
            query_of(given, decoder),
            key_of(given, encoder),
            encoder,
            score="dot" if given.v is None else "additive",
            score_vector=given.v,
            alignment=alignment,
            query_lengths=lengths,
            key_lengths=encoder_lengths,
            key_mask=encoder_mask,
            return_weights=weights,
        )
        context, shares = found if weights else (found, None)
        return Attended(context, attentional(given, context, decoder), shares)


def check(config: AttentionConfig, h: int, s: int, spans: Any) -> None:
    """Raises InputError for two sizes under the dot score, and for spans missing or too many."""
    if config.score == "dot" and h != s:
        raise InputError(
            f"attention: score='dot' needs states of one size, the decoder's have {h} and the "
            f"encoder's {s} features; make them equal or use score='general'"
        )
    if (config.alignment == "forced") != (spans is not None):
        remedy = "give the span of each decoder state" if spans is None else "leave the spans out"
        given = "none" if spans is None else f"{list(spans.shape)}"
        raise InputError(f"attention: alignment={config.alignment!r} with spans {given}; {remedy}")


def laid_out(config: AttentionConfig, spans: Any) -> Any:
    """The alignment, where no state has a say in it: any but local-p."""
    if config.alignment == "window":
        return SlidingWindow(config.width)
    if config.alignment == "local_m":
        return LocalMonotonic(config.half_width)
    return Global() if spans is None else Forced(spans, overlapping=True)


def logit_of_place(lengths: Int[Array, " batch"], time: int, dtype: Any) -> Float[Array, "batch {time}"]:
    """log(r / (1 - r)) of r = (t + 1/2) / m; 0 beyond the end."""
    place = jnp.arange(time, dtype=dtype)[None, :] + 0.5
    left = lengths.astype(dtype)[:, None] - place
    return jnp.where(left > 0, jnp.log(place / jnp.maximum(left, 0.5)), 0)


def _on_diagonal(key, shape, dtype=jnp.float32):
    """A start of W_p that lets the last row, of the relative position, count and the others not:
    with v_p = size^-1/2 throughout, p_t is about n (t + 1/2) / m."""
    return nn.initializers.normal(0.01)(key, shape, dtype).at[-1].set(shape[1] ** -0.5)


def last_place(mask: Bool[Array, "batch time"]) -> Int[Array, " batch"]:
    """Length of each sequence: the number of places up to the last true one."""
    places = jnp.arange(1, mask.shape[1] + 1, dtype=jnp.int32)[None, :]
    return jnp.where(mask, places, 0).max(axis=1)
