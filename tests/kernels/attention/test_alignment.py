"""Ranges of each alignment: by hand from the formulas, and bad input in words."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kernels.attention import Forced, Global, LocalMonotonic, LocalPredictive, SlidingWindow
from kernels.attention.alignment import Size


def spans_of(alignment, size):
    ranges = alignment.ranges(size)
    return [
        [tuple(map(int, pair)) for pair in zip(*row, strict=True)] for row in zip(*ranges[:2], strict=True)
    ]


def test_global_covers_the_true_keys_of_the_true_queries():
    size = Size(2, 2, 5, np.array([2, 1]), np.array([5, 3]))
    assert spans_of(Global(), size) == [[(0, 4), (0, 4)], [(0, 2), (5, -1)]]


def test_diagonal_is_t_n_over_m_of_the_true_lengths():
    # floor(t 10 / 4) = 0, 2, 5, 7; and floor(t 6 / 3) = 0, 2, 4
    size = Size(2, 4, 10, np.array([4, 3]), np.array([10, 6]))
    assert spans_of(LocalMonotonic(1), size) == [
        [(0, 1), (1, 3), (4, 6), (6, 8)],
        [(0, 1), (1, 3), (3, 5), (10, -1)],
    ]


@pytest.mark.parametrize(("width", "keys"), [(0, 1), (1, 1), (2, 3), (3, 3), (64, 65), (65, 65)])
def test_window_is_the_centre_and_half_a_width_on_each_side(width, keys):
    ranges = SlidingWindow(width).ranges(Size(1, 200, 200))
    assert int(ranges.end[0, 100] - ranges.start[0, 100]) + 1 == keys == ranges.most
    assert int(ranges.end[0, 100] + ranges.start[0, 100]) == 200


def test_diagonal_does_not_overflow():
    t = 46_339
    ranges = LocalMonotonic(0).ranges(Size(1, t + 1, 2_000_000_000))
    assert int(ranges.start[0, t]) == t * 2_000_000_000 // (t + 1)


def test_predicted_centre_is_rounded_for_the_range_and_kept_for_the_gaussian():
    centres = jnp.array([[0.4, 3.5, 9.9]])
    ranges = LocalPredictive(2, centres).ranges(Size(1, 3, 10))
    assert spans_of(LocalPredictive(2, centres), Size(1, 3, 10)) == [[(0, 2), (2, 6), (8, 9)]]
    np.testing.assert_array_equal(ranges.centre, centres)
    assert LocalPredictive(2, centres).sigma == 1.0


def test_forced_spans_are_taken_as_they_are_and_silent_words_have_no_key():
    spans = np.array([[0, 1], [4, 3], [2, 6]])
    assert spans_of(Forced(spans), Size(2, 3, 7)) == [[(0, 1), (7, -1), (2, 6)]]
    assert Forced(spans).ranges(Size(2, 3, 7)).most == 5


def test_traced_spans_are_cut_off_at_the_ends():
    ranges = jax.jit(lambda spans: Forced(spans, most=4).ranges(Size(1, 2, 7))[:2])(
        jnp.array([[-2, 1], [5, 9]])
    )
    assert [x.tolist() for x in ranges] == [[[0, 5]], [[1, 6]]]


def test_alignments_with_arrays_pass_through_jit():
    alignment = LocalPredictive(3, jnp.zeros((1, 2)))
    same = jax.jit(lambda a: a)(alignment)
    assert same.half_width == 3
    assert same.centres.shape == (1, 2)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SlidingWindow(-1), r"SlidingWindow\(width=-1\).*integer of at least 0"),
        (lambda: SlidingWindow(True), r"SlidingWindow\(width=True\).*integer"),
        (lambda: LocalMonotonic(-3), r"LocalMonotonic\(half_width=-3\).*at least 0"),
        (lambda: LocalPredictive(0, jnp.zeros((1, 2))), r"LocalPredictive\(half_width=0\).*at least 1"),
        (lambda: Forced(np.zeros((2, 2), int), most=0), r"Forced\(most=0\).*at least 1"),
    ],
)
def test_a_bad_width_is_named_when_it_is_given(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("alignment", "message"),
    [
        (Forced(np.array([[0, 1], [2, 7]])), r"2\.\.7 of query 1 .* outside the keys 0\.\.6"),
        (Forced(np.array([[-1, 1], [2, 3]])), r"-1\.\.1 of query 0 .* outside"),
        (
            Forced(np.array([[3, 5], [0, 1]])),
            r"0\.\.1 of query 1 .*begins at or before key 5.*overlapping=True",
        ),
        (Forced(np.array([[0, 2], [2, 3]])), r"2\.\.3 of query 1 .*begins at or before key 2"),
        (Forced(np.zeros((3, 2), int)), r"Forced.spans has shape \(3, 2\).*\(2, 2\)"),
        (Forced(np.zeros((2, 2))), r"Forced.spans has type float64.*integer"),
        (LocalPredictive(1, jnp.zeros((1, 3))), r"LocalPredictive.centres has shape \(1, 3\).*\(2,\)"),
        (
            LocalPredictive(1, jnp.zeros((1, 2), jnp.int32)),
            r"LocalPredictive.centres has type int32.*floating",
        ),
    ],
)
def test_what_does_not_fit_the_sequences_is_named(alignment, message):
    with pytest.raises(ValueError, match=message):
        alignment.ranges(Size(1, 2, 7))


def test_too_many_queries_for_the_diagonal():
    with pytest.raises(ValueError, match=r"46340.*Forced"):
        SlidingWindow(2).ranges(Size(1, 46_341, 10))
