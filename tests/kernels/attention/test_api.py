"""`attend`: dimensions, lengths, weights, transformations, the choice of an implementation, bad input."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kernels.attention import Forced, LocalMonotonic, LocalPredictive, SlidingWindow, attend
from tests.kernels.attention.base import assert_close


def normal(*shape, seed=0, dtype=jnp.float32):
    return jnp.asarray(np.random.default_rng(seed + sum(shape)).normal(size=shape), dtype)


QUERY, KEY, VALUE = normal(2, 3, 7, 5), normal(2, 3, 20, 5, seed=1), normal(2, 3, 20, 4, seed=2)
VECTOR = normal(5)
ADDITIVE = {"score": "additive", "score_vector": VECTOR}


@pytest.mark.parametrize("implementation", ["reference", "xla", None])
@pytest.mark.parametrize("score", [{}, ADDITIVE], ids=["dot", "additive"])
def test_leading_dimensions_and_lengths_of_the_first_of_them(implementation, score):
    options = {"alignment": LocalMonotonic(2), "implementation": implementation, **score}
    together = attend(
        QUERY, KEY, VALUE, query_lengths=np.array([7, 4]), key_lengths=jnp.array([20, 9]), **options
    )
    assert together.shape == (2, 3, 7, 4)
    for b, (m, n) in enumerate([(7, 20), (4, 9)]):
        for head in range(3):
            alone = attend(QUERY[b, head, :m], KEY[b, head, :n], VALUE[b, head, :n], **options)
            assert_close(together[b, head, :m], alone, 2e-6, "context")
            assert not np.asarray(together[b, head, m:]).any()


@pytest.mark.parametrize("score", [{}, ADDITIVE], ids=["dot", "additive"])
@pytest.mark.parametrize(
    "alignment",
    [
        SlidingWindow(6),
        LocalPredictive(2, jnp.asarray(np.random.default_rng(3).uniform(0, 20, (2, 3, 7)), jnp.float32)),
        Forced(np.array([[0, 1], [2, 4], [5, 4], [6, 6], [7, 9], [10, 10], [18, 19]])),
    ],
    ids=lambda a: type(a).__name__,
)
def test_weights_at_their_positions_give_the_context(alignment, score):
    mask = np.random.default_rng(0).random((2, 3, 20)) < 0.7
    context, (values, positions) = attend(
        QUERY, KEY, VALUE, alignment=alignment, key_mask=mask, return_weights=True, **score
    )
    assert values.shape == positions.shape
    assert values.shape[-1] < 20
    at = np.maximum(positions, 0)
    assert not np.asarray(values)[np.asarray(positions) < 0].any()
    assert np.take_along_axis(mask[:, :, None, :], at, -1)[np.asarray(positions) >= 0].all()
    mixed = jnp.einsum("bhmw,bhmwv->bhmv", values, jnp.take_along_axis(VALUE[:, :, None], at[..., None], 3))
    assert_close(mixed, context, 2e-6, "context")
    if not isinstance(alignment, LocalPredictive):
        sums = np.asarray(values.sum(-1))
        np.testing.assert_allclose(sums[sums > 0], 1, rtol=1e-5)


def test_weights_have_the_gradient_of_the_softmax():
    def first_weight(query):
        _, weights = attend(query, KEY[0, 0], VALUE[0, 0], alignment=SlidingWindow(4), return_weights=True)
        return weights.values[3, 0]

    def by_hand(query):  # floor(3 * 20 / 7) = 8: keys 6 to 10
        return jax.nn.softmax(KEY[0, 0, 6:11] @ query[3])[0]

    assert_close(jax.grad(first_weight)(QUERY[0, 0]), jax.grad(by_hand)(QUERY[0, 0]), 1e-6, "gradient")


def test_pmap_over_devices_is_the_whole_batch():
    devices = jax.local_device_count()
    query, key, value = normal(2 * devices, 6, 5), normal(2 * devices, 9, 5), normal(2 * devices, 9, 4)

    def gradient(query, key, value):
        return jax.grad(
            lambda q: attend(q, key, value, alignment=SlidingWindow(4), implementation="xla").sum()
        )(query)

    split = (x.reshape(devices, 2, *x.shape[1:]) for x in (query, key, value))
    spread = jax.pmap(gradient)(*split).reshape(query.shape)
    assert_close(spread, gradient(query, key, value), 1e-6, "gradient")


@pytest.mark.parametrize("score", [{}, ADDITIVE], ids=["dot", "additive"])
def test_float64_stays_float64(score):
    with jax.enable_x64(True):
        wide = {k: np.asarray(v, np.float64) if k == "score_vector" else v for k, v in score.items()}
        wide = {k: jnp.asarray(v) if k == "score_vector" else v for k, v in wide.items()}
        arrays = [jnp.asarray(np.asarray(x, np.float64)) for x in (QUERY, KEY, VALUE)]
        found, wanted = (
            attend(*arrays, alignment=SlidingWindow(6), implementation=i, **wide)
            for i in ("xla", "reference")
        )
        assert found.dtype == jnp.float64
        assert_close(found, wanted, 1e-13, "context")


@pytest.mark.parametrize("score", [{}, ADDITIVE], ids=["dot", "additive"])
@pytest.mark.parametrize("known", [True, False], ids=["known lengths", "traced lengths"])
def test_xla_never_holds_more_than_a_band(score, known):
    """No array of the program, forward and backward, has m n elements or m w d."""
    m = 2048
    arrays = [jax.ShapeDtypeStruct((1, m, 8), jnp.float32)] * 3
    vector = {k: normal(8) if k == "score_vector" else v for k, v in score.items()}

    def loss(query, key, value, lengths):
        given = {} if known else {"key_lengths": lengths}
        options = {"alignment": SlidingWindow(64), "implementation": "xla", **vector, **given}
        return attend(query, key, value, **options).sum()

    gradient = jax.grad(loss, argnums=(0, 1, 2))
    program = jax.make_jaxpr(gradient)(*arrays, jax.ShapeDtypeStruct((1,), jnp.int32))
    largest = max(np.prod(v.aval.shape, initial=1) for v in every_variable(program.jaxpr))
    assert largest <= m * 8 * 2


def every_variable(jaxpr):
    for equation in jaxpr.eqns:
        yield from equation.outvars
        for inner in jax.tree.leaves(list(equation.params.values()), is_leaf=lambda x: hasattr(x, "eqns")):
            inner = getattr(inner, "jaxpr", inner)
            if hasattr(inner, "eqns"):
                yield from every_variable(inner)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"score": "concat"}, r"score='concat' is unknown.*\"concat\" additive"),
        ({"score": "additive"}, r"score='additive' with score_vector=None: give v"),
        ({"score_vector": VECTOR}, r"score='dot' with score_vector=\[5\]: leave it out"),
        ({**ADDITIVE, "score_vector": normal(6)}, r"score_vector \[6\].*one entry a feature"),
        ({"query": normal(5)}, r"query \[5\].*\[..., positions, features\]"),
        ({"query": normal(3, 7, 5)}, r"leading dimensions"),
        ({"query": normal(2, 3, 7, 6)}, r"differ in features"),
        ({"value": normal(2, 3, 19, 4)}, r"each key has one value"),
        ({"value": normal(2, 3, 20, 0)}, r"a dimension is 0"),
        ({"value": VALUE.astype(jnp.bfloat16)}, r"bfloat16.*astype"),
        (
            {
                "query": QUERY.astype(jnp.int32),
                "key": KEY.astype(jnp.int32),
                "value": VALUE.astype(jnp.int32),
            },
            "float",
        ),
        ({"query_lengths": np.array([1, 8])}, r"query_lengths holds 8.*0 and the padded 7"),
        ({"key_lengths": np.array([1, -1])}, r"key_lengths holds -1"),
        ({"key_lengths": np.array([1.0, 2.0])}, r"key_lengths has type float64.*integer"),
        ({"key_lengths": np.array([1, 2, 3])}, r"key_lengths has shape \(3,\).*\(2, 3\)"),
        ({"key_mask": np.ones((2, 3, 20))}, r"key_mask has type float64.*bool"),
        ({"key_mask": np.ones((2, 3, 19), bool)}, r"key_mask has shape \(2, 3, 19\)"),
        (
            {"implementation": "triton"},
            r"implementation='triton' is unknown; known: reference, xla, pallas, native",
        ),
        ({"implementation": "pallas"}, r"implementation='pallas' does not run on the cpu.*\"xla\""),
    ],
)
def test_bad_input_is_named_before_anything_is_compiled(change, message):
    given = {"query": QUERY, "key": KEY, "value": VALUE, **change}
    arrays = [given.pop(name) for name in ("query", "key", "value")]
    with pytest.raises(ValueError, match=message):
        jax.make_jaxpr(lambda q, k, v: attend(q, k, v, **given))(*arrays)
