"""Sounds in a few numbers: against plain loops and librosa."""

import librosa
import numpy as np
import pytest

from mer_jax.evaluation.sound_trace import BINS, envelope, frames_per_bin, root_mean_square


@pytest.mark.parametrize("count", [1, 7, BINS, BINS + 1, 12_345])
def test_an_envelope_holds_every_bins_lowest_and_highest_sample(count):
    samples = np.random.default_rng(count).uniform(-1, 1, count).astype(np.float32)
    size, found = frames_per_bin(count), envelope(samples)
    parts = [samples[k : k + size] for k in range(0, count, size)]
    assert len(parts) <= BINS
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, [[min(part), max(part)] for part in parts])


def test_bins_are_no_wider_than_they_must_be():
    assert [frames_per_bin(count) for count in (0, 1, BINS, BINS + 1, 2 * BINS, 150_000)] == [
        1,
        1,
        1,
        2,
        2,
        625,
    ]


def test_root_mean_square_of_each_frame_is_that_of_librosa():
    """Each frame's features laid out as the samples of one of librosa's frames."""
    features = np.random.default_rng(0).normal(size=(100, 16)).astype(np.float32)
    found = root_mean_square(features)
    expected = librosa.feature.rms(y=features.ravel(), frame_length=16, hop_length=16, center=False)[0]
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[:, 1], expected, rtol=1e-5)
    assert not found[:, 0].any()


def test_root_mean_square_of_a_bin_is_over_all_its_frames_the_last_ones_too():
    features = np.random.default_rng(0).normal(size=(2 * BINS + 1, 5))
    found = root_mean_square(features)[:, 1]
    parts = [features[k : k + 3] for k in range(0, len(features), 3)]
    assert len(parts[-1]) == 1
    np.testing.assert_allclose(found, [np.sqrt((part**2).mean()) for part in parts], rtol=1e-6)
