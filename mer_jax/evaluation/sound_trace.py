"""The course of a sound in a few numbers, to be drawn beside what shares its time."""

import numpy as np

BINS = 240


def frames_per_bin(frames: int) -> int:
    """The smallest number of frames a bin that gives at most `BINS` bins."""
    return max(1, -(-frames // BINS))


def envelope(samples: np.ndarray) -> np.ndarray:
    """[bins, 2] float32: the lowest and the highest of each bin's samples; samples: [samples]."""
    starts = _starts(samples)
    ends = (np.minimum.reduceat(samples, starts), np.maximum.reduceat(samples, starts))
    return np.stack(ends, axis=1).astype(np.float32)


def root_mean_square(features: np.ndarray) -> np.ndarray:
    """[bins, 2] float32: 0, and sqrt(mean x^2) over a bin's frames and all features of each.

    features: [frames, dim].
    """
    starts = _starts(features)
    sizes = np.diff(starts, append=len(features))
    power = np.square(features, dtype=np.float64).mean(axis=1)
    high = np.sqrt(np.add.reduceat(power, starts) / sizes)
    return np.stack([np.zeros_like(high), high], axis=1).astype(np.float32)


def _starts(frames: np.ndarray) -> np.ndarray:
    return np.arange(0, len(frames), frames_per_bin(len(frames)))
