"""LSTM and GRU layers over masked sequences.

The input projection of all steps is one matrix product outside the time loop; the loop
holds only what depends on the previous state.
"""

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Bool, Float


def lstm(
    inputs: Float[Array, "batch time dim"],
    mask: Bool[Array, "batch time"],
    input_kernel: Float[Array, "dim gates"],
    recurrent_kernel: Float[Array, "hidden gates"],
    bias: Float[Array, " gates"],
    *,
    reverse: bool = False,
) -> tuple[Float[Array, "batch time hidden"], Float[Array, "batch hidden"]]:
    """Long short-term memory (Hochreiter & Schmidhuber 1997, with the forget gate of
    Gers et al. 2000), gates in the order input, forget, cell, output:

        i, f, o = sigmoid(W x_t + U h_{t-1} + b),  g = tanh(W x_t + U h_{t-1} + b)
        c_t = f c_{t-1} + i g,  h_t = o tanh(c_t)

    Where `mask` is false the state is carried through unchanged. `gates` is 4 * hidden.

    Returns:
        The states h of every step, and the last valid one (the first in time if `reverse`);
        zeros for a sequence with no valid step.
    """
    projected = jnp.swapaxes(inputs @ input_kernel + bias[None, None, :], 0, 1)
    steps = jnp.swapaxes(mask, 0, 1)[:, :, None]
    start = jnp.zeros((inputs.shape[0], recurrent_kernel.shape[0]), projected.dtype)

    def step(carry, now):
        hidden, cell = carry
        x, valid = now
        i, f, g, o = jnp.split(x + hidden @ recurrent_kernel, 4, axis=-1)
        new_cell = nn.sigmoid(f) * cell + nn.sigmoid(i) * jnp.tanh(g)
        new_hidden = nn.sigmoid(o) * jnp.tanh(new_cell)
        hidden = jnp.where(valid, new_hidden, hidden)
        cell = jnp.where(valid, new_cell, cell)
        return (hidden, cell), hidden

    (last, _), states = jax.lax.scan(step, (start, start), (projected, steps), reverse=reverse)
    return jnp.swapaxes(states, 0, 1), last


def forget_bias(key: jax.Array, shape: tuple[int, ...], dtype: jnp.dtype = jnp.float32) -> Array:
    """Ones for the forget gate (Jozefowicz et al. 2015), zeros for the others."""
    del key
    hidden = shape[0] // 4
    return jnp.zeros(shape, dtype).at[hidden : 2 * hidden].set(1)


class LSTM(nn.Module):
    """`lstm` with its parameters: 4 * hidden * (dim + hidden + 1) of them."""

    hidden: int
    reverse: bool = False

    @nn.compact
    def __call__(
        self, inputs: Float[Array, "batch time dim"], mask: Bool[Array, "batch time"]
    ) -> tuple[Float[Array, "batch time hidden"], Float[Array, "batch hidden"]]:
        gates = 4 * self.hidden
        kernel = self.param("input_kernel", nn.initializers.glorot_uniform(), (inputs.shape[-1], gates))
        recurrent = self.param("recurrent_kernel", nn.initializers.orthogonal(), (self.hidden, gates))
        bias = self.param("bias", forget_bias, (gates,))
        return lstm(inputs, mask, kernel, recurrent, bias, reverse=self.reverse)


class BiLSTM(nn.Module):
    """Two LSTMs, forwards and backwards in time, concatenated (Schuster & Paliwal 1997)."""

    hidden: int

    @nn.compact
    def __call__(
        self, inputs: Float[Array, "batch time dim"], mask: Bool[Array, "batch time"]
    ) -> tuple[Float[Array, "batch time both"], Float[Array, "batch both"]]:
        forward, last = LSTM(self.hidden, name="forward")(inputs, mask)
        backward, first = LSTM(self.hidden, reverse=True, name="backward")(inputs, mask)
        return jnp.concatenate([forward, backward], -1), jnp.concatenate([last, first], -1)


def gru_step(
    projected: Float[Array, "batch gates"],
    hidden: Float[Array, "batch hidden"],
    recurrent_kernel: Float[Array, "hidden gates"],
    recurrent_bias: Float[Array, " hidden"],
) -> Float[Array, "batch hidden"]:
    """One step of `gru`: h_t from `projected` = W x_t + b and `hidden` = h_{t-1}."""
    return gru_gates(projected, hidden @ recurrent_kernel, hidden, recurrent_bias)


def gru_gates(
    projected: Float[Array, "batch gates"],
    recurrent: Float[Array, "batch gates"],
    hidden: Float[Array, "batch hidden"],
    recurrent_bias: Float[Array, " hidden"],
) -> Float[Array, "batch hidden"]:
    """The same with `recurrent` = U h_{t-1} made before."""
    x_reset, x_update, x_new = jnp.split(projected, 3, axis=-1)
    h_reset, h_update, h_new = jnp.split(recurrent, 3, axis=-1)
    reset = nn.sigmoid(x_reset + h_reset)
    update = nn.sigmoid(x_update + h_update)
    new = jnp.tanh(x_new + reset * (h_new + recurrent_bias[None, :]))
    return (1 - update) * new + update * hidden


