"""LSTM layers against flax.linen's own cell, and their behaviour under masks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from jax.test_util import check_grads

from mer_jax.nn.recurrent import LSTM, BiLSTM, lstm

BATCH, TIME, DIM, HIDDEN = 3, 7, 5, 4
LENGTHS = np.array([7, 4, 1])


@pytest.fixture
def inputs():
    return jnp.asarray(np.random.default_rng(0).normal(size=(BATCH, TIME, DIM)), jnp.float32)


@pytest.fixture
def mask():
    return jnp.asarray(np.arange(TIME)[None, :] < LENGTHS[:, None])


def flax_parameters(key):
    """Parameters of flax's cell, and the same ones as our three arrays."""
    cell = nn.OptimizedLSTMCell(HIDDEN)
    carry = cell.initialize_carry(key, (BATCH, DIM))
    params = cell.init(key, carry, jnp.zeros((BATCH, DIM)))
    p = params["params"]
    ours = (
        jnp.concatenate([p[f"i{gate}"]["kernel"] for gate in "ifgo"], axis=1),
        jnp.concatenate([p[f"h{gate}"]["kernel"] for gate in "ifgo"], axis=1),
        jnp.concatenate([p[f"h{gate}"]["bias"] for gate in "ifgo"]) + 0.1,
    )
    for number, gate in enumerate("ifgo"):
        p[f"h{gate}"]["bias"] = ours[2][number * HIDDEN : (number + 1) * HIDDEN]
    return cell, params, ours


@pytest.mark.parametrize("reverse", [False, True])
def test_states_equal_flax_rnn(inputs, mask, reverse):
    cell, params, ours = flax_parameters(jax.random.key(1))
    rnn = nn.RNN(cell, reverse=reverse, keep_order=True)
    variables = {"params": {"cell": params["params"]}}
    expected = rnn.apply(variables, inputs, seq_lengths=jnp.asarray(LENGTHS))
    states, last = lstm(inputs, mask, *ours, reverse=reverse)
    for row, length in enumerate(LENGTHS):
        np.testing.assert_allclose(states[row, :length], expected[row, :length], atol=1e-6)
        final = expected[row, 0 if reverse else length - 1]
        np.testing.assert_allclose(last[row], final, atol=1e-6)


@pytest.mark.parametrize("reverse", [False, True])
def test_what_lies_beyond_the_end_does_not_matter(inputs, mask, reverse):
    _, _, ours = flax_parameters(jax.random.key(1))
    noisy = jnp.where(mask[:, :, None], inputs, 1e3)
    states, last = lstm(inputs, mask, *ours, reverse=reverse)
    other_states, other_last = lstm(noisy, mask, *ours, reverse=reverse)
    np.testing.assert_array_equal(last, other_last)
    np.testing.assert_array_equal(states[1, :4], other_states[1, :4])


def test_a_sequence_without_frames_gives_zeros_and_finite_gradients(inputs):
    _, _, ours = flax_parameters(jax.random.key(1))
    empty = jnp.zeros((BATCH, TIME), bool)
    assert not np.asarray(lstm(inputs, empty, *ours)[1]).any()
    grads = jax.grad(lambda p: lstm(inputs, empty, *p)[1].sum())(ours)
    assert all(np.isfinite(g).all() for g in grads)


def test_gradients(inputs, mask):
    _, _, ours = flax_parameters(jax.random.key(1))

    def states(x, *parameters):
        return lstm(x, mask, *parameters)[0]

    with jax.enable_x64(True):
        wide = jax.tree.map(lambda x: jnp.asarray(np.asarray(x), jnp.float64), (inputs, *ours))
        check_grads(lambda *arrays: states(*map(jnp.asarray, arrays)), wide, order=1, modes=["rev"])


@pytest.mark.parametrize(("layer", "count"), [(LSTM(HIDDEN), 1), (BiLSTM(HIDDEN), 2)])
def test_parameter_count(layer, count, inputs, mask):
    params = layer.init(jax.random.key(0), inputs, mask)
    assert sum(x.size for x in jax.tree.leaves(params)) == count * 4 * HIDDEN * (DIM + HIDDEN + 1)


def test_input_projection_is_outside_the_time_loop(inputs, mask):
    """The loop's body multiplies by the recurrent kernel only."""
    _, _, ours = flax_parameters(jax.random.key(1))
    jaxpr = jax.make_jaxpr(lambda x: lstm(x, mask, *ours))(inputs)
    (scan,) = (eqn for eqn in jaxpr.jaxpr.eqns if eqn.primitive.name == "scan")
    products = [eqn for eqn in scan.params["jaxpr"].jaxpr.eqns if eqn.primitive.name == "dot_general"]
    assert [eqn.invars[1].aval.shape for eqn in products] == [(HIDDEN, 4 * HIDDEN)]
