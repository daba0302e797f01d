"""How attention is timed: turns, medians, what XLA takes; and the named shapes."""

import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from kernels.attention import shapes
from kernels.attention.bench import (
    FEWEST,
    Program,
    compiled,
    forward_and_backward,
    in_turns,
    size,
    stopwatch,
    summary,
)
from kernels.attention.shapes import REAL, SHAPES, SQUARE, Shape


def test_shapes_have_names_of_their_own_and_say_where_they_come_from():
    assert len(SHAPES) == len(REAL) + len(SQUARE)
    assert all(len(shape.source) > 20 and shape.name == name for name, shape in SHAPES.items())
    assert {"mosei_unaligned_50x500", "meld_dialogue_33", "iemocap_128x60"} < set(SHAPES)
    assert all(shape.square and (shape.batch, shape.d) == (8, 64) for shape in SQUARE)


@pytest.mark.parametrize("field", ["batch", "m", "n", "d"])
def test_a_shape_of_nothing_is_refused_with_its_name(field):
    sizes = {"batch": 1, "m": 2, "n": 3, "d": 4} | {field: 0}
    with pytest.raises(ValueError, match=f"Shape 'odd': {field} is 0; give an integer of at least 1"):
        Shape("odd", **sizes, source="")


def test_the_squares_hold_the_lengths_that_are_asked_for():
    assert {256, 1024, 4096, 8192} <= {shape.m for shape in SQUARE}
    assert shapes.square(77).name == "square_77"


def test_a_program_runs_with_its_arguments_and_tells_what_xla_takes():
    def function(x, y):
        square = x @ y  # too large for its place in the result
        return jnp.sin(square) @ x

    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(512, 8)).astype(np.float32), rng.normal(size=(8, 512)).astype(np.float32)
    program = compiled(function, jnp.asarray(x), jnp.asarray(y))
    assert isinstance(program, Program)
    np.testing.assert_allclose(program.run(), np.sin(x @ y) @ x, rtol=2e-4, atol=2e-3)
    assert program.temporary >= 512 * 512 * 4
    assert program.compile_ms > 0


def test_forward_and_backward_gives_the_result_and_every_gradient():
    operands = {"a": jnp.asarray([2.0, 3.0]), "b": jnp.asarray([5.0, 7.0])}
    both = jax.jit(forward_and_backward(lambda o: o["a"] ** 2 * o["b"]))
    result, gradients = both(operands, jnp.asarray([1.0, 10.0]))
    np.testing.assert_allclose(result, [20, 63], rtol=1e-6)
    np.testing.assert_allclose(gradients["a"], [2 * 2 * 5, 10 * 2 * 3 * 7], rtol=1e-6)
    np.testing.assert_allclose(gradients["b"], [4, 10 * 9], rtol=1e-6)


def test_a_stopwatch_warms_up_what_is_quick_and_does_not_count_it():
    calls = []

    def run():
        calls.append(time.perf_counter())
        time.sleep(0.02)
        return np.zeros(1)

    measure = stopwatch(run)
    assert measure() >= 20
    assert len(calls) == 1
    assert 20 <= measure() < 1e3 * (time.perf_counter() - calls[1])
    assert len(calls) == 3


@pytest.mark.parametrize("queued", [False, True])
def test_a_turn_makes_a_quick_call_many_times(queued):
    calls = []
    measure = stopwatch(lambda: calls.append(0) or np.zeros(1), queued=queued)
    measure()
    assert len(calls) == 1
    measure()
    assert len(calls) > 3


def ticking(name, log, milliseconds):
    def call():
        log.append(name)
        return milliseconds

    return call


def test_each_round_has_everyone_once_in_an_order_that_changes_and_repeats():
    orders = []
    for _ in range(2):
        log = []
        times = in_turns({name: ticking(name, log, 1.0) for name in "abc"}, 8, seed=3)
        assert {name: len(found) for name, found in times.items()} == dict.fromkeys("abc", 8)
        orders.append(rounds_of(log))
    assert orders[0] == orders[1]
    assert all(sorted(one) == list("abc") for one in orders[0])
    assert len(set(orders[0])) > 1


def rounds_of(log):
    return [tuple(log[k : k + 3]) for k in range(0, len(log), 3)]


def test_a_slow_call_drops_out_after_its_third_round():
    log = []
    calls = {"slow": ticking("slow", log, 4000.0), "quick": ticking("quick", log, 1.0)}
    times = in_turns(calls, 10, seconds=5.0)
    assert (len(times["slow"]), len(times["quick"])) == (FEWEST, 10)
    assert len(in_turns({"slow": ticking("slow", log, 4000.0)}, 2, seconds=5.0)["slow"]) == 2


def test_no_round_is_no_measurement():
    with pytest.raises(ValueError, match="rounds is 0; give an integer of at least 1"):
        in_turns({}, 0)


def test_a_summary_is_median_and_interquartile_range():
    times = np.random.default_rng(0).exponential(size=31).tolist()
    found = summary(times)
    assert found == pytest.approx((np.median(times), scipy.stats.iqr(times), 31))


def test_size_counts_every_array_of_a_result():
    assert size((jnp.zeros((3, 5)), {"a": np.zeros(7, np.int16)})) == 60 + 14
