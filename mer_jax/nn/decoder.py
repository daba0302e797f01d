"""A recurrent decoder that attends to an encoder's states, with or without feedback."""

import dataclasses
from typing import Any, Literal

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Bool, Float, Int

from kernels.attention import LocalPredictive, Weights, reference
from kernels.attention.alignment import Ranges, Size
from kernels.attention.reference import Inputs
from kernels.attention.stepwise import scan_windows
from mer_jax.errors import InputError
from mer_jax.nn.attention import (
    Attended,
    Attention,
    AttentionConfig,
    Parameters,
    attentional,
    centre_of,
    check,
    key_of,
    laid_out,
    last_place,
    logit_of_place,
    query_of,
)
from mer_jax.nn.recurrent import GRU, GRUParameters, gru_step

Feedback = Literal["none", "state", "input"]


class AttendingDecoder(nn.Module):
    """GRU states h_t of a main sequence, their context c_t and attentional vectors h~_t.

        none   h_t = GRU(x_t, h_{t-1}), and all h~_t at once
        state  h_t = GRU(x_t, h~_{t-1}): the attentional vector takes the state's place (Cid
               Ornelas 2019); its size is that of the state
        input  h_t = GRU([x_t; h~_{t-1}], h_{t-1}): input feeding (Luong, Pham and Manning 2015,
               section 3.3); h~_0 = 0

    With feedback a step waits for the one before it and sees the states of its own alignment
    alone: O(w) for a window of w states, however long the encoder's sequence is.

    Attributes:
        config: of the attention.
        hidden: units of the GRU.
        feedback: none, state or input.

    Parameters: those of `GRU`, of `Attention`, and for input feeding 3 hidden more rows of size.
    """

    config: AttentionConfig
    hidden: int
    feedback: Feedback = "none"

    @nn.compact
    def __call__(
        self,
        inputs: Float[Array, "batch m dim"],
        mask: Bool[Array, "batch m"],
        encoder: Float[Array, "batch n s"],
        encoder_mask: Bool[Array, "batch n"],
        *,
        initial: Float[Array, "batch hidden"] | None = None,
        spans: Int[Array, "batch m 2"] | None = None,
        weights: bool = False,
    ) -> Attended:
        """`Attention.__call__` with x_t for h_t; initial: h_0, or h~_0 of the state feedback.

        Raises:
            InputError: as `Attention`, and where the state is to be fed back and sizes differ.
        """
        if self.feedback == "none":
            states, _ = GRU(self.hidden, name="gru")(inputs, mask, initial)
            attention = Attention(self.config, name="attention")
            return attention(states, mask, encoder, encoder_mask, spans=spans, weights=weights)
        if self.feedback == "state" and self.config.size != self.hidden:
            raise InputError(
                f"attention: size={self.config.size} must be the {self.hidden} units of the decoder where its "
                "attentional vector is fed back as the state; make them equal or use input feeding"
            )
        return self._stepwise(inputs, mask, encoder, encoder_mask, initial, spans, weights)

    def _stepwise(self, inputs, mask, encoder, encoder_mask, initial, spans, weights):
        config, (rows, m, dim) = self.config, inputs.shape
        check(config, self.hidden, encoder.shape[-1], spans)
        fed = config.size if self.feedback == "input" else 0
        gru = GRUParameters(self.hidden, name="gru")(dim + fed)
        given = Parameters(config, self.hidden, encoder.shape[-1], name="attention")()
        lengths, encoder_lengths = last_place(mask), last_place(encoder_mask)
        start, end, width = _ranges(config, spans, Size(rows, m, encoder.shape[1], lengths, encoder_lengths))
        step = _Step(
            config.alignment == "local_p", config.half_width, encoder.shape[1], width, fed > 0, weights
        )
        by_step = {
            "x": inputs @ gru.input_kernel[:dim] + gru.bias[None, None, :],
            "valid": mask.astype(inputs.dtype)[:, :, None],
            "place": logit_of_place(lengths, m, inputs.dtype),
            "start": start.astype(inputs.dtype),
            "end": end.astype(inputs.dtype),
        }
        whole = {
            "feeding": gru.input_kernel[dim:],
            "recurrent": gru.recurrent_kernel,
            "recurrent_bias": gru.recurrent_bias,
            "attention": given,
            "length": encoder_lengths.astype(inputs.dtype),
        }
        zeros = jnp.zeros((rows, self.hidden + fed), inputs.dtype)
        carry = (zeros[:, : self.hidden] if initial is None else initial, zeros[:, self.hidden :])
        _, found = scan_windows(
            step.advance,
            step.read,
            whole,
            carry,
            jax.tree.map(lambda x: jnp.moveaxis(x, 1, 0), by_step),
            {"key": key_of(given, encoder), "value": encoder, "mask": encoder_mask.astype(inputs.dtype)},
            width=width,
        )
        found = jax.tree.map(lambda x: jnp.moveaxis(x, 0, 1), found)
        shares = Weights(found["weights"], found["positions"].astype(jnp.int32)) if weights else None
        return Attended(found["context"], found["states"], shares)


