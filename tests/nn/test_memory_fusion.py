"""The memory network against a loop in NumPy's float64, example by example and modality by modality."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from scipy.special import expit, softmax

from kernels.memory.native import library
from mer_jax.errors import InputError
from mer_jax.nn.memory_fusion import Fused, MemoryFusion, MemoryFusionConfig
from mer_jax.nn.recurrent import LSTM
from tests.kernels.native_library import built, needs_compiler

of_native = built(library)

DIMS = {"text": 7, "audio": 2, "video": 10}
B, T, H, D, E = 4, 6, 3, 5, 8
LENGTHS = np.array([6, 4, 1, 0])
MASK = np.arange(T)[None, :] < LENGTHS[:, None]
PRESENT = np.array([[1, 1, 1], [1, 0, 1], [0, 0, 1], [1, 1, 1]], bool)
ALL = np.ones((B, 3), bool)
CONFIGS = [MemoryFusionConfig(H, D, E, feeds) for feeds in (True, False)]
RANDOM = np.random.default_rng(0)
FEATURES = {name: jnp.asarray(RANDOM.normal(size=(B, T, dim)), jnp.float32) for name, dim in DIMS.items()}


@functools.cache
def made(config, implementation=None):
    """A module and parameters none of which are zero."""
    module = MemoryFusion(config, tuple(DIMS), implementation)
    shapes = jax.eval_shape(module.init, jax.random.key(0), FEATURES, jnp.asarray(MASK))["params"]
    random = np.random.default_rng(1)
    return module, jax.tree.map(lambda x: jnp.asarray(random.normal(0, 0.6, x.shape), jnp.float32), shapes)


@functools.partial(jax.jit, static_argnums=0)
def run(module, params, features, mask, present):
    return module.apply({"params": params}, features, mask, present)


def applied(config, features=FEATURES, mask=MASK, present=PRESENT, implementation=None):
    return run(*made(config, implementation), features, jnp.asarray(mask), jnp.asarray(present))


def by_numpy(params, feeds, features, length, present):
    """One example's states, memory and attention, each a list over its steps."""
    p = jax.tree.map(lambda x: np.asarray(x, np.float64), params)

    def net(name, x):
        hidden = np.maximum(x @ p[f"{name}_hidden_kernel"] + p[f"{name}_hidden_bias"], 0)
        return hidden @ p[f"{name}_out_kernel"] + p[f"{name}_out_bias"]

    h, c, memory = np.zeros((3, H)), np.zeros((3, H)), np.zeros(D)
    coordinates = np.tile(np.repeat(present, H), 2)
    found = []
    for t in range(length):
        before, h, c = c, h.copy(), c.copy()
        for m, name in enumerate(DIMS):
            if present[m]:
                lstm = p[name]
                gates = (
                    features[name][t] @ lstm["input_kernel"] + h[m] @ lstm["recurrent_kernel"] + lstm["bias"]
                )
                gates += memory @ lstm["memory_kernel"] if feeds else 0
                i, f, g, o = np.split(gates, 4)
                c[m] = expit(f) * c[m] + expit(i) * np.tanh(g)
                h[m] = expit(o) * np.tanh(c[m])
        both = np.concatenate([before.ravel(), c.ravel()])
        a = np.zeros(len(both))
        a[coordinates] = softmax(net("attention", both)[coordinates])
        attended = a * both
        with_memory = np.concatenate([attended, memory])
        keep, write = expit(net("keep", with_memory)), expit(net("write", with_memory))
        memory = keep * memory + write * np.tanh(net("update", attended))
        found.append((h, memory, a.reshape(2, 3, H)))
    return found


@pytest.mark.parametrize("implementation", ["reference", "xla", pytest.param("native", marks=needs_compiler)])
@pytest.mark.parametrize("config", CONFIGS)
def test_equals_a_loop_in_numpy(config, implementation):
    fused = applied(config, implementation=implementation)
    params = made(config)[1]
    for row, length in enumerate(LENGTHS):
        one = {name: np.asarray(x[row], np.float64) for name, x in FEATURES.items()}
        found = by_numpy(params, config.feeds, one, length, PRESENT[row])
        for t, (h, memory, attention) in enumerate(found):
            np.testing.assert_allclose(fused.all_states[row, t], h, atol=2e-6)
            np.testing.assert_allclose(fused.all_memory[row, t], memory, atol=2e-6)
            np.testing.assert_allclose(fused.attention[row, t], attention, atol=2e-6)
        last = found[-1] if length else (np.zeros((3, H)), np.zeros(D))
        np.testing.assert_allclose(fused.states[row], last[0], atol=2e-6)
        np.testing.assert_allclose(fused.memory[row], last[1], atol=2e-6)


