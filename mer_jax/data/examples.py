"""From utterances to training examples: one utterance, or one dialogue of utterances."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from mer_jax.data.corpus import Corpus
from mer_jax.data.schema import WAVEFORM, Modality, Utterance
from mer_jax.data.vocabulary import WORDS, tokens
from mer_jax.errors import InputError, nearest

Unit = Literal["utterance", "dialogue"]


@dataclasses.dataclass(frozen=True)
class View:
    """How a corpus is looked at.

    modalities: its feature streams, in order; `words` among them: the tokens of what is said.
    unit: an example is one utterance, or one dialogue of utterances.
    frames_per_step: a step of an utterance is the mean of so many consecutive frames (of words
        and waveforms, one).
    longest: `modality=frames`: what a sequence has beyond them is cut off.
    timed: a modality with one step a word, each of which is to carry the time of its word;
        empty: none.
    """

    modalities: tuple[str, ...]
    unit: Unit = "utterance"
    frames_per_step: int = 1
    longest: tuple[str, ...] = ()
    timed: str = ""

    def __post_init__(self) -> None:
        if self.timed and self.timed not in self.modalities:
            raise InputError(
                f"data.timed={self.timed!r} is no modality of the config; {nearest(self.timed, self.modalities)}"
            )
        if self.unit == "dialogue" and (WORDS in self.modalities or self.timed):
            raise InputError(
                "data.unit='dialogue' has one step an utterance and no words; use unit='utterance'"
            )
        for entry in self.longest:
            name, equals, frames = entry.partition("=")
            if not equals or not frames.isdecimal() or int(frames) < 1 or name not in self.modalities:
                raise InputError(
                    f"data.longest entry {entry!r} must read modality=frames with a modality of the config and "
                    f"at least one frame; {nearest(name, self.modalities)}"
                )

    @property
    def streams(self) -> tuple[str, ...]:
        """The modalities that the corpus stores: all but words, which its transcripts hold."""
        return tuple(name for name in self.modalities if name != WORDS)

    def steps(self, modality: str) -> int:
        """Frames that a step of this modality is the mean of."""
        return 1 if self.unit == "dialogue" or modality in (WORDS, WAVEFORM) else self.frames_per_step

    def rate(self, modality: Modality) -> float:
        """Steps per second; 0 where frames have no clock."""
        return (modality.rate or 0.0) / self.steps(modality.name)


@dataclasses.dataclass(frozen=True)
class ExampleSet:
    """Sequences of features, and where their targets lie.

    features: modality -> one [time, dim] array per example; length 0 where missing. Of words the
        tokens, [time, 1] strings, until preprocessing makes ids of them.
    rows: per example the numbers of its utterances in the corpus, [positions].
    targets: per example [positions] classes or [positions, intensities], or None: a test
        set has none, so nothing that trains can see them.
    unit: with "utterance" an example has one position; with "dialogue" position and time
        are the same axis, one step per utterance.
    soft_targets: per example [positions, classes] distributions to learn instead of
        `targets`, or None. Selection and scores use `targets`.
    spans: per example [words, 2] seconds in which each word is spoken, no rows where that is
        not known; or None.
    timed: the modality whose steps these words are.
    """

    features: Mapping[str, Sequence[np.ndarray]]
    rows: Sequence[np.ndarray]
    targets: Sequence[np.ndarray] | None
    unit: Unit
    soft_targets: Sequence[np.ndarray] | None = None
    spans: Sequence[np.ndarray] | None = None
    timed: str = ""

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
    for name in view.streams:
        dim = corpus.spec.modality(name).dim
        read = _frames if per_utterance else _means
        sequences = [read([corpus.utterances[i] for i in group], name, dim) for group in groups]
        features[name] = [average_frames(x, view.steps(name)) for x in sequences]
    if WORDS in view.modalities:
        features[WORDS] = [np.array(tokens(corpus.utterances[row]), np.str_)[:, None] for row in rows]
    labels, soft = (None if t is None else [t[group] for group in groups] for t in (targets, soft_targets))
    spans = None
    if view.timed:
        spans = [
            _spans(corpus.utterances[row], view.timed, len(features[view.timed][i]))
            for i, row in enumerate(rows)
        ]
    for entry in view.longest:
        name, _, frames = entry.partition("=")
        features[name] = [x[: int(frames)] for x in features[name]]
    ordered = {name: features[name] for name in view.modalities}
    return ExampleSet(ordered, groups, labels, view.unit, soft, spans, view.timed)


def _spans(utterance: Utterance, timed: str, steps: int) -> np.ndarray:
    spans = utterance.aligned_spans()
    if steps and len(spans) and len(spans) != steps:
        raise InputError(
            f"utterance {utterance.id!r} has the times of {len(spans)} words and {steps} steps of {timed}; "
            "data.timed needs a modality with one step a word (and data.frames_per_step=1)"
        )
    return spans


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
