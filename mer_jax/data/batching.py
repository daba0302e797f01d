"""Bucketed, padded, masked batches, in an order that depends on seed and epoch alone.

Examples of like length share a bucket, so the number of padded shapes, and with it the
number of compilations, is bounded by the number of buckets.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from flax import struct

from mer_jax.data.examples import ExampleSet


class Batch(struct.PyTreeNode):
    """One padded batch of arrays, on devices or on the host.

    features: modality -> [batch, time, dim] float32, zero beyond an example's end.
    masks: modality -> [batch, time] bool, true on frames that exist.
    targets: [batch, ...] or [batch, time, ...]; zeros in a set without targets.
    weights: [batch] or [batch, time] float32, zero where there is nothing to learn from.
    rows: [batch] or [batch, time] int32 utterance numbers, -1 on padding.
    slots: [batch] int32 place in the whole batch, the same on any number of devices.
    """

    features: Mapping[str, Any]
    masks: Mapping[str, Any]
    targets: Any
    weights: Any
    rows: Any
    slots: Any


@dataclasses.dataclass(frozen=True)
class Buckets:
    """Padded lengths: modality -> [buckets], ascending. With `truncate`, longer sequences
    are cut at the last length; otherwise one more bucket holds them."""

    lengths: Mapping[str, tuple[int, ...]]
    truncate: bool

    @classmethod
    def fit(cls, examples: ExampleSet, count: int, quantile: float = 1.0, multiple: int = 8) -> "Buckets":
        """`count` buckets of about equally many of these examples; the last holds the
        `quantile` of lengths. Lengths are rounded up to `multiple`, except the last one
        under truncation, which is the ceiling of the quantile."""
        table = {}
        for modality in examples.features:
            lengths = examples.lengths(modality)
            edges = np.quantile(lengths, quantile * np.arange(1, count + 1) / count)
            rounded = (np.ceil(edges / multiple) * multiple).astype(int)
            if quantile < 1:
                rounded = np.minimum(rounded, int(np.ceil(edges[-1])))
            table[modality] = tuple(np.maximum(rounded, 1).tolist())
        return cls(table, quantile < 1)

    def covering(self, examples: ExampleSet) -> "Buckets":
        """These buckets, and one more where `examples` are longer and may not be cut."""
        longest = {m: int(examples.lengths(m).max(initial=1)) for m in self.lengths}
        if self.truncate or all(longest[m] <= edges[-1] for m, edges in self.lengths.items()):
            return self
        grown = {m: (*edges, max(edges[-1], longest[m])) for m, edges in self.lengths.items()}
        return dataclasses.replace(self, lengths=grown)

    def assign(self, examples: ExampleSet) -> np.ndarray:
        """[examples] the smallest bucket that holds every modality."""
        numbers = []
        for modality, edges in self.lengths.items():
            found = np.searchsorted(np.array(edges), examples.lengths(modality))
            numbers.append(np.minimum(found, len(edges) - 1))
        return np.max(numbers, axis=0)


def batches(
    examples: ExampleSet,
    buckets: Buckets,
    batch_size: int,
    *,
    order: tuple[int, int] | None = None,
    class_weights: np.ndarray | None = None,
) -> Iterator[Batch]:
    """Every example once. `order` is (seed, epoch) of a shuffle, None for stored order."""
    for bucket, members in plan(examples, buckets, batch_size, order):
        yield _pad(examples, buckets, bucket, members, batch_size, class_weights)


def plan(
    examples: ExampleSet, buckets: Buckets, batch_size: int, order: tuple[int, int] | None = None
) -> list[tuple[int, np.ndarray]]:
    """The (bucket, examples) of each batch. What is left over of a bucket moves up into
    the next, so that at most one batch of an epoch is not full."""
    random = None if order is None else np.random.default_rng(order)
    assigned = buckets.assign(examples)
    last = int(assigned.max())
    left = np.zeros(0, int)
    out: list[tuple[int, np.ndarray]] = []
    for bucket in range(last + 1):
        members = np.concatenate([left, np.flatnonzero(assigned == bucket)])
        if random is not None:
            members = random.permutation(members)
        full = len(members) if bucket == last else len(members) // batch_size * batch_size
        out += [(bucket, members[i : i + batch_size]) for i in range(0, full, batch_size)]
        left = members[full:]
    if random is not None:
        out = [out[i] for i in random.permutation(len(out))]
    return out


def _pad(
    examples: ExampleSet,
    buckets: Buckets,
    bucket: int,
    members: np.ndarray,
    batch_size: int,
    class_weights: np.ndarray | None,
) -> Batch:
    features, masks = {}, {}
    for modality, edges in buckets.lengths.items():
        sequences = [examples.features[modality][i] for i in members]
        features[modality], masks[modality] = _pad_sequences(sequences, batch_size, edges[bucket])
    per_step = examples.unit == "dialogue"
    width = next(iter(buckets.lengths.values()))[bucket] if per_step else 1
    rows = np.full((batch_size, width), -1, np.int32)
    like = np.zeros((1,), np.int32) if examples.targets is None else examples.targets[0]
    targets = np.zeros((batch_size, width, *like.shape[1:]), like.dtype)
    for place, number in enumerate(members):
        count = len(examples.rows[number])
        rows[place, :count] = examples.rows[number]
        if examples.targets is not None:
            targets[place, :count] = examples.targets[number]
    weights = (rows >= 0).astype(np.float32)
    if class_weights is not None:
        weights *= class_weights[targets].astype(np.float32)
    if not per_step:
        rows, targets, weights = rows[:, 0], targets[:, 0], weights[:, 0]
    return Batch(features, masks, targets, weights, rows, np.arange(batch_size, dtype=np.int32))


def _pad_sequences(
    sequences: list[np.ndarray], batch_size: int, length: int
) -> tuple[np.ndarray, np.ndarray]:
    padded = np.zeros((batch_size, length, sequences[0].shape[1]), np.float32)
    mask = np.zeros((batch_size, length), bool)
    for place, frames in enumerate(sequences):
        frames = frames[:length]
        padded[place, : len(frames)] = frames
        mask[place, : len(frames)] = True
    return padded, mask