def test_without_feeding_the_states_are_those_of_lstms():
    fused = applied(CONFIGS[1], present=ALL)
    params = made(CONFIGS[1])[1]
    for m, name in enumerate(DIMS):
        states, last = LSTM(H).apply({"params": params[name]}, FEATURES[name], jnp.asarray(MASK))
        np.testing.assert_allclose(fused.states[:, m], last, atol=1e-6)
        np.testing.assert_allclose(fused.all_states[:2, :, m], states[:2], atol=1e-6)


@pytest.mark.parametrize("config", CONFIGS)
def test_gradients(config):
    """Of the loop's own derivative, in float64, with steps and modalities missing."""
    module, params = made(config)
    mask, present = jnp.asarray(MASK), jnp.asarray(PRESENT)

    def outputs(p, x):
        return run(module, *jax.tree.map(jnp.asarray, (p, x)), mask, present)

    with jax.enable_x64(True):
        wide = jax.tree.map(lambda x: jnp.asarray(np.asarray(x), jnp.float64), (params, FEATURES))
        check_grads(outputs, wide, order=1, modes=["rev"], atol=1e-5, rtol=1e-5)


@functools.partial(jax.jit, static_argnums=0)
def gradient_of(module, params, features, mask, present):
    """Of a loss over all that is given back, by parameters and features."""

    def loss(p, x):
        return sum((part * jnp.cos(part)).sum() for part in run(module, p, x, mask, present))

    return jax.grad(loss, argnums=(0, 1))(params, features)


def gradients(config, features, mask=MASK, present=PRESENT):
    return gradient_of(*made(config), features, jnp.asarray(mask), jnp.asarray(present))


@pytest.mark.parametrize("config", CONFIGS)
def test_what_lies_beyond_the_end_does_not_matter(config):
    noisy = {name: jnp.where(MASK[:, :, None], x, 1e3) for name, x in FEATURES.items()}
    fused, other = applied(config), applied(config, noisy)
    for name in Fused._fields:
        np.testing.assert_array_equal(getattr(fused, name), getattr(other, name))
    assert not np.asarray(fused.attention)[~MASK].any()
    np.testing.assert_array_equal(fused.all_memory[1, 3:], np.tile(fused.memory[1], (3, 1)))
    longer = {name: jnp.concatenate([x, x], axis=1) for name, x in FEATURES.items()}
    padded = applied(config, longer, np.concatenate([MASK, np.zeros_like(MASK)], axis=1))
    np.testing.assert_allclose(padded.states, fused.states, atol=1e-6)
    np.testing.assert_allclose(padded.memory, fused.memory, atol=1e-6)
    of_params, of_features = gradients(config, noisy)
    expected, _ = gradients(config, FEATURES)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), of_params, expected)
    assert not any(np.asarray(x)[~MASK].any() for x in of_features.values())


@pytest.mark.parametrize("config", CONFIGS)
def test_a_missing_modality_leaves_no_trace(config):
    without_audio = np.tile(np.array([True, False, True]), (B, 1))
    noisy = FEATURES | {"audio": 1e3 * FEATURES["audio"]}
    fused, other = (applied(config, x, present=without_audio) for x in (FEATURES, noisy))
    for name in Fused._fields:
        np.testing.assert_array_equal(getattr(fused, name), getattr(other, name))
    assert not np.asarray(fused.all_states)[:, :, 1].any()
    assert not np.asarray(fused.attention)[..., 1, :].any()
    np.testing.assert_allclose(np.asarray(fused.attention).sum(axis=(2, 3, 4)), MASK, atol=1e-6)
    of_params, of_features = gradients(config, noisy, present=without_audio)
    assert not np.asarray(of_features["audio"]).any()
    assert not any(np.asarray(x).any() for x in of_params["audio"].values())


@pytest.mark.parametrize("config", CONFIGS)
def test_without_any_modality_nothing_moves(config):
    of_params, of_features = gradients(config, FEATURES, present=~ALL)
    assert not any(np.asarray(x).any() for x in jax.tree.leaves((of_params, of_features)))
    assert not any(np.asarray(x).any() for x in applied(config, present=~ALL))


