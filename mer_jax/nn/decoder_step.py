"""One step of a decoder with feedback, and its derivative, as `kernels.attention.stepwise` takes them."""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from kernels.attention import LocalPredictive
from kernels.attention.alignment import Size
from kernels.attention.stepwise import Moment, Pulled
from kernels.attention.windows import Look
from mer_jax.nn.attention import Matrices, centre_of, mixed_of, query_of
from mer_jax.nn.recurrent import gru_gates


class Given(NamedTuple):
    """Parameters: of input feeding [size, 3 hidden], of the GRU, of attention; the memory's lengths."""

    feeding: Float[Array, "fed gates"]
    recurrent: Float[Array, "hidden gates"]
    recurrent_bias: Float[Array, " hidden"]
    attention: Matrices
    length: Float[Array, " batch"]


class Now(NamedTuple):
    """A step's input: W x_t + b, whether it exists [batch, 1], logit of its place, the range it sees."""

    x: Float[Array, "*steps batch gates"]
    valid: Float[Array, "*steps batch 1"]
    place: Float[Array, "*steps batch"]
    start: Float[Array, "*steps batch"]
    end: Float[Array, "*steps batch"]


class Found(NamedTuple):
    """A step's output: h_t, c_t and h~_t."""

    hidden: Any
    context: Any
    attended: Any


class Gates(NamedTuple):
    """Kept of a step: U h_{t-1}, and W x_t + b where the last attentional vector is in it."""

    recurrent: Any
    x: Any


class Told(NamedTuple):
    """Cotangents on their way back: of W_c [c_t; h_t], of h_t, and of a step that does not exist."""

    mixed: Any
    hidden: Any
    passed: Any


class Left(NamedTuple):
    """Cotangents of a step's products: U h_{t-1}, W_c [c_t; h_t], the query; of p_t."""

    recurrent: Any
    mixed: Any
    query: Any
    centre: Any


@dataclasses.dataclass(frozen=True)
class DecoderStep:
    """h_t, its query and h~_t.

    The carry is the state of the GRU and, for input feeding, the last attentional vector.

    Attributes:
        feeds: input feeding; else h~_t takes the state's place.
        half_width: D of local-p; None: the ranges are given.
        n: length of the memory, padded.
    """

    feeds: bool
    half_width: int | None
    n: int

    def ask(self, given: Given, carry: Any, now: Now) -> tuple[Look, Any, Gates]:
        """h_t = GRU(x_t, h_{t-1}) and its query; where it looks, of local-p."""
        state, fed = carry
        x = now.x + fed @ given.feeding if self.feeds else now.x
        recurrent = state @ given.recurrent
        hidden = gru_gates(x, recurrent, state, given.recurrent_bias)
        query = query_of(given.attention, hidden)
        kept = Gates(recurrent, x if self.feeds else None)
        if self.half_width is None:
            return Look(query, now.start.astype(jnp.int32), now.end.astype(jnp.int32)), hidden, kept
        centre = centre_of(given.attention, hidden, now.place, given.length)
        lengths = ((now.end >= 0).astype(jnp.int32), given.length.astype(jnp.int32))
        size = Size(hidden.shape[0], 1, self.n, *lengths)
        ranges = LocalPredictive(self.half_width, centre[:, None]).ranges(size)
        return Look(query, ranges.start[:, 0], ranges.end[:, 0], centre), hidden, kept

    def tell(self, given: Given, carry: Any, now: Now, hidden: Any, context: Array) -> tuple[Any, Found]:
        """h~_t = tanh(W_c [c_t; h_t]), and what the next step starts from."""
        attended = jnp.tanh(mixed_of(given.attention, context, hidden))
        after = (hidden, attended) if self.feeds else (attended, attended[:, :0])
        after = jax.tree.map(lambda new, old: jnp.where(now.valid > 0, new, old), after, carry)
        return after, Found(hidden, context, attended)

    def pull_tell(self, turned: Given, at: Moment, of_carry: Any, of_found: Found) -> tuple[Array, Told]:
        """[dc_t; dh_t] = W_c^T (dh~_t (1 - h~_t^2))."""
        found, valid = at.output, at.x.valid > 0
        of_state, of_fed = jax.tree.map(lambda x: jnp.where(valid, x, 0), of_carry)
        of_hidden, of_attended = (of_state, of_fed) if self.feeds else (0, of_state)
        of_mixed = (of_attended + of_found.attended) * (1 - jnp.square(found.attended))
        of_context, more = jnp.split(of_mixed @ turned.attention.W_c, [found.context.shape[-1]], axis=-1)
        passed = jax.tree.map(lambda x: jnp.where(valid, 0, x), of_carry)
        return of_found.context + of_context, Told(of_mixed, of_found.hidden + of_hidden + more, passed)

    def pull_ask(self, given: Given, turned: Given, at: Moment, told: Told, of_look: Look) -> Pulled:
        """dh_t += W1 dq_t; through the gates to x_t and u_t = U h_{t-1}; dh_{t-1} += U^T du_t."""
        state, now = at.carry[0], at.x
        of_hidden = told.hidden + query_of(turned.attention, of_look.query)
        if of_look.centre is not None:
            centre = lambda hidden: centre_of(given.attention, hidden, now.place, given.length)  # noqa: E731
            of_hidden += jax.vjp(centre, at.output.hidden)[1](of_look.centre)[0]
        x = at.kept.x if self.feeds else now.x
        _, pull = jax.vjp(
            lambda x, u, h: gru_gates(x, u, h, given.recurrent_bias), x, at.kept.recurrent, state
        )
        of_x, of_recurrent, of_state = pull(of_hidden)
        of_state += told.passed[0] + of_recurrent @ turned.recurrent
        of_fed = told.passed[1] + of_x @ turned.feeding if self.feeds else told.passed[1]
        left = Left(of_recurrent, told.mixed, of_look.query, of_look.centre)
        return Pulled((of_state, of_fed), jax.tree.map(jnp.zeros_like, now)._replace(x=of_x), left)

    def gradients(self, given: Given, steps: Moment, of_now: Now, left: Left) -> Given:
        """One product over all steps for each matrix: dU = sum_t h_{t-1} du_t^T, and so on."""
        found, (states, fed) = steps.output, steps.carry
        of_new = left.recurrent[
            ..., -states.shape[-1] :
        ]  # of U h in the new state, where b_u stands beside it

        def products(attention):
            mixed, query = mixed_of(attention, found.context, found.hidden), query_of(attention, found.hidden)
            if self.half_width is None:
                return mixed, query, None
            return mixed, query, centre_of(attention, found.hidden, steps.x.place, given.length[None, :])

        (of_attention,) = jax.vjp(products, given.attention)[1]((left.mixed, left.query, left.centre))
        return Given(
            jnp.einsum("tbf,tbg->fg", fed, of_now.x),
            jnp.einsum("tbh,tbg->hg", states, left.recurrent),
            of_new.sum(axis=(0, 1)),
            of_attention,
            jnp.zeros_like(given.length),
        )
