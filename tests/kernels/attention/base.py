"""The tests that every implementation of attention passes: values and gradients of the reference.

A subclass gives `attend(inputs, ranges, sigma)`.
"""

import dataclasses
from collections.abc import Callable, Container
from typing import Any

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kernels.attention import Forced, Global, LocalMonotonic, LocalPredictive, SlidingWindow, reference
from kernels.attention.alignment import Ranges, Size
from kernels.attention.reference import Inputs


@dataclasses.dataclass(frozen=True)
class Case:
    """One geometry: sizes, alignment (made from a generator of random numbers), lengths, holes."""

    name: str
    align: Callable[[np.random.Generator, Any], Any]
    batch: int = 2
    m: int = 19
    n: int = 47
    d: int = 16
    dv: int = 16
    query_lengths: tuple[int, ...] | None = None
    key_lengths: tuple[int, ...] | None = None
    holes: bool = False


def words(rng: np.random.Generator, case: Any) -> Forced:
    """Spans in order, some silent, none overlapping."""
    ends = np.sort(rng.integers(0, case.n, (case.batch, case.m)), axis=1)
    starts = np.concatenate([np.zeros((case.batch, 1), int), ends[:, :-1] + 1], axis=1)
    return Forced(np.stack([starts, ends], axis=-1))


def anywhere(rng: np.random.Generator, case: Any) -> Forced:
    """Spans in no order, wide and narrow."""
    pair = np.sort(rng.integers(0, case.n, (case.batch, case.m, 2)), axis=-1)
    return Forced(pair, overlapping=True)


def predicted(half_width: int) -> Callable[[np.random.Generator, Any], LocalPredictive]:
    def make(rng, case):
        centres = rng.uniform(0, case.n, (case.batch, case.m))
        return LocalPredictive(half_width, jnp.asarray(centres, jnp.float32))

    return make


CASES = (
    Case("global", lambda rng, case: Global()),
    Case("global_one_key", lambda rng, case: Global(), m=3, n=1),
    Case("global_one_query", lambda rng, case: Global(), m=1, n=70),
    Case("global_ragged", lambda rng, case: Global(), query_lengths=(19, 4), key_lengths=(11, 47)),
    Case("global_holes", lambda rng, case: Global(), holes=True),
    Case("window", lambda rng, case: SlidingWindow(8)),
    Case("window_square", lambda rng, case: SlidingWindow(16), m=96, n=96),
    Case("window_longer_query", lambda rng, case: SlidingWindow(6), m=61, n=23),
    Case("window_wider_than_keys", lambda rng, case: SlidingWindow(500)),
    Case("window_ragged", lambda rng, case: SlidingWindow(8), query_lengths=(7, 19), key_lengths=(47, 5)),
    Case("window_no_keys", lambda rng, case: SlidingWindow(8), query_lengths=(0, 19), key_lengths=(47, 0)),
    Case("window_holes", lambda rng, case: SlidingWindow(8), holes=True, key_lengths=(40, 47)),
    Case("diagonal", lambda rng, case: LocalMonotonic(0)),
    Case("local_m", lambda rng, case: LocalMonotonic(5), m=130, n=200),
    Case("local_p", predicted(4)),
    Case("local_p_ragged", predicted(3), m=70, query_lengths=(70, 9), key_lengths=(30, 47)),
    Case("local_p_holes", predicted(6), holes=True),
    Case("forced", words),
    Case("forced_anywhere", anywhere, m=40),
    Case("forced_ragged", words, query_lengths=(19, 12), key_lengths=(47, 30)),
    Case("values_narrower", lambda rng, case: SlidingWindow(8), dv=3),
    Case("odd_features", lambda rng, case: SlidingWindow(10), d=13, dv=21, m=33),
)
SCORES = ("dot", "additive")


def by_speed(quick: Container[str]) -> list[Any]:
    """The cases as parameters of a test, slow ones but those named."""
    return [pytest.param(c, id=c.name, marks=() if c.name in quick else pytest.mark.slow) for c in CASES]


