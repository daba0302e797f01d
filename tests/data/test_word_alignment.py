"""The reference is the SDK's definition, a loop over words and frames, written out below."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mer_jax.data.word_alignment import TOLERANCE, collapse, overlapping


def by_loop(features, frames, spans):
    means, counts = np.zeros((len(spans), features.shape[1])), np.zeros(len(spans), int)
    for number, (start, end) in enumerate(spans):
        under = [
            row
            for row, (begin, stop) in zip(features, frames, strict=True)
            if min(end, stop) - max(start, begin) > TOLERANCE
        ]
        counts[number] = len(under)
        if under:
            means[number] = np.mean(np.array(under, np.float64), axis=0)
    return means, counts


def agree(features, frames, spans):
    means, counts = collapse(features, frames, spans)
    expected, expected_counts = by_loop(features, frames, spans)
    np.testing.assert_array_equal(counts, expected_counts)
    np.testing.assert_allclose(means, expected, rtol=1e-6, atol=1e-7)
    assert means.dtype == np.float32


def test_a_word_is_the_mean_of_its_frames_by_hand():
    frames = np.array([[0, 1], [1, 2], [2, 3], [3, 4.0]])
    spans = np.array([[0.5, 2.5], [3.0, 3.2], [9, 10], [1.0, 2.0]])
    means, counts = collapse(np.array([[1.0], [2], [6], [8]]), frames, spans)
    np.testing.assert_allclose(means[:, 0], [3, 8, 0, 2])
    assert counts.tolist() == [3, 1, 0, 1]


def test_pairs_come_by_span_then_frame():
    span, frame = overlapping(np.array([[1, 3.0], [0, 1]]), np.array([[0, 1], [1, 2], [2, 3.0]]))
    assert (span.tolist(), frame.tolist()) == ([0, 0, 1], [1, 2, 0])


def test_touching_and_rounding_are_no_overlap():
    frames = np.array([[0, 1.0], [1, 2]])
    assert collapse(np.ones((2, 1)), frames, np.array([[1.00005, 1.9]]))[1].tolist() == [1]
    assert collapse(np.ones((2, 1)), frames, np.array([[0.99995, 1.9]]))[1].tolist() == [1]
    assert collapse(np.ones((2, 1)), frames, np.array([[0.99, 1.9], [0.5, 0.5]]))[1].tolist() == [2, 0]


def test_a_bad_frame_spoils_its_own_word_alone():
    frames = np.array([[0, 1.0], [1, 2], [2, 3]])
    means, _ = collapse(np.array([[np.nan], [-np.inf], [5.0]], np.float32), frames, frames)
    np.testing.assert_array_equal(means[:, 0], np.array([np.nan, -np.inf, 5], np.float32))


@pytest.mark.parametrize(("words", "count"), [(0, 5), (4, 0), (0, 0)])
def test_nothing_to_align(words, count):
    means, counts = collapse(np.ones((count, 3)), np.zeros((count, 2)), np.ones((words, 2)))
    assert means.shape == (words, 3)
    assert counts.tolist() == [0] * words


def test_frames_of_a_clip_at_100_per_second_as_float32():
    rng = np.random.default_rng(0)
    edges = np.arange(800, 803, 0.01, dtype=np.float32)
    frames = np.stack([edges, edges + np.float32(0.01)], axis=1).astype(np.float64)
    cuts = np.sort(rng.uniform(800, 803, 9))
    agree(
        rng.normal(size=(len(frames), 4)).astype(np.float32), frames, np.stack([cuts[:-1], cuts[1:]], axis=1)
    )


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), count=st.integers(0, 12), words=st.integers(0, 6))
def test_it_equals_the_loop_with_gaps_overlaps_and_frames_of_no_length(seed, count, words):
    rng = np.random.default_rng(seed)
    times = lambda n: np.round(rng.uniform(0, 3, (n, 1)) + np.array([0, 1]) * rng.uniform(0, 2, (n, 1)), 1)  # noqa: E731
    frames = times(count)
    frames = frames[np.argsort(frames[:, 0], kind="stable")]
    agree(rng.normal(size=(count, 2)), frames, times(words))
