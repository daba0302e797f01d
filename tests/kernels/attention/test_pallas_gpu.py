"""The GPU kernels: in Pallas' interpreter against the reference, and lowered for CUDA."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax._src.pallas.mosaic_gpu.interpret.params import InterpretGPUParams

from kernels import gpu_tiles
from kernels.attention import differentiable, pallas_gpu
from kernels.attention.alignment import Ranges
from kernels.attention.reference import Inputs
from tests.kernels.attention.base import (
    SCORES,
    AttentionTests,
    Case,
    anywhere,
    assert_agrees,
    by_speed,
    predicted,
    problem,
)
from tests.kernels.marks import slow

INTERPRETED = pallas_gpu.Kernel(interpret=InterpretGPUParams())


@slow(
    "test_drawn_geometries",
    "test_large_scores_neither_overflow_nor_lose_their_order",
    "test_ranges_known_only_when_running_give_the_same",
    "test_bfloat16_is_accumulated_in_float32",
)
class TestInterpreted(AttentionTests):
    """Copies, barriers and arithmetic as written; not layouts of registers, nor the tensor cores."""

    drawn = 4

    @staticmethod
    def attend(inputs, ranges, sigma):
        return differentiable.attend(INTERPRETED, sigma, inputs, ranges)

    @pytest.mark.parametrize("score", SCORES)
    @pytest.mark.parametrize("case", by_speed(("window_no_keys", "local_p_holes")))
    def test_values_and_gradients_are_those_of_the_reference(self, case, score):
        self.agrees(*problem(case, score))

    @pytest.mark.slow
    def test_tiles_of_half_the_columns(self):
        inputs, ranges, sigma = problem(Case("forced", anywhere, m=70, n=130), "dot", jnp.bfloat16)
        narrow = pallas_gpu.Kernel(columns=32, interpret=InterpretGPUParams())
        attend = lambda inputs, ranges, sigma: differentiable.attend(narrow, sigma, inputs, ranges)  # noqa: E731
        assert_agrees(attend, inputs, ranges, sigma, self.half_tolerance)


class TestAdditiveOperands:
    """e^2a e^2b gives tanh(a + b) wherever it is used, for queries however far away."""

    @pytest.mark.parametrize("offset", [0.0, 5.0, -40.0, 1e4])
    def test_tanh_from_products_of_exponentials(self, offset):
        rng = np.random.default_rng(0)
        query = rng.normal(size=(2, 9, 4)) * 30 + offset
        key = np.clip(rng.normal(size=(2, 12, 4)) * 2, -6, 6) - offset
        inputs = Inputs(*(jnp.asarray(x, jnp.float32) for x in (query, key, key, np.ones(4))))
        tile = pallas_gpu.Kernel()._tile(inputs, Ranges(None, None), None, backward=False)
        queries, keys, exponentials = pallas_gpu._operands(tile, inputs)
        assert exponentials.tolist() == [1, 1]
        products = np.asarray(queries, np.float64)[:, :, :9, None] * np.asarray(keys)[:, :, None, :12]
        assert products.max() < 2.0**62.5
        sums = np.asarray(inputs.query, np.float64)[:, :, None] + np.asarray(inputs.key)[:, None]
        found = (1 - 2 / (1 + products)).transpose(0, 2, 3, 1)
        # float32 holds a and b to half a unit, which e^2(a + b) multiplies
        tolerance = 1e-6 + 4 * float(np.spacing(np.float32(abs(offset) + 30)))
        np.testing.assert_allclose(found, np.tanh(sums), atol=tolerance)

    def test_rows_whose_keys_spread_further_keep_their_values(self):
        key = jnp.stack([jnp.linspace(-3, 3, 8)[:, None], jnp.linspace(-30, 30, 8)[:, None]])
        inputs = Inputs(key, key, key, jnp.ones(1))
        tile = pallas_gpu.Kernel()._tile(inputs, Ranges(None, None), None, backward=False)
        _, keys, exponentials = pallas_gpu._operands(tile, inputs)
        assert exponentials.tolist() == [1, 0]
        np.testing.assert_array_equal(keys[1, 0, :8], key[1, :, 0])


@pytest.mark.parametrize("seed", range(4))
def test_live_blocks_hold_every_pair_and_no_block_outside(seed):
    case = Case("anywhere", anywhere, m=150, n=300)
    _, ranges, _ = problem(case, "dot", seed=seed)
    table = pallas_gpu._query_table(2, 150, 300, ranges, None, None)
    reached = np.zeros((2, 192, 320), bool)
    for b, t in np.ndindex(2, 150):
        reached[b, t, ranges.start[b, t] : ranges.end[b, t] + 1] = True
    blocks = reached.reshape(2, 3, 64, 10, 32).any(axis=(2, 4))
    for (b, i), found in _bounds(pallas_gpu._live_keys(table, 32)):
        assert found == _ends(blocks[b, i])
    blocks = reached.reshape(2, 6, 32, 5, 64).any(axis=(2, 4))
    for (b, i), (first, stop) in _bounds(pallas_gpu._live_queries(table, 320, 32)):
        touched = _ends(blocks[b, :, i])
        assert first <= touched[0]
        assert stop >= touched[1]


def _bounds(live):
    return ((index, tuple(live[index].tolist())) for index in np.ndindex(live.shape[:2]))


def _ends(live):
    where = np.flatnonzero(live)
    return (where[0], where[-1] + 1) if where.size else (0, 0)


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_lowers_for_cuda_to_three_kernels(score, dtype):
    inputs, ranges, sigma = problem(
        Case("local_p", predicted(6), m=130, n=200, d=40, holes=True), score, dtype
    )

    def loss(inputs, centre):
        context = pallas_gpu.attend(inputs, ranges._replace(centre=centre), sigma)
        return context.astype(jnp.float32).sum()

    gradients = jax.jit(jax.grad(loss, argnums=(0, 1), allow_int=True))
    lowered = gradients.trace(inputs, ranges.centre).lower(lowering_platforms=("cuda",)).as_text()
    assert lowered.count("custom_call @mosaic_gpu") == 3


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, None),
        ({"query": (2, 5, 200), "key": (2, 7, 200)}, "200 features"),
        ({"value": (2, 7, 129)}, "values 129"),
        ({"key": (1, 2**24, 4), "value": (1, 2**24, 4)}, "positions"),
        ({"dtype": jnp.float16}, "float16"),
    ],
)
def test_why_not_says_what_does_not_fit(change, words):
    dtype = change.pop("dtype", jnp.float32)
    shapes = {"query": (2, 5, 16), "key": (2, 7, 16), "value": (2, 7, 16), **change}
    inputs = Inputs(**{name: jax.ShapeDtypeStruct(shape, dtype) for name, shape in shapes.items()})
    reason = pallas_gpu.why_not(inputs, Ranges(None, None))
    assert reason is None if words is None else words in reason


@pytest.mark.parametrize(
    ("generation", "served"), [(None, True), ("9.0", True), ("8.0", False), ("10.0", False)]
)
def test_why_not_names_gpus_of_another_generation(monkeypatch, generation, served):
    monkeypatch.setattr(gpu_tiles, "generation", lambda: generation)
    x = jax.ShapeDtypeStruct((1, 4, 16), jnp.float32)
    reason = pallas_gpu.why_not(Inputs(x, x, x), Ranges(None, None))
    assert (reason is None) == served
    assert served or f"compute capability {generation}" in reason
