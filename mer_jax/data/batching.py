"""Bucketed, padded, masked batches, in an order that depends on seed and epoch alone.

Examples of like length share a bucket, so the number of padded shapes, and with it the
number of compilations, is bounded by the number of buckets.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import jax
import numpy as np
from flax import struct
from numpy.typing import DTypeLike

from mer_jax.data.examples import ExampleSet
from mer_jax.data.vocabulary import WORDS

Masks = Literal["true", "nonzero"]


class Batch(struct.PyTreeNode):
    """One padded batch of arrays, on devices or on the host.

    features: modality -> [batch, time, dim] float32, zero beyond an example's end.
    masks: modality -> [batch, time] bool, true on frames that exist (see `Buckets.masks`).
    targets: [batch, ...] or [batch, time, ...]; zeros in a set without targets.
    weights: [batch] or [batch, time] float32, zero where there is nothing to learn from.
    rows: [batch] or [batch, time] int32 utterance numbers, -1 on padding.
    slots: [batch] int32 place in the whole batch, the same on any number of devices.
    soft_targets: [..., classes] float32 with the axes of `targets`, zeros on padding; None
        where hard targets are learned.
    spans: [batch, time of the examples' `timed` modality, 2] float32, the seconds in which each
        word is spoken, (0, -1) where that is not known or there is no word; or None.
    """

    features: Mapping[str, Any]
    masks: Mapping[str, Any]
    targets: Any
    weights: Any
    rows: Any
    slots: Any
    soft_targets: Any = None
    spans: Any = None


@dataclasses.dataclass(frozen=True)
class Buckets:
    """Padded lengths: modality -> [buckets], ascending. With `truncate`, longer sequences
    are cut at the last length; otherwise one more bucket holds them.

    masks: "true" masks padding; "nonzero" masks every frame whose features are all zero, as
    Keras' Masking(0) does, and so can't tell a true zero from padding (words aside, whose zero
    is an unknown one).
    """

    lengths: Mapping[str, tuple[int, ...]]
    truncate: bool
    masks: Masks = "true"

    @classmethod
    def fit(
        cls,
        examples: ExampleSet,
        count: int,
        quantile: float = 1.0,
        multiple: int = 8,
        masks: Masks = "true",
    ) -> "Buckets":
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
        return cls(table, quantile < 1, masks)

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


def stacked_batches(
    examples: ExampleSet,
    buckets: Buckets,
    batch_size: int,
    *,
    seeds: Sequence[int],
    epoch: int,
    class_weights: np.ndarray | None = None,
) -> Iterator[Batch]:
    """The batches of trainings with several seeds, step by step: [seeds, batch, ...] arrays
    that hold, for each seed, what `batches` gives for order (seed, epoch)."""
    plans = [plan(examples, buckets, batch_size, (seed, epoch)) for seed in seeds]
    for step in zip(*plans, strict=True):
        parts = [_pad(examples, buckets, b, m, batch_size, class_weights) for b, m in step]
        yield jax.tree.map(lambda *leaves: np.stack(leaves), *parts)


def largest_batch(examples: ExampleSet, buckets: Buckets, batch_size: int) -> Batch:
    """A batch of the largest padded shape that `examples` need."""
    bucket, members = max(plan(examples, buckets, batch_size), key=lambda entry: entry[0])
    return _pad(examples, buckets, bucket, members, batch_size, None)


def plan(
    examples: ExampleSet, buckets: Buckets, batch_size: int, order: tuple[int, int] | None = None
) -> list[tuple[int, np.ndarray]]:
    """The (bucket, examples) of each batch. What is left over of a bucket moves up into
    the next, so that at most one batch of an epoch is not full.

    Which examples meet depends on seed and epoch, the sequence of buckets on the epoch
    alone: trainings with different seeds have batches of the same shapes at every step."""
    random = None if order is None else np.random.default_rng(order)
    epoch = 0 if order is None else order[1]
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
        out = [out[i] for i in np.random.default_rng(epoch).permutation(len(out))]
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
        features[modality], mask = _pad_sequences(sequences, batch_size, edges[bucket])
        by_value = buckets.masks == "nonzero" and modality != WORDS
        masks[modality] = features[modality].any(axis=2) if by_value else mask
    per_step = examples.unit == "dialogue"
    width = next(iter(buckets.lengths.values()))[bucket] if per_step else 1
    shape = (batch_size, width)
    rows = _pad_positions([examples.rows[i] for i in members], shape, np.int32, -1)
    targets, soft = np.zeros(shape, np.int32), None
    if examples.targets is not None:
        targets = _pad_positions([examples.targets[i] for i in members], shape, examples.targets[0].dtype)
    if examples.soft_targets is not None:
        soft = _pad_positions([examples.soft_targets[i] for i in members], shape, np.float32)
    weights = (rows >= 0).astype(np.float32)
    if class_weights is not None:
        weights *= class_weights[targets].astype(np.float32)
    if not per_step:
        rows, targets, weights = rows[:, 0], targets[:, 0], weights[:, 0]
        soft = None if soft is None else soft[:, 0]
    slots = np.arange(batch_size, dtype=np.int32)
    return Batch(features, masks, targets, weights, rows, slots, soft, _spans(examples, members, features))


def _spans(
    examples: ExampleSet, members: np.ndarray, features: Mapping[str, np.ndarray]
) -> np.ndarray | None:
    if examples.spans is None:
        return None
    size, time, _ = features[examples.timed].shape
    padded = np.tile(np.array([0, -1], np.float32), (size, time, 1))
    for place, member in enumerate(members):
        spans = examples.spans[member][:time]
        padded[place, : len(spans)] = spans
    return padded


def _pad_positions(
    values: list[np.ndarray], shape: tuple[int, int], dtype: DTypeLike, fill: int = 0
) -> np.ndarray:
    """[batch, positions, ...] of one [positions, ...] array per example, `fill` elsewhere."""
    padded = np.full((*shape, *values[0].shape[1:]), fill, dtype)
    for place, value in enumerate(values):
        padded[place, : len(value)] = value
    return padded


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
