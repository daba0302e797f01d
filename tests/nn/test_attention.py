"""The attention module against NumPy, computed from its own parameters."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import expit, softmax

from mer_jax.errors import InputError
from mer_jax.nn.attention import Attention, AttentionConfig, last_place

B, M, N, H, S, SIZE = 3, 5, 12, 6, 4, 7
LENGTHS, FRAMES = np.array([5, 3, 0]), np.array([12, 7, 9])
MASK, FRAME_MASK = (jnp.asarray(np.arange(k)[None, :] < n[:, None]) for k, n in ((M, LENGTHS), (N, FRAMES)))
SPANS = np.stack([np.arange(M) * 2, np.arange(M) * 2 + 1], axis=1)[None].repeat(B, 0).astype(np.int32)
SIZES = {"general": {"W": (H, S)}, "concat": {"W1": (H, SIZE), "W2": (S, SIZE), "v": (SIZE, 1)}, "dot": {}}
ALIGNMENTS = ("global", "window", "local_m", "local_p", "forced")


def states(features, time, seed):
    return jnp.asarray(np.random.default_rng(seed).normal(size=(B, time, features)), jnp.float32)


def made(**config):
    """A module, its parameters (large enough for scores to differ), and its two sequences."""
    module = Attention(AttentionConfig(width=4, half_width=3, size=SIZE, **config))
    h = S if config.get("score") == "dot" else H
    decoder, encoder = states(h, M, 0), states(S, N, 1)
    spans = jnp.asarray(SPANS) if config.get("alignment") == "forced" else None
    variables = module.init(jax.random.key(0), decoder, MASK, encoder, FRAME_MASK, spans=spans)
    random = np.random.default_rng(2)
    params = jax.tree.map(lambda x: random.normal(0, 0.5, x.shape).astype(np.float32), variables["params"])
    return module, params, decoder, encoder, spans


def applied(module, params, decoder, encoder, spans, **options):
    run = jax.jit(lambda p, d, e: module.apply({"params": p}, d, MASK, e, FRAME_MASK, spans=spans, **options))
    return run(params, decoder, encoder)


def scores(params, h, s):
    """score(h_t, s) of one example, [m, n]: Luong, Pham and Manning 2015, section 3.1."""
    if "W" in params:
        return h @ params["W"] @ s.T
    if "W1" in params:
        return np.tanh((h @ params["W1"])[:, None] + (s @ params["W2"])[None]) @ params["v"][:, 0]
    return h @ s.T


def centres(params, h, m, n, relative):
    """p_t = n sigmoid(v_p . tanh(W_p h_t))."""
    if relative:
        r = (np.arange(m) + 0.5) / m
        h = np.concatenate([h, np.log(r / (1 - r))[:, None]], axis=1)
    return n * expit(np.tanh(h @ params["W_p"]) @ params["v_p"][:, 0])


def keys(alignment, t, m, n, centre):
    if alignment in ("global", "forced"):
        return np.full(n, True) if alignment == "global" else np.isin(np.arange(n), SPANS[0, t])
    middle = t * n // m if centre is None else np.floor(centre + 0.5)
    return abs(np.arange(n) - middle) <= (2 if alignment == "window" else 3)


def expected(params, decoder, encoder, alignment, relative=False):
    """Context and h~ of every word, example by example and word by word."""
    context, attentional = np.zeros((B, M, S)), np.zeros((B, M, SIZE))
    for b in range(B):
        m, n = LENGTHS[b], FRAMES[b]
        h, s = np.float64(decoder[b]), np.float64(encoder[b, :n])
        p = centres(params, h[:m], m, n, relative) if alignment == "local_p" and m else None
        for t in range(m):
            allowed = keys(alignment, t, m, n, None if p is None else p[t])
            if allowed.any():
                a = np.zeros(n)
                a[allowed] = softmax(scores(params, h[t : t + 1], s)[0][allowed])
                if p is not None:
                    a *= np.exp(-((np.arange(n) - p[t]) ** 2) / (2 * 1.5**2))  # sigma = D / 2
                context[b, t] = a @ s
        attentional[b] = np.tanh(np.concatenate([context[b], h], axis=1) @ params["W_c"])
    return context, attentional


@pytest.mark.parametrize(
    ("score", "alignment"),
    [*(("general", alignment) for alignment in ALIGNMENTS), ("dot", "window"), ("concat", "local_p")],
)
def test_equations(score, alignment):
    parts = made(score=score, alignment=alignment)
    found = applied(*parts)
    context, attentional = expected(*parts[1:4], alignment)
    np.testing.assert_allclose(found.context, context, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found.states, attentional, rtol=1e-4, atol=1e-5)
    assert found.weights is None


def test_local_p_may_see_the_relative_position():
    parts = made(alignment="local_p", relative_position=True)
    context, _ = expected(*parts[1:4], "local_p", relative=True)
    np.testing.assert_allclose(applied(*parts).context, context, rtol=1e-4, atol=1e-5)


def test_local_p_with_the_position_starts_around_the_diagonal():
    config = AttentionConfig(alignment="local_p", half_width=4, size=64, relative_position=True)
    decoder, encoder = states(H, 10, 0), states(S, 100, 1)
    masks = jnp.ones((B, 10), bool), jnp.ones((B, 100), bool)
    found, _ = Attention(config).init_with_output(
        jax.random.key(0), decoder, masks[0], encoder, masks[1], weights=True
    )
    weights, positions = map(np.asarray, found.weights)
    middle = (weights * positions).sum(-1) / weights.sum(-1)
    assert np.abs(middle - (np.arange(10) * 10 + 5)).max() < 8


@pytest.mark.parametrize("alignment", ALIGNMENTS)
def test_weights_make_the_context(alignment):
    parts = made(alignment=alignment)
    found = applied(*parts, weights=True)
    values, positions = found.weights
    rows = np.arange(B)[:, None, None]
    context = (np.asarray(values)[..., None] * np.asarray(parts[3])[rows, np.maximum(positions, 0)]).sum(
        axis=2
    )
    np.testing.assert_allclose(context, found.context, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found.states, applied(*parts).states, rtol=1e-5)
    assert (np.asarray(positions) < FRAMES[:, None, None]).all()


@pytest.mark.parametrize(
    ("config", "more"),
    [
        ({"score": "dot"}, {}),
        ({"score": "general"}, {}),
        ({"score": "concat"}, {}),
        ({"alignment": "local_p"}, {"W": (H, S), "W_p": (H, SIZE), "v_p": (SIZE, 1)}),
        (
            {"alignment": "local_p", "relative_position": True},
            {"W": (H, S), "W_p": (H + 1, SIZE), "v_p": (SIZE, 1)},
        ),
    ],
)
def test_parameters(config, more):
    h = S if config.get("score") == "dot" else H
    sizes = SIZES[config.get("score", "general")] | more | {"W_c": (S + h, SIZE)}
    assert {name: x.shape for name, x in made(**config)[1].items()} == sizes


@pytest.mark.parametrize("alignment", ALIGNMENTS)
def test_gradients_reach_every_parameter_and_are_finite(alignment):
    module, params, decoder, encoder, spans = made(alignment=alignment)

    def loss(p):
        found = module.apply({"params": p}, decoder, MASK, encoder, FRAME_MASK, spans=spans)
        return jnp.square(found.states).sum()

    for name, gradient in jax.jit(jax.grad(loss))(params).items():
        assert np.isfinite(gradient).all(), name
        assert np.abs(gradient).max() > 1e-4, name


def test_a_masked_state_is_not_attended_to():
    module, params, decoder, encoder, _ = made(alignment="global")
    hole = FRAME_MASK.at[0, 4].set(False)
    weights, positions = module.apply({"params": params}, decoder, MASK, encoder, hole, weights=True).weights
    assert not (np.asarray(weights[0]) > 0)[np.asarray(positions[0]) == 4].any()
    np.testing.assert_allclose(weights[0].sum(-1), 1, rtol=1e-5)


def test_last_place_is_that_of_the_last_true_one():
    mask = jnp.asarray([[1, 1, 0, 0], [0, 1, 0, 1], [0, 0, 0, 0]], bool)
    assert last_place(mask).tolist() == [2, 4, 0]


@pytest.mark.parametrize(
    ("config", "spans", "message"),
    [
        ({"score": "dot"}, None, r"the decoder's have 6 and the encoder's 4 features; make them equal"),
        ({"alignment": "forced"}, None, "alignment='forced' with spans none; give the span"),
        ({"alignment": "window"}, SPANS, r"alignment='window' with spans \[3, 5, 2\]; leave the spans out"),
    ],
)
def test_what_does_not_fit_says_why(config, spans, message):
    module = Attention(AttentionConfig(**config))
    with pytest.raises(InputError, match=message):
        module.init(
            jax.random.key(0),
            states(H, M, 0),
            MASK,
            states(S, N, 1),
            FRAME_MASK,
            spans=None if spans is None else jnp.asarray(spans),
        )


@pytest.mark.parametrize("field", ["width", "half_width", "size"])
def test_sizes_are_positive(field):
    with pytest.raises(InputError, match=f"{field}=0 must be at least 1"):
        AttentionConfig(**{field: 0})
