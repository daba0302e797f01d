"""The attending decoder against a NumPy loop, word by word, from its own parameters."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import expit

from kernels.attention.native import library
from kernels.attention.stepwise import scan_attending
from mer_jax.errors import InputError
from mer_jax.nn import decoder
from mer_jax.nn.attention import Attention, AttentionConfig
from mer_jax.nn.decoder import AttendingDecoder
from mer_jax.nn.recurrent import GRU
from tests.kernels.native_library import built, needs_compiler
from tests.nn.test_attention import (
    FRAME_MASK,
    FRAMES,
    LENGTHS,
    MASK,
    SPANS,
    B,
    M,
    N,
    S,
    centres,
    keys,
    scores,
    states,
)

built_library = built(library)
X, HIDDEN = 3, 6
SCORES_OF = {"dot": S, "general": HIDDEN, "concat": HIDDEN}
GEOMETRIES = ("global", "window", "local_m", "local_p", "forced")


def made(feedback, score="general", alignment="window", size=HIDDEN, **more):
    hidden = S if score == "dot" else HIDDEN
    size = hidden if feedback == "state" else size
    config = AttentionConfig(score, alignment, width=4, half_width=3, size=size, **more)
    module = AttendingDecoder(config, hidden, feedback)
    inputs, encoder = states(X, M, 5), states(S, N, 1)
    options = {"initial": states(hidden, 1, 7)[:, 0]}
    if alignment == "forced":
        options["spans"] = jnp.asarray(SPANS)
    variables = module.init(jax.random.key(0), inputs, MASK, encoder, FRAME_MASK, **options)
    random = np.random.default_rng(2)
    params = jax.tree.map(
        lambda x: jnp.asarray(random.normal(0, 0.5, x.shape), jnp.float32), variables["params"]
    )
    return module, params, inputs, encoder, options


def applied(module, params, inputs, encoder, options, **more):
    run = jax.jit(lambda p, x, e, o: module.apply({"params": p}, x, MASK, e, FRAME_MASK, **o, **more))
    return run(params, inputs, encoder, options)


def gru(p, x, h):
    """One step in the form of cuDNN: gates reset, update, new."""
    size = len(h)
    w, u = x @ p["input_kernel"] + p["bias"], h @ p["recurrent_kernel"]
    reset, update = expit(w[:size] + u[:size]), expit(w[size : 2 * size] + u[size : 2 * size])
    new = np.tanh(w[2 * size :] + reset * (u[2 * size :] + p["recurrent_bias"]))
    return (1 - update) * new + update * h


def attended(p, h, s, t, m, alignment, relative=False):
    """Context and h~ of one state over the encoder's states s."""
    n, p_t = len(s), None
    if alignment == "local_p":
        repeated = np.tile(h, (m, 1))
        p_t = centres(p, repeated, m, n, relative)[t]
    allowed = keys(alignment, t, m, n, p_t)
    context = np.zeros(S)
    if allowed.any():
        e = scores(p, h[None], s)[0][allowed]
        a = np.zeros(n)
        a[allowed] = np.exp(e - e.max()) / np.exp(e - e.max()).sum()
        if p_t is not None:
            a *= np.exp(-((np.arange(n) - p_t) ** 2) / (2 * 1.5**2))
        context = a @ s
    return context, np.tanh(np.concatenate([context, h]) @ p["W_c"])


def expected(params, inputs, encoder, options, feedback, alignment, relative=False):
    found = np.zeros((B, M, params["attention"]["W_c"].shape[1]))
    for b in range(B):
        m, s = LENGTHS[b], np.float64(encoder[b, : FRAMES[b]])
        h, fed = np.float64(options["initial"][b]), np.zeros(found.shape[2])
        for t in range(m):
            x = np.float64(inputs[b, t])
            h = gru(params["gru"], np.concatenate([x, fed]) if feedback == "input" else x, h)
            _, fed = attended(params["attention"], h, s, t, m, alignment, relative)
            found[b, t] = fed
            h = fed if feedback == "state" else h
    return found


