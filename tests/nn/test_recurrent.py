"""LSTM and GRU layers against independent implementations, and their behaviour under masks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from jax.test_util import check_grads

from mer_jax.nn.recurrent import GRU, LSTM, BiGRU, BiLSTM, gru, lstm

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


def gru_parameters():
    """Input kernel, recurrent kernel, bias and recurrent bias; none of them zero."""
    rng = np.random.default_rng(2)
    shapes = [(DIM, 3 * HIDDEN), (HIDDEN, 3 * HIDDEN), (3 * HIDDEN,), (HIDDEN,)]
    return [rng.normal(size=shape).astype(np.float32) for shape in shapes]


def gru_by_numpy(inputs, lengths, parameters, initial, reverse):
    """torch.nn.GRU's documented equations, gate by gate and example by example, in float64."""
    (w_r, w_z, w_n), (u_r, u_z, u_n) = (np.split(p.astype(np.float64), 3, axis=1) for p in parameters[:2])
    (b_r, b_z, b_n), b_u = np.split(parameters[2].astype(np.float64), 3), parameters[3].astype(np.float64)
    states, last = np.zeros((*inputs.shape[:2], HIDDEN)), []
    for row, length in enumerate(lengths):
        h = initial[row].astype(np.float64)
        times = range(inputs.shape[1])
        for t in reversed(times) if reverse else times:
            if t < length:
                x = inputs[row, t].astype(np.float64)
                r = 1 / (1 + np.exp(-(x @ w_r + b_r + h @ u_r)))
                z = 1 / (1 + np.exp(-(x @ w_z + b_z + h @ u_z)))
                n = np.tanh(x @ w_n + b_n + r * (h @ u_n + b_u))
                h = (1 - z) * n + z * h
            states[row, t] = h
        last.append(h)
    return states, np.stack(last)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("given", [False, True])
def test_gru_equals_a_loop_in_numpy(inputs, mask, given, reverse):
    parameters = gru_parameters()
    initial = np.random.default_rng(3).normal(size=(BATCH, HIDDEN)).astype(np.float32) * given
    expected = gru_by_numpy(np.asarray(inputs), LENGTHS, parameters, initial, reverse)
    start = jnp.asarray(initial) if given else None
    ours = gru(inputs, mask, *map(jnp.asarray, parameters), initial=start, reverse=reverse)
    np.testing.assert_allclose(ours[0], expected[0], atol=2e-6)
    np.testing.assert_allclose(ours[1], expected[1], atol=2e-6)


def test_gru_module_equals_flax_rnn_with_the_same_parameters(inputs, mask):
    layer = GRU(HIDDEN)
    params = jax.tree.map(lambda x: x + 0.1, layer.init(jax.random.key(0), inputs, mask)["params"])
    names = {"input_kernel": ("ir", "iz", "in"), "recurrent_kernel": ("hr", "hz", "hn")}
    cell = {
        gate: {"kernel": part}
        for name, gates in names.items()
        for gate, part in zip(gates, jnp.split(params[name], 3, axis=1), strict=True)
    }
    for gate, part in zip(names["input_kernel"], jnp.split(params["bias"], 3), strict=True):
        cell[gate]["bias"] = part
    cell["hn"]["bias"] = params["recurrent_bias"]
    rnn = nn.RNN(nn.GRUCell(HIDDEN))
    expected = rnn.apply({"params": {"cell": cell}}, inputs, seq_lengths=jnp.asarray(LENGTHS))
    states, last = layer.apply({"params": params}, inputs, mask)
    for row, length in enumerate(LENGTHS):
        np.testing.assert_allclose(states[row, :length], expected[row, :length], atol=1e-6)
        np.testing.assert_allclose(last[row], expected[row, length - 1], atol=1e-6)


@pytest.mark.parametrize("reverse", [False, True])
def test_gru_does_not_see_what_lies_beyond_the_end(inputs, mask, reverse):
    parameters = [jnp.asarray(p) for p in gru_parameters()]
    noisy = jnp.where(mask[:, :, None], inputs, 1e3)
    states, last = gru(inputs, mask, *parameters, reverse=reverse)
    other_states, other_last = gru(noisy, mask, *parameters, reverse=reverse)
    np.testing.assert_array_equal(last, other_last)
    np.testing.assert_array_equal(states, other_states)


def test_gru_of_a_sequence_without_frames_gives_the_initial_state_and_finite_gradients(inputs):
    parameters = [jnp.asarray(p) for p in gru_parameters()]
    empty = jnp.zeros((BATCH, TIME), bool)
    initial = jnp.arange(12.0).reshape(BATCH, HIDDEN)
    assert not np.asarray(gru(inputs, empty, *parameters)[1]).any()
    np.testing.assert_array_equal(gru(inputs, empty, *parameters, initial=initial)[1], initial)
    grads = jax.jit(jax.grad(lambda p: gru(inputs, empty, *p, initial=initial)[0].sum()))(parameters)
    assert not any(np.asarray(g).any() for g in grads)


@pytest.mark.parametrize("reverse", [False, True])
def test_gru_gradients(inputs, mask, reverse):
    initial = np.random.default_rng(3).normal(size=(BATCH, HIDDEN))

    @jax.jit
    def outputs(x, start, *parameters):
        return gru(x, mask, *parameters, initial=start, reverse=reverse)

    with jax.enable_x64(True):
        arrays = (inputs, initial, *gru_parameters())
        wide = [jnp.asarray(np.asarray(x), jnp.float64) for x in arrays]
        check_grads(lambda *xs: outputs(*map(jnp.asarray, xs)), wide, order=1, modes=["rev"])


def test_bigru_is_a_gru_each_way(inputs, mask):
    layer = BiGRU(HIDDEN)
    variables = layer.init(jax.random.key(0), inputs, mask)
    states, last = layer.apply(variables, inputs, mask)
    for name, reverse, part in (("forward", False, slice(HIDDEN)), ("backward", True, slice(HIDDEN, None))):
        params = {"params": variables["params"][name]}
        expected = GRU(HIDDEN, reverse=reverse).apply(params, inputs, mask)
        np.testing.assert_array_equal(states[..., part], expected[0])
        np.testing.assert_array_equal(last[..., part], expected[1])


@pytest.mark.parametrize(("layer", "count"), [(GRU(200), 1), (BiGRU(200), 2)])
def test_gru_parameter_count(layer, count):
    inputs, mask = jax.ShapeDtypeStruct((2, 6, 300), jnp.float32), jax.ShapeDtypeStruct((2, 6), bool)
    params = jax.eval_shape(layer.init, jax.random.key(0), inputs, mask)
    assert sum(x.size for x in jax.tree.leaves(params)) == count * (3 * 200 * (300 + 200 + 1) + 200)


def test_gru_input_projection_is_outside_the_time_loop(inputs, mask):
    """The loop's body multiplies by the recurrent kernel only."""
    parameters = [jnp.asarray(p) for p in gru_parameters()]
    jaxpr = jax.make_jaxpr(lambda x: gru(x, mask, *parameters))(inputs)
    (scan,) = (eqn for eqn in jaxpr.jaxpr.eqns if eqn.primitive.name == "scan")
    products = [eqn for eqn in scan.params["jaxpr"].jaxpr.eqns if eqn.primitive.name == "dot_general"]
    assert [eqn.invars[1].aval.shape for eqn in products] == [(HIDDEN, 3 * HIDDEN)]
