"""A recurrent decoder that attends to an encoder's states, with or without feedback."""

from typing import Literal

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Bool, Float, Int

from kernels.attention import Global, LocalPredictive, Weights
from kernels.attention.alignment import Size
from kernels.attention.reference import Inputs
from kernels.attention.stepwise import scan_attending
from kernels.attention.weights import banded
from kernels.attention.windows import Memory
from mer_jax.errors import InputError
from mer_jax.nn.attention import (
    Attended,
    Attention,
    AttentionConfig,
    Parameters,
    centre_of,
    check,
    key_of,
    laid_out,
    last_place,
    logit_of_place,
    query_of,
)
from mer_jax.nn.decoder_step import DecoderStep, Given, Now
from mer_jax.nn.recurrent import GRU, GRUParameters

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
        size = Size(rows, m, encoder.shape[1], lengths, encoder_lengths)
        local = config.half_width if config.alignment == "local_p" else None
        sigma = config.half_width / 2
        ranges = (laid_out(config, spans) if local is None else Global()).ranges(size)
        start, end = (jnp.broadcast_to(x, (rows, m)) for x in (ranges.start, ranges.end))
        places = logit_of_place(lengths, m, inputs.dtype)
        now = Now(
            inputs @ gru.input_kernel[:dim] + gru.bias[None, None, :],
            mask.astype(inputs.dtype)[:, :, None],
            places,
            start.astype(inputs.dtype),
            end.astype(inputs.dtype),
        )
        whole = Given(
            gru.input_kernel[dim:],
            gru.recurrent_kernel,
            gru.recurrent_bias,
            given._replace(W2=None, v=None),
            encoder_lengths.astype(inputs.dtype),
        )
        zeros = jnp.zeros((rows, self.hidden + fed), inputs.dtype)
        carry = (zeros[:, : self.hidden] if initial is None else initial, zeros[:, self.hidden :])
        memory = Memory(key_of(given, encoder), encoder, given.v, encoder_mask)
        _, found = scan_attending(
            DecoderStep(fed > 0, local, size.n),
            whole,
            carry,
            jax.tree.map(lambda x: jnp.moveaxis(x, 1, 0), now),
            memory,
            width=(ranges.most or size.n) if local is None else 2 * local + 1,
            sigma=sigma,
        )
        found = jax.tree.map(lambda x: jnp.moveaxis(x, 0, 1), found)
        shares = None
        if weights:
            if local is not None:
                centres = centre_of(given, found.hidden, places, whole.length[:, None])
                ranges = LocalPredictive(local, centres).ranges(size)
            asked = Inputs(query_of(given, found.hidden), *memory)
            shares = Weights(*banded(asked, ranges, sigma))
        return Attended(found.context, found.attended, shares)
