"""The TPU kernels by the interpreter, in small blocks, and lowered for a TPU in the blocks they run in."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AbstractDevice, AbstractMesh

from kernels.attention import LocalMonotonic, SlidingWindow, differentiable, pallas_tpu, reference
from kernels.attention import pallas_tpu_tiles as tiles
from kernels.attention.alignment import Ranges, Size
from kernels.attention.reference import Inputs
from tests.kernels.attention.base import (
    SCORES,
    AttentionTests,
    Case,
    anywhere,
    assert_agrees,
    assert_close,
    by_speed,
    predicted,
    problem,
    with_gradients,
)
from tests.kernels.marks import slow


def interpreted(**sizes):
    def attend(inputs, ranges, sigma):
        assert pallas_tpu.why_not(inputs, ranges) is None
        kernel = pallas_tpu.kernel(inputs, ranges, interpret=True, **sizes)
        return differentiable.attend(kernel, sigma, inputs, ranges)

    return attend


def on_tpu(kind: str = "TPU v5 lite"):
    device = AbstractDevice(device_kind=kind, num_cores=1, platform="tpu")
    return jax.sharding.use_abstract_mesh(AbstractMesh((), (), abstract_device=device))


@slow(
    "test_drawn_geometries",
    "test_large_scores_neither_overflow_nor_lose_their_order",
    "test_additive_scores_saturate_without_nan",
)
class TestPallasTpu(AttentionTests):
    """Blocks of 16, so that the cases walk over several; the longer tests are slow, none is left out."""

    attend = staticmethod(interpreted(across=16, down=16, tile=8))
    drawn = 8

    @pytest.mark.parametrize("score", SCORES)
    @pytest.mark.parametrize("case", by_speed(("local_p_holes", "forced_ragged")))
    def test_values_and_gradients_are_those_of_the_reference(self, case, score):
        self.agrees(*problem(case, score))

    @pytest.mark.slow
    @pytest.mark.parametrize("score", SCORES)
    def test_vmap_over_queries_centres_and_ranges_has_the_gradients_of_the_reference(self, score):
        case = Case("local_p", predicted(4), batch=2, m=19, n=47)
        inputs, _, sigma = problem(case, score)
        shift = jnp.asarray([0.0, 3.0])

        def loss(attend):
            def one(query, by):
                moved = predicted(4)(np.random.default_rng(1), case)
                moved = type(moved)(4, moved.centres + by).ranges(Size(case.batch, case.m, case.n))
                return jnp.sum(jnp.sin(attend(inputs._replace(query=query), moved, sigma)))

            stacked = jnp.stack([inputs.query, inputs.query + 1])
            return jax.vmap(jax.value_and_grad(one, argnums=(0, 1)))(stacked, shift)

        found, wanted = jax.tree.leaves(loss(self.attend)), jax.tree.leaves(loss(reference.attend))
        for a, b in zip(found, wanted, strict=True):
            assert_close(a, b, self.tolerance, "value or gradient")


@pytest.mark.slow
@pytest.mark.parametrize("score", SCORES)
def test_default_blocks_walk_over_several(score):
    case = Case("window", lambda rng, case: SlidingWindow(40), batch=1, m=700, n=1100, holes=True)
    inputs, ranges, sigma = problem(case, score)
    assert_agrees(interpreted(), inputs, ranges, sigma, 1e-5)


@pytest.mark.slow
def test_more_features_than_lanes_are_taken_in_groups():
    case = Case("window", lambda rng, case: LocalMonotonic(5), batch=1, m=9, n=20, d=200)
    inputs, ranges, sigma = problem(case, "additive")
    assert_agrees(interpreted(across=16, down=16, tile=8), inputs, ranges, sigma, 1e-5)


@pytest.mark.parametrize("make", [anywhere, lambda rng, case: SlidingWindow(9)], ids=["anywhere", "window"])
def test_walks_reach_every_pair_and_no_block_beyond_the_outermost(make):
    m, n, across, down, tile = 64, 96, 16, 32, 8
    _, ranges, _ = problem(Case("walk", make, m=m, n=n, query_lengths=(64, 20)), "dot")
    start, end = np.broadcast_to(ranges.start, (2, m)), np.broadcast_to(ranges.end, (2, m))
    keys = tiles.key_walk(start, end, across)
    queries = tiles.query_walk(start, end, n // across, across, tile)
    pairs = [(b, t, s) for b, t in np.ndindex(2, m) for s in range(start[b, t], end[b, t] + 1)]
    for b, t, s in pairs:
        assert keys.first[b, t // across] <= s <= keys.last[b, t // across]
        assert queries.first[b, s // across] <= t <= queries.last[b, s // across]
    assert (keys.last[1, 2:] == -1).all()
    assert keys.first[keys.last >= 0].min() == min(s for _, _, s in pairs)
    assert queries.last.max() // tile == max(t for _, t, _ in pairs) // tile
    assert keys.steps(down) == max((keys.last // down - keys.first // down + 1).max(), 1)


@pytest.mark.parametrize("score", SCORES)
def test_steps_of_a_window_do_not_grow_with_the_sequence(score):
    steps = set()
    for length in (4096, 16384):
        ranges = SlidingWindow(64).ranges(Size(1, length, length))
        shape = jax.ShapeDtypeStruct((1, length, 64), jnp.float32)
        vector = jax.ShapeDtypeStruct((64,), jnp.float32) if score == "additive" else None
        kernel = pallas_tpu.kernel(Inputs(shape, shape, shape, vector), ranges)
        steps.add((kernel.key_steps, kernel.query_steps))
        assert max(kernel.key_steps, kernel.query_steps) <= 4
    assert len(steps) == 1


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("kind", ["TPU v4", "TPU v5 lite", "TPU v6 lite"])
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16], ids=["float32", "bfloat16"])
def test_lowers_for_a_tpu(score, kind, dtype):
    """Ranges, centre, mask and lengths traced; odd sizes."""
    batch, m, n, d, dv = 2, 300, 700, 40, 21
    shape = lambda *sizes, kind=dtype: jax.ShapeDtypeStruct(sizes, kind)  # noqa: E731
    inputs = Inputs(
        shape(batch, m, d), shape(batch, n, d), shape(batch, n, dv),
        shape(d) if score == "additive" else None, shape(batch, n, kind=jnp.bool_),
    )  # fmt: skip
    ranges = Ranges(
        shape(batch, m, kind=jnp.int32), shape(batch, m, kind=jnp.int32), shape(batch, m, kind=jnp.float32)
    )

    def both(inputs, ranges):
        return with_gradients(pallas_tpu.attend, inputs, ranges, 4.0)

    with on_tpu(kind):
        text = jax.jit(both).trace(inputs, ranges).lower(lowering_platforms=("tpu",)).as_text()
    assert text.count("stablehlo.custom_call @tpu_custom_call") == 3  # forward, dq, dk and dv


@pytest.mark.parametrize("score", SCORES)
def test_vmap_lowers_for_a_tpu(score):
    """Over the score vector too, which lies in scalar memory."""
    inputs, ranges, sigma = problem(Case("window", lambda rng, case: SlidingWindow(8)), score)
    stacked = jax.tree.map(lambda x: jnp.stack([x, x]), inputs)

    def mapped(stacked):
        return jax.vmap(lambda inputs: with_gradients(pallas_tpu.attend, inputs, ranges, sigma))(stacked)

    with on_tpu():
        text = jax.jit(mapped).trace(stacked).lower(lowering_platforms=("tpu",)).as_text()
    assert text.count("stablehlo.custom_call @tpu_custom_call") == 3


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"dtype": jnp.float16}, "float16"),
        ({"d": 513}, "513"),
        ({"batch": 70_000}, "at most 65536"),
        ({"n": 1 << 24}, "counts to"),
    ],
)
def test_what_it_cannot_serve_is_said(change, words):
    size = {"batch": 1, "m": 5, "n": 7, "d": 16, "dtype": jnp.float32} | change
    shape = lambda length: jax.ShapeDtypeStruct((size["batch"], length, size["d"]), size["dtype"])  # noqa: E731
    inputs = Inputs(shape(size["m"]), shape(size["n"]), shape(size["n"]))
    assert words in pallas_tpu.why_not(inputs, Ranges(None, None))