def _ranges(config: AttentionConfig, spans: Any, size: Size) -> tuple[Array, Array, int]:
    """First and last encoder state of each step, [batch, m], and a bound on how many there are between
    them; local-p finds its own at every step."""
    if config.alignment == "local_p":
        nothing = jnp.zeros((size.batch, size.m), jnp.int32)
        return nothing, nothing, min(2 * config.half_width + 1, size.n)
    found = laid_out(config, spans).ranges(size)
    start, end = (jnp.broadcast_to(x, (size.batch, size.m)) for x in (found.start, found.end))
    return start, end, found.most or size.n


@dataclasses.dataclass(frozen=True)
class _Step:
    """One step of a decoder with feedback, in the two parts of `scan_windows`.

    The carry is the state of the GRU, and for input feeding the last attentional vector.
    """

    predicts: bool
    half_width: int
    n: int
    width: int
    feeds: bool
    weights: bool

    def advance(self, whole, carry, now):
        """h_t, and where it looks."""
        state, fed = carry
        x = now["x"] + fed @ whole["feeding"] if self.feeds else now["x"]
        state = gru_step(x, state, whole["recurrent"], whole["recurrent_bias"])
        ranges = Ranges(now["start"][:, None], now["end"][:, None])
        if self.predicts:
            centre = centre_of(whole["attention"], state, now["place"], whole["length"])
            lengths = (now["valid"][:, 0].astype(jnp.int32), whole["length"].astype(jnp.int32))
            size = Size(state.shape[0], 1, self.n, *lengths)
            ranges = LocalPredictive(self.half_width, centre[:, None]).ranges(size)
        bounds = tuple(x.astype(state.dtype) for x in (ranges.start, ranges.end))
        return (carry, state, bounds, ranges.centre), ranges.start[:, 0].astype(jnp.int32)

    def read(self, whole, inner, now, window, first):
        """c_t and h~_t, and what the next step starts from."""
        before, state, bounds, centre = inner
        given, valid = whole["attention"], now["valid"] > 0
        query = query_of(given, state)[:, None, :]
        inputs = Inputs(query, window["key"], window["value"], given.v, window["mask"] > 0)
        start, end = (x.astype(jnp.int32) - first[:, None] for x in bounds)
        if centre is not None:
            centre -= first.astype(centre.dtype)[:, None]
        shares = reference.weights(inputs, Ranges(start, end, centre), self.half_width / 2)
        context = (shares @ window["value"])[:, 0]
        attended = attentional(given, context, state)
        found = {"context": context, "states": attended}
        if self.weights:
            places = jnp.arange(self.width, dtype=jnp.int32)[None, :]
            seen = (start <= places) & (places <= end) & (window["mask"] > 0)
            positions = jnp.where(seen, first[:, None] + places, -1)
            found |= {"weights": shares[:, 0], "positions": positions.astype(state.dtype)}
        kept, fed = (state, attended) if self.feeds else (attended, attended[:, :0])
        kept = jax.tree.map(lambda new, old: jnp.where(valid, new, old), (kept, fed), before)
        return kept, found