@pytest.mark.parametrize("feedback", ["none", "state", "input"])
@pytest.mark.parametrize(
    ("score", "alignment"),
    [*(("general", alignment) for alignment in GEOMETRIES), ("dot", "window"), ("concat", "local_p")],
)
def test_equations(feedback, score, alignment):
    parts = made(feedback, score, alignment)
    found = applied(*parts)
    wanted = expected(*parts[1:], feedback, alignment)
    for b in range(B):
        np.testing.assert_allclose(
            found.states[b, : LENGTHS[b]], wanted[b, : LENGTHS[b]], rtol=1e-4, atol=1e-5
        )


def test_local_p_may_see_the_relative_position():
    parts = made("input", alignment="local_p", relative_position=True, size=5)
    wanted = expected(*parts[1:], "input", "local_p", relative=True)
    np.testing.assert_allclose(applied(*parts).states[0], wanted[0], rtol=1e-4, atol=1e-5)


def test_without_feedback_it_is_a_gru_and_attention_all_at_once():
    module, params, inputs, encoder, options = made("none", "concat", size=7)
    h, _ = GRU(HIDDEN).apply({"params": params["gru"]}, inputs, MASK, options["initial"])
    attention = Attention(module.config)
    wanted = attention.apply({"params": params["attention"]}, h, MASK, encoder, FRAME_MASK)
    np.testing.assert_allclose(
        applied(module, params, inputs, encoder, options).states, wanted.states, rtol=1e-5
    )


@pytest.mark.parametrize("feedback", ["state", "input"])
@pytest.mark.parametrize("alignment", GEOMETRIES)
def test_weights_make_the_context(feedback, alignment):
    parts = made(feedback, alignment=alignment)
    found = applied(*parts, weights=True)
    values, positions = map(np.asarray, found.weights)
    rows = np.arange(B)[:, None, None]
    context = (values[..., None] * np.asarray(parts[3])[rows, np.maximum(positions, 0)]).sum(axis=2)
    there = np.asarray(MASK)
    np.testing.assert_allclose(context[there], found.context[there], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found.states[there], applied(*parts).states[there], rtol=1e-5, atol=1e-6)
    assert (positions < FRAMES[:, None, None]).all()
    assert (values[positions < 0] == 0).all()


def problem(feedback, score, alignment):
    module, params, inputs, encoder, options = made(feedback, score, alignment)
    noise = np.random.default_rng(3).normal(size=(B, M, HIDDEN)) * np.asarray(MASK)[..., None]

    def loss(p, x, e):
        return jnp.sum(jnp.asarray(noise, jnp.float32) * applied(module, p, x, e, options).states)

    return (params, inputs, encoder), loss


IMPLEMENTATIONS = ["xla", pytest.param("native", marks=needs_compiler)]


def served_by(monkeypatch, implementation):
    scan = functools.partial(scan_attending, implementation=implementation)
    monkeypatch.setattr(decoder, "scan_attending", scan)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("feedback", ["state", "input"])
@pytest.mark.parametrize(
    ("score", "alignment"),
    [("concat", "window"), ("concat", "local_p"), ("general", "forced"), ("general", "global")],
)
def test_gradients_are_those_of_a_scan_over_everything(
    monkeypatch, feedback, score, alignment, implementation
):
    point, loss = problem(feedback, score, alignment)
    served_by(monkeypatch, implementation)
    found = jax.grad(loss, argnums=(0, 1, 2))(*point)
    served_by(monkeypatch, "reference")
    wanted = jax.grad(loss, argnums=(0, 1, 2))(*point)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5), found, wanted)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("feedback", ["state", "input"])
