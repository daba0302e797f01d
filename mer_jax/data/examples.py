"""From utterances to training examples: one utterance, or one dialogue of utterances."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from mer_jax.data.corpus import Corpus
from mer_jax.data.schema import Utterance

Unit = Literal["utterance", "dialogue"]


@dataclasses.dataclass(frozen=True)
class View:
    """How a corpus is looked at.

    modalities: its feature streams, in order.
    unit: an example is one utterance, or one dialogue of utterances.
    frames_per_step: a step of an utterance is the mean of so many consecutive frames.
    """

    modalities: tuple[str, ...]
    unit: Unit = "utterance"
    frames_per_step: int = 1


@dataclasses.dataclass(frozen=True)
class ExampleSet:
    """Sequences of features, and where their targets lie.

    features: modality -> one [time, dim] array per example; length 0 where missing.
    rows: per example the numbers of its utterances in the corpus, [positions].
    targets: per example [positions] classes or [positions, intensities], or None: a test
        set has none, so nothing that trains can see them.
    unit: with "utterance" an example has one position; with "dialogue" position and time
        are the same axis, one step per utterance.
    soft_targets: per example [positions, classes] distributions to learn instead of
        `targets`, or None. Selection and scores use `targets`.
    """

    features: Mapping[str, Sequence[np.ndarray]]
    rows: Sequence[np.ndarray]
    targets: Sequence[np.ndarray] | None
    unit: Unit
    soft_targets: Sequence[np.ndarray] | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def lengths(self, modality: str) -> np.ndarray:
        """[examples] frames of one modality."""
        return np.array([len(x) for x in self.features[modality]], int)


def make_examples(
    corpus: Corpus,
    rows: np.ndarray,
    view: View,
    targets: np.ndarray | None,
    soft_targets: np.ndarray | None = None,
) -> ExampleSet:
    """Examples of the utterances `rows`.

    targets: [utterances of the corpus, ...] or None for a set without targets.
    soft_targets: [utterances of the corpus, classes] or None.
    With unit "dialogue" the utterances of a dialogue follow each other in order of start
    time (stored order where times are unknown), each as the mean over its frames (NaN where
    the modality is missing: scaling fills it).
    """
    per_utterance = view.unit == "utterance"
    groups = [np.array([row]) for row in rows] if per_utterance else _dialogues(corpus, rows)
    features: dict[str, list[np.ndarray]] = {}
    for name in view.modalities:
        dim = corpus.spec.modality(name).dim
        read = _frames if per_utterance else _means
        sequences = [read([corpus.utterances[i] for i in group], name, dim) for group in groups]
        steps = view.frames_per_step if per_utterance else 1
        features[name] = [average_frames(x, steps) for x in sequences]
    labels, soft = (None if t is None else [t[group] for group in groups] for t in (targets, soft_targets))
    return ExampleSet(features, groups, labels, view.unit, soft)


def _dialogues(corpus: Corpus, rows: np.ndarray) -> list[np.ndarray]:
    found: dict[str, list[int]] = {}
    for row in np.sort(rows).tolist():
        found.setdefault(corpus.utterances[row].dialogue, []).append(row)
    starts = corpus.column("start")
    return [np.array(group)[np.argsort(starts[group], kind="stable")] for group in found.values()]


def _frames(utterances: Sequence[Utterance], modality: str, dim: int) -> np.ndarray:
    (utterance,) = utterances
    return utterance.features[modality] if utterance.has(modality) else np.zeros((0, dim), np.float32)


def _means(utterances: Sequence[Utterance], modality: str, dim: int) -> np.ndarray:
    missing = np.full(dim, np.nan, np.float32)
    return np.stack([u.features[modality].mean(axis=0) if u.has(modality) else missing for u in utterances])


def average_frames(frames: np.ndarray, count: int) -> np.ndarray:
    """[ceil(time / count), dim] means of `count` consecutive frames; the last of what is left."""
    if count == 1 or len(frames) == 0:
        return frames
    starts = np.arange(0, len(frames), count)
    sizes = np.diff(np.append(starts, len(frames)))
    return (np.add.reduceat(frames, starts, axis=0) / sizes[:, None]).astype(np.float32)