def gru(
    inputs: Float[Array, "batch time dim"],
    mask: Bool[Array, "batch time"],
    input_kernel: Float[Array, "dim gates"],
    recurrent_kernel: Float[Array, "hidden gates"],
    bias: Float[Array, " gates"],
    recurrent_bias: Float[Array, " hidden"],
    *,
    initial: Float[Array, "batch hidden"] | None = None,
    reverse: bool = False,
) -> tuple[Float[Array, "batch time hidden"], Float[Array, "batch hidden"]]:
    """Gated recurrent unit (Cho et al. 2014) in the form of cuDNN, where the reset gate comes
    after the recurrent product; gates in the order reset, update, new:

        r, z = sigmoid(W x_t + U h_{t-1} + b),  n = tanh(W x_t + b + r (U h_{t-1} + b_u))
        h_t = (1 - z) n + z h_{t-1}

    cuDNN has a recurrent bias for r and z too, which adds to b and is left out here.
    Where `mask` is false the state is carried through unchanged. `gates` is 3 * hidden.

    Args:
        inputs: x.
        mask: which steps exist.
        input_kernel: W of the three gates.
        recurrent_kernel: U of the three gates.
        bias: b of the three gates.
        recurrent_bias: b_u, of the new state only.
        initial: h before the first step; None: zeros.
        reverse: from the last step to the first.

    Returns:
        The states h of every step, and the last valid one (the first in time if `reverse`);
        `initial` for a sequence with no valid step.
    """
    projected = jnp.swapaxes(inputs @ input_kernel + bias[None, None, :], 0, 1)
    steps = jnp.swapaxes(mask, 0, 1)[:, :, None]
    if initial is None:
        initial = jnp.zeros((inputs.shape[0], recurrent_kernel.shape[0]), projected.dtype)

    def step(hidden, now):
        x, valid = now
        new = gru_step(x, hidden, recurrent_kernel, recurrent_bias)
        hidden = jnp.where(valid, new, hidden)
        return hidden, hidden

    last, states = jax.lax.scan(step, initial, (projected, steps), reverse=reverse)
    return jnp.swapaxes(states, 0, 1), last


class Gates(NamedTuple):
    """The parameters of a GRU: W [dim, 3 hidden], U [hidden, 3 hidden], b [3 hidden], b_u [hidden]."""

    input_kernel: Array
    recurrent_kernel: Array
    bias: Array
    recurrent_bias: Array


def _gates(module: nn.Module, dim: int, hidden: int) -> Gates:
    zeros = nn.initializers.zeros
    return Gates(
        module.param("input_kernel", nn.initializers.glorot_uniform(), (dim, 3 * hidden)),
        module.param("recurrent_kernel", nn.initializers.orthogonal(), (hidden, 3 * hidden)),
        module.param("bias", zeros, (3 * hidden,)),
        module.param("recurrent_bias", zeros, (hidden,)),
    )


class GRUParameters(nn.Module):
    """The parameters of `GRU` under the names they have there, for whoever makes the steps."""

    hidden: int

    @nn.compact
    def __call__(self, dim: int) -> Gates:
        return _gates(self, dim, self.hidden)


class GRU(nn.Module):
    """`gru` with its parameters: 3 * hidden * (dim + hidden + 1) + hidden of them.

    `torch.nn.GRU` has 2 * hidden more: its recurrent biases of the reset and the update gate.
    """

    hidden: int
    reverse: bool = False

    @nn.compact
    def __call__(
        self,
        inputs: Float[Array, "batch time dim"],
        mask: Bool[Array, "batch time"],
        initial: Float[Array, "batch hidden"] | None = None,
    ) -> tuple[Float[Array, "batch time hidden"], Float[Array, "batch hidden"]]:
        given = _gates(self, inputs.shape[-1], self.hidden)
        return gru(inputs, mask, *given, initial=initial, reverse=self.reverse)


class BiGRU(nn.Module):
    """Two GRUs, forwards and backwards in time, concatenated (Schuster & Paliwal 1997)."""

    hidden: int

    @nn.compact
    def __call__(
        self, inputs: Float[Array, "batch time dim"], mask: Bool[Array, "batch time"]
    ) -> tuple[Float[Array, "batch time both"], Float[Array, "batch both"]]:
        forward, last = GRU(self.hidden, name="forward")(inputs, mask)
        backward, first = GRU(self.hidden, reverse=True, name="backward")(inputs, mask)
        return jnp.concatenate([forward, backward], -1), jnp.concatenate([last, first], -1)


Cell = Literal["lstm", "gru"]
LAYERS = {
    ("lstm", False): LSTM,
    ("lstm", True): BiLSTM,
    ("gru", False): GRU,
    ("gru", True): BiGRU,
}