def problem(case: Case, score: str, dtype=jnp.float32, seed: int = 0):
    """Inputs, ranges and sigma of a case."""
    rng = np.random.default_rng(seed)
    normal = lambda *shape: jnp.asarray(rng.normal(size=shape), dtype)  # noqa: E731
    mask = jnp.asarray(rng.random((case.batch, case.n)) < 0.6) if case.holes else None
    inputs = Inputs(
        normal(case.batch, case.m, case.d),
        normal(case.batch, case.n, case.d),
        normal(case.batch, case.n, case.dv),
        normal(case.d) if score == "additive" else None,
        mask,
    )
    alignment = case.align(rng, case)
    lengths = (None if x is None else np.asarray(x, np.int32) for x in (case.query_lengths, case.key_lengths))
    ranges = alignment.ranges(Size(case.batch, case.m, case.n, *lengths))
    return inputs, ranges, getattr(alignment, "sigma", None)


def with_gradients(attend, inputs: Inputs, ranges: Ranges, sigma: float | None):
    """The context, and the gradients of its product with fixed noise in every input and the centre."""

    def context(query, key, value, score_vector, centre):
        return attend(
            Inputs(query, key, value, score_vector, inputs.key_mask), ranges._replace(centre=centre), sigma
        )

    result, pull = jax.vjp(context, *inputs[:4], ranges.centre)
    noise = np.random.default_rng(7).normal(size=result.shape)
    return result, dict(
        zip(
            ("query", "key", "value", "score_vector", "centre"),
            pull(jnp.asarray(noise, result.dtype)),
            strict=True,
        )
    )


def assert_close(found, wanted, tolerance: float, what: str) -> None:
    """Largest difference, relative to the largest wanted value (at least 1)."""
    found, wanted = np.asarray(found, np.float64), np.asarray(wanted, np.float64)
    assert found.shape == wanted.shape, what
    assert np.isfinite(found).all(), f"{what} is not finite"
    error = np.abs(found - wanted).max() / max(1.0, np.abs(wanted).max())
    assert error <= tolerance, f"{what}: off by {error:.2e}, allowed {tolerance:.0e}"


def assert_agrees(attend, inputs, ranges, sigma, tolerance: float) -> None:
    """Context and all gradients are those of the reference, and of their type."""
    found, gradients = with_gradients(attend, inputs, ranges, sigma)
    wanted, wanted_gradients = with_gradients(reference.attend, inputs, ranges, sigma)
    assert found.dtype == wanted.dtype
    assert_close(found, wanted, tolerance, "context")
    for name, gradient in gradients.items():
        if gradient is not None:
            assert gradient.dtype == wanted_gradients[name].dtype, name
            assert_close(gradient, wanted_gradients[name], tolerance, f"gradient of {name}")