@pytest.mark.parametrize("shared", ["nothing", "encoder", "parameters"])
def test_vmap_gives_each_its_own(monkeypatch, feedback, shared, implementation):
    (params, inputs, encoder), loss = problem(feedback, "concat", "local_p")
    served_by(monkeypatch, implementation)
    axes = (None if shared == "parameters" else 0, 0, None if shared == "encoder" else 0)
    many = [jax.tree.map(lambda x, k=k: x * (1 + 0.1 * k), (params, inputs, encoder)) for k in range(3)]
    first = (params, inputs, encoder)
    points = [
        tuple(f if axis is None else x for f, x, axis in zip(first, one, axes, strict=True)) for one in many
    ]
    stacked = [
        f if axis is None else jax.tree.map(lambda *x: jnp.stack(x), *parts)
        for f, axis, parts in zip(first, axes, zip(*many, strict=True), strict=True)
    ]
    gradient = jax.grad(loss, argnums=(0, 1, 2))
    found = jax.vmap(gradient, axes)(*stacked)
    for k, point in enumerate(points):
        for ours, wanted in zip(
            map(jax.tree.leaves, found), map(jax.tree.leaves, gradient(*point)), strict=True
        ):
            for a, b in zip(ours, wanted, strict=True):
                np.testing.assert_allclose(a[k], b, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("feedback", ["state", "input"])
@pytest.mark.parametrize("score", ["general", "concat"])
def test_gradients_by_finite_differences(feedback, score):
    point, loss = problem(feedback, score, "window")
    gradients = jax.grad(loss, argnums=(0, 1, 2))(*point)
    random = np.random.default_rng(4)
    way = jax.tree.map(lambda x: jnp.asarray(random.normal(size=x.shape), jnp.float32), point)
    step = 2e-3
    ahead, behind = (jax.tree.map(lambda x, d, s=s: x + s * d, point, way) for s in (step, -step))
    slope = (float(loss(*ahead)) - float(loss(*behind))) / (2 * step)
    found = sum(float(jnp.vdot(g, d)) for g, d in zip(*map(jax.tree.leaves, (gradients, way)), strict=True))
    assert found == pytest.approx(slope, rel=2e-2)
    assert all(np.abs(g).max() > 0 for g in jax.tree.leaves(gradients))


@pytest.mark.parametrize("feedback", ["none", "state", "input"])
def test_padding_changes_nothing_and_examples_do_not_mix(feedback):
    module, params, inputs, encoder, options = made(feedback, "concat")
    whole = applied(module, params, inputs, encoder, options).states
    longer = [jnp.pad(x, ((0, 0), (0, 4), (0, 0)), constant_values=9) for x in (inputs, encoder)]
    masks = [jnp.pad(x, ((0, 0), (0, 4))) for x in (MASK, FRAME_MASK)]
    found = module.apply({"params": params}, longer[0], masks[0], longer[1], masks[1], **options)
    there = np.asarray(MASK)
    np.testing.assert_allclose(found.states[:, :M][there], whole[there], rtol=1e-4, atol=1e-6)
    alone = module.apply(
        {"params": params},
        inputs[1:2],
        MASK[1:2],
        encoder[1:2],
        FRAME_MASK[1:2],
        initial=options["initial"][1:2],
    )
    np.testing.assert_allclose(alone.states[0][there[1]], whole[1][there[1]], rtol=1e-4, atol=1e-6)


def test_parameters():
    gates = 3 * HIDDEN * (X + HIDDEN + 1) + HIDDEN
    count = lambda params: sum(x.size for x in jax.tree.leaves(params))  # noqa: E731
    assert count(made("state")[1]) == gates + HIDDEN * S + (S + HIDDEN) * HIDDEN
    assert count(made("input", size=5)[1]) == gates + 3 * HIDDEN * 5 + HIDDEN * S + (S + HIDDEN) * 5


def test_a_state_of_another_size_cannot_be_fed_back():
    config = AttentionConfig(size=HIDDEN + 1)
    module = AttendingDecoder(config, HIDDEN, "state")
    with pytest.raises(InputError, match="size=7 must be the 6 units"):
        module.init(jax.random.key(0), states(X, M, 5), MASK, states(S, N, 1), FRAME_MASK)