def test_feeding_is_what_lets_the_memory_reach_the_states():
    module, params = made(CONFIGS[0])
    cut = {name: {**params[name], "memory_kernel": jnp.zeros((D, 4 * H))} for name in DIMS}
    mask, present = jnp.asarray(MASK), jnp.asarray(ALL)
    fed, unfed = (run(module, p, FEATURES, mask, present) for p in (params, params | cut))
    plain = run(MemoryFusion(CONFIGS[1], tuple(DIMS)), params, FEATURES, mask, present)
    np.testing.assert_allclose(unfed.memory, plain.memory, atol=1e-6)
    np.testing.assert_allclose(fed.all_states[0, 0], unfed.all_states[0, 0], atol=1e-6)
    assert not np.allclose(fed.all_states[0, 1], unfed.all_states[0, 1], atol=1e-3)


@pytest.mark.parametrize("feeds", [True, False])
def test_parameter_count(feeds):
    """M3ER on IEMOCAP's and MOSEI's usual features: 300 + 74 + 35, three LSTMs of 32, memory of 128."""
    dims = {"text": 300, "audio": 74, "face": 35}
    features = {name: jax.ShapeDtypeStruct((2, 7, dim), jnp.float32) for name, dim in dims.items()}
    module = MemoryFusion(MemoryFusionConfig(feeds=feeds), tuple(dims))
    params = jax.eval_shape(module.init, jax.random.key(0), features, jax.ShapeDtypeStruct((2, 7), bool))
    lstms = 4 * 32 * (300 + 74 + 35 + 3 * (32 + 1)) + 3 * 4 * 32 * 128 * feeds
    attention = 192 * 64 + 64 + 64 * 192 + 192
    update = 192 * 64 + 64 + 64 * 128 + 128
    gates = 2 * (320 * 64 + 64 + 64 * 128 + 128)
    assert sum(x.size for x in jax.tree.leaves(params)) == lstms + attention + update + gates


def test_inputs_are_projected_outside_the_time_loop_and_weights_get_their_gradients_there():
    """The loop back in time holds as many products as the loop forwards: of examples, none of a weight."""
    module, params = made(CONFIGS[0], "xla")
    loss = lambda p: module.apply({"params": p}, FEATURES, jnp.asarray(MASK)).memory.sum()  # noqa: E731
    jaxpr = jax.make_jaxpr(jax.grad(loss))(params)
    loops = [eqn.params["jaxpr"].jaxpr for eqn in jaxpr.jaxpr.eqns if eqn.primitive.name == "scan"]
    products = [[e for e in loop.eqns if e.primitive.name == "dot_general"] for loop in loops]
    assert len(products) == 2
    assert len(products[0]) == len(products[1])
    assert all(eqn.outvars[0].aval.shape[0] == B for loop in products for eqn in loop)
    read = {size for loop in products for eqn in loop for x in eqn.invars for size in x.aval.shape}
    assert not read & set(DIMS.values())


def test_members_trained_at_once_get_what_each_would_alone():
    module, params = made(CONFIGS[0])
    given = FEATURES, jnp.asarray(MASK), jnp.asarray(PRESENT)
    several = jax.tree.map(lambda x: jnp.stack([2 * x, x]), params)
    together, _ = jax.jit(jax.vmap(lambda p: gradient_of(module, p, *given)))(several)
    alone, _ = gradient_of(module, params, *given)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a[1], b, rtol=1e-4, atol=1e-5), together, alone)


def test_errors_name_the_remedy():
    module, key, mask = MemoryFusion(CONFIGS[0], tuple(DIMS)), jax.random.key(0), jnp.asarray(MASK)
    with pytest.raises(InputError, match=r"'audio': 3.*onto one clock"):
        module.init(key, FEATURES | {"audio": FEATURES["audio"][:, :3]}, mask)
    with pytest.raises(InputError, match="'video': None"):
        module.init(key, {name: FEATURES[name] for name in ("text", "audio")}, mask)
    with pytest.raises(InputError, match="one modality at least"):
        MemoryFusion(CONFIGS[0], ()).init(key, FEATURES, mask)
    with pytest.raises(InputError, match="memory=0 must be at least 1"):
        dataclasses.replace(CONFIGS[0], memory=0)
