"""LSTM layers over masked sequences.

The input projection of all steps is one matrix product outside the time loop; the loop
holds only what depends on the previous state.
"""

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


def _forget_bias(key: jax.Array, shape: tuple[int, ...], dtype: jnp.dtype = jnp.float32) -> Array:
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
        bias = self.param("bias", _forget_bias, (gates,))
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
