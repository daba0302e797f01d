"""Frames brought to the clock of the words: each word's mean over the frames it overlaps.

As the CMU Multimodal SDK's `align` with a mean as collapse function, one array operation a
segment in place of a loop over words and frames.
"""

import numpy as np

TOLERANCE = 1e-4  # seconds; files keep times of 1000 s as float32, good to 6e-5


def overlapping(spans: np.ndarray, frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Every pair of a span and a frame that share more than `TOLERANCE`, by span, then frame.

    spans: [m, 2] seconds, in any order. frames: [n, 2] seconds in order of start; they may
        overlap, be of any length, and leave gaps.
    Returns the number of the span and that of the frame, [pairs] each.
    """
    reached = np.maximum.accumulate(frames[:, 1])
    first = np.searchsorted(reached, spans[:, 0], side="right")
    stop = np.searchsorted(frames[:, 0], spans[:, 1], side="left")
    counts = np.maximum(stop - first, 0)
    span = np.repeat(np.arange(len(spans)), counts)
    frame = np.arange(len(span)) + np.repeat(first - np.cumsum(counts) + counts, counts)
    begin = np.maximum(spans[span, 0], frames[frame, 0])
    shared = np.minimum(spans[span, 1], frames[frame, 1]) - begin > TOLERANCE
    return span[shared], frame[shared]


def collapse(features: np.ndarray, frames: np.ndarray, spans: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mean of the frames that each span overlaps, all of them with the same weight.

    features: [n, dim]. frames: [n, 2] seconds in order of start. spans: [m, 2] seconds.
    Returns [m, dim] float32, zeros where a span overlaps no frame, and the [m] counts of frames.
    """
    means = np.zeros((len(spans), features.shape[1]), np.float32)
    span, frame = overlapping(spans, frames)
    counts = np.bincount(span, minlength=len(spans))
    if len(span):
        starts = np.flatnonzero(np.diff(span, prepend=-1))
        sums = np.add.reduceat(features[frame], starts, axis=0, dtype=np.float64)
        means[span[starts]] = sums / counts[span[starts], None]
    return means, counts