class AttentionTests:
    """What holds for every implementation."""

    tolerance = 1e-5
    half_tolerance = 2e-2  # bfloat16: inputs of 8 bits, accumulated in float32
    drawn = 25
    attend: Callable[[Inputs, Ranges, float | None], Any]

    def agrees(self, inputs, ranges, sigma, tolerance=None):
        assert_agrees(self.attend, inputs, ranges, sigma, tolerance or self.tolerance)

    @pytest.mark.parametrize("score", SCORES)
    @pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
    def test_values_and_gradients_are_those_of_the_reference(self, case, score):
        self.agrees(*problem(case, score))

    @pytest.mark.parametrize("score", SCORES)
    def test_bfloat16_is_accumulated_in_float32(self, score):
        inputs, ranges, sigma = problem(Case("long", lambda rng, case: SlidingWindow(64), m=96, n=160), score)
        half = Inputs(*(None if x is None else x.astype(jnp.bfloat16) for x in inputs))
        single = Inputs(*(None if x is None else x.astype(jnp.float32) for x in half))
        found, gradients = with_gradients(self.attend, half, ranges, sigma)
        wanted, wanted_gradients = with_gradients(reference.attend, single, ranges, sigma)
        assert found.dtype == jnp.bfloat16
        assert_close(found, wanted, 0.5 * self.half_tolerance, "context")
        for name, gradient in gradients.items():
            if gradient is not None:
                assert gradient.dtype == jnp.bfloat16
                assert_close(gradient, wanted_gradients[name], self.half_tolerance, f"gradient of {name}")

    @pytest.mark.parametrize("score", SCORES)
    def test_large_scores_neither_overflow_nor_lose_their_order(self, score):
        inputs, ranges, sigma = problem(Case("window", lambda rng, case: SlidingWindow(8)), score)
        factor = 1.0 if score == "additive" else 30.0
        vector = None if inputs.score_vector is None else 60 * inputs.score_vector
        inputs = inputs._replace(
            query=factor * inputs.query + 1, key=factor * inputs.key, score_vector=vector
        )
        self.agrees(inputs, ranges, sigma, tolerance=20 * self.tolerance)

    def test_additive_scores_saturate_without_nan(self):
        inputs, ranges, sigma = problem(Case("window", lambda rng, case: SlidingWindow(8)), "additive")
        self.agrees(inputs._replace(query=60 * inputs.query, key=60 * inputs.key), ranges, sigma)

    @pytest.mark.parametrize("score", SCORES)
    def test_ranges_known_only_when_running_give_the_same(self, score):
        case = Case("window", lambda rng, case: SlidingWindow(8), key_lengths=(47, 20), m=75)
        inputs, ranges, sigma = problem(case, score)

        @jax.jit
        def traced(inputs, start, end):
            return with_gradients(self.attend, inputs, Ranges(start, end), sigma)

        found, gradients = traced(inputs, jnp.asarray(ranges.start), jnp.asarray(ranges.end))
        wanted, wanted_gradients = with_gradients(reference.attend, inputs, ranges, sigma)
        assert_close(found, wanted, self.tolerance, "context")
        for name in ("query", "key", "value"):
            assert_close(gradients[name], wanted_gradients[name], self.tolerance, f"gradient of {name}")

    @pytest.mark.parametrize("score", SCORES)
    def test_drawn_geometries(self, score):
        @hypothesis.settings(max_examples=self.drawn, deadline=None, derandomize=True, database=None)
        @hypothesis.given(
            sizes=st.tuples(
                st.integers(1, 3), st.sampled_from((1, 5, 64, 81)), st.sampled_from((1, 7, 64, 133))
            ),
            seed=st.integers(0, 2**16),
            holes=st.booleans(),
            gaussian=st.booleans(),
            make=st.sampled_from((words, anywhere)),
        )
        def drawn(sizes, seed, holes, gaussian, make):
            batch, m, n = sizes
            case = Case("drawn", make, batch=batch, m=m, n=n, d=8, dv=8, holes=holes)
            inputs, ranges, sigma = problem(case, score, seed=seed)
            if gaussian:
                centre = np.random.default_rng(seed).uniform(0, n, (batch, m))
                ranges, sigma = ranges._replace(centre=jnp.asarray(centre, jnp.float32)), 5.0
            self.agrees(inputs, ranges, sigma)

        drawn()

    @pytest.mark.parametrize("score", SCORES)
    def test_vmap_over_a_new_axis(self, score):
        inputs, ranges, sigma = problem(Case("window", lambda rng, case: SlidingWindow(8)), score)
        stacked = jnp.stack([inputs.query, inputs.query + 1])
        mapped = jax.vmap(lambda query: self.attend(inputs._replace(query=query), ranges, sigma))(stacked)
        for query, found in zip(stacked, mapped, strict=True):
            assert_close(
                found,
                reference.attend(inputs._replace(query=query), ranges, sigma),
                self.tolerance,
                "context",
            )
