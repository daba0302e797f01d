"""Statistics of every feature over all frames, in one pass and little memory."""

import collections
import dataclasses
import hashlib
from collections.abc import Iterator, Sequence

import numpy as np

from mer_jax.data.schema import Utterance

BLOCK_FRAMES = 65536
SAMPLE_FRAMES = 100_000


@dataclasses.dataclass(frozen=True)
class FrameStatistics:
    """Per-feature arrays [dim] over the finite values of all frames.

    low, high: extremes (+inf, -inf where nothing is finite). mean, sd: moments.
    median, quartile_range: from at most `SAMPLE_FRAMES` evenly spaced frames.
    frames, zero_frames: all, and those zero in every feature. nan, infinite: values.
    """

    low: np.ndarray
    high: np.ndarray
    mean: np.ndarray
    sd: np.ndarray
    median: np.ndarray
    quartile_range: np.ndarray
    frames: int
    zero_frames: int
    nan: int
    infinite: int

    @property
    def constant(self) -> np.ndarray:
        """Which features take one value throughout: [dim] bool."""
        return self.low == self.high


def frame_statistics(utterances: Sequence[Utterance], modality: str, dim: int) -> FrameStatistics:
    """Statistics of one modality over the utterances that have it."""
    low, high = np.full(dim, np.inf), np.full(dim, -np.inf)
    total, squares, counts = np.zeros(dim), np.zeros(dim), np.zeros(dim)
    frames = zero_frames = nan = infinite = 0
    every = max(1, -(-_frame_count(utterances, modality) // SAMPLE_FRAMES))
    sampled = [np.zeros((0, dim), np.float32)]
    shift = None
    for block in _blocks(utterances, modality):
        sampled.append(block[-frames % every :: every])
        frames += len(block)
        zero_frames += int((~block.any(axis=1)).sum())
        finite = np.isfinite(block)
        nan += int(np.isnan(block).sum())
        infinite += int(np.isinf(block).sum())
        low = np.minimum(low, np.where(finite, block, np.inf).min(axis=0))
        high = np.maximum(high, np.where(finite, block, -np.inf).max(axis=0))
        values = block.astype(np.float64)
        shift = np.where(finite, values, 0).mean(axis=0) if shift is None else shift
        centred = np.where(finite, values - shift, 0)
        total, squares = total + centred.sum(axis=0), squares + np.einsum("td,td->d", centred, centred)
        counts = counts + finite.sum(axis=0)
    counts = np.maximum(counts, 1)
    mean = total / counts
    median, quartile_range = _quartiles(np.concatenate(sampled))
    return FrameStatistics(
        low=low,
        high=high,
        mean=mean + (0 if shift is None else shift),
        sd=np.sqrt(np.maximum(squares / counts - mean**2, 0)),
        median=median,
        quartile_range=quartile_range,
        frames=frames,
        zero_frames=zero_frames,
        nan=nan,
        infinite=infinite,
    )


def constant_features(utterances: Sequence[Utterance], modality: str, dim: int) -> np.ndarray:
    """Which features take one value in these utterances: [dim] bool; none where there are no frames."""
    first, constant = None, np.ones(dim, bool)
    for block in _blocks(utterances, modality):
        first = block[0] if first is None else first
        constant &= (block == first).all(axis=0)
    return constant & (first is not None)


def equal_features(
    utterances: Sequence[Utterance], modality: str, statistics: FrameStatistics
) -> list[list[int]]:
    """Groups of features, not constant, that are equal in every frame."""
    alike: dict[tuple[float, float], list[int]] = collections.defaultdict(list)
    for index in (~statistics.constant).nonzero()[0]:
        alike[statistics.low[index], statistics.high[index]].append(int(index))
    candidates = [index for group in alike.values() if len(group) > 1 for index in group]
    if not candidates:
        return []
    hashes = [hashlib.blake2b(digest_size=16) for _ in candidates]
    for block in _blocks(utterances, modality):
        columns = np.ascontiguousarray(block[:, candidates].T) + np.float32(0)  # -0 becomes 0
        for digest, column in zip(hashes, columns, strict=True):
            digest.update(column.tobytes())
    groups: dict[bytes, list[int]] = collections.defaultdict(list)
    for index, digest in zip(candidates, hashes, strict=True):
        groups[digest.digest()].append(index)
    return [group for group in groups.values() if len(group) > 1]


def _quartiles(sample: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    usable = sample[np.isfinite(sample).all(axis=1)]
    if not len(usable):
        return np.zeros(sample.shape[1]), np.zeros(sample.shape[1])
    first, median, third = np.percentile(usable.astype(np.float64), [25, 50, 75], axis=0)
    return median, third - first


def _frame_count(utterances: Sequence[Utterance], modality: str) -> int:
    return sum(len(u.features[modality]) for u in utterances if u.has(modality))


def _blocks(utterances: Sequence[Utterance], modality: str) -> Iterator[np.ndarray]:
    """Frames of successive utterances, [about BLOCK_FRAMES, dim] at a time."""
    held: list[np.ndarray] = []
    count = 0
    for utterance in utterances:
        if utterance.has(modality):
            held.append(utterance.features[modality])
            count += len(held[-1])
        if count >= BLOCK_FRAMES:
            yield np.concatenate(held)
            held, count = [], 0
    if held:
        yield np.concatenate(held)
