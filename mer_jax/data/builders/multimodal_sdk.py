"""CMU-MOSEI and CMU-MOSI from the CMU Multimodal SDK's `.csd` files, brought to the clock of the words.

Raw: one folder of computational sequences (labels; words, word vectors or both; audio; video),
told apart by their names, and optionally train.txt, valid.txt and test.txt with video ids.
Source: Zadeh et al. 2018, ACL P18-1208; CMU-MultimodalSDK.
"""

import collections
import contextlib
import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np

from mer_jax.data.builders.nonfinite import FeatureFileBuilder, FeatureFileOptions
from mer_jax.data.builders.sdk_files import FEATURES, ROLES, find_sequences, read_folds
from mer_jax.data.builders.sentiment import (
    CLASSES,
    INTENSITIES,
    SENTIMENT,
    SIGN_NOTE,
    STORED,
    sentiment_class,
)
from mer_jax.data.computational_sequence import ComputationalSequence, Track
from mer_jax.data.facet import without_emotion_scores
from mer_jax.data.schema import UNSPLIT, CorpusSpec, Modality, Utterance
from mer_jax.data.word_alignment import collapse
from mer_jax.data.word_times import SILENCES
from mer_jax.errors import InputError

WORD_ALIGNED = (
    "A step is a word: the mean of the frames that overlap it, zeros where there are none. A word belongs to the "
    "segment that its middle lies in.",
    SIGN_NOTE,
    "The speaker is the video: who speaks in two videos is not known.",
)
NO_FOLDS = (
    "No train.txt, valid.txt and test.txt with video ids: everything is in one split, to be cut into folds."
)


@dataclasses.dataclass(frozen=True)
class SdkOptions(FeatureFileOptions):
    """Which file holds what; a name that is empty is told by the files' names.

    Args:
        labels: File of the segments and their labels.
        words: File of timed words.
        text: File of word vectors.
        audio: File of sound features.
        video: File of face features.
        keep_emotion_scores: Keep FACET's own emotion scores among the video columns.
    """

    labels: str = ""
    words: str = ""
    text: str = ""
    audio: str = ""
    video: str = ""
    keep_emotion_scores: bool = False


@dataclasses.dataclass(frozen=True)
class Clock:
    """The words of a video: their names, empty where only vectors are there, and [words, 2] seconds."""

    words: tuple[str, ...]
    spans: np.ndarray

    def within(self, start: float, end: float) -> "Clock":
        """The words whose middle lies in [start, end)."""
        middle = self.spans.mean(axis=1)
        kept = np.flatnonzero((middle >= start) & (middle < end))
        return Clock(tuple(self.words[k] for k in kept if self.words), self.spans[kept])


class MultimodalSdk(FeatureFileBuilder, skip_registration=True):
    """A corpus in computational sequences. Only the rows under labelled words are read."""

    Options = SdkOptions
    title: ClassVar[str] = ""

    def describe(self) -> CorpusSpec:
        """The spec, with the dimensions the files have."""
        chosen = {role: getattr(self.options, role) for role in ROLES}
        ask = f"pass --data-dir (or set MER_DATA) so that {self.folder}/*.csd lie below it"
        self._paths, unknown = find_sequences(self.source, chosen, ask)
        self._kept: dict[str, tuple[int, ...]] = {}
        self._counts: collections.Counter[str] = collections.Counter()
        notes, modalities = [*WORD_ALIGNED, *_unread(unknown)], []
        for name in FEATURES:
            if name in self._paths:
                modality, found = self._modality(name, self._paths[name])
                modalities.append(modality)
                notes += found
        with ComputationalSequence(self._paths["labels"]) as labels:
            self._levels = _label_columns(labels)
            folds = read_folds(self.source, labels.videos)
            self._folds = folds or {UNSPLIT: labels.videos}
            outside = len(labels.videos) - sum(map(len, self._folds.values()))
        notes += [NO_FOLDS] if folds is None else []
        notes += [f"Labelled videos in no list of ids, left out: {outside}."] if outside else []
        return CorpusSpec(
            name=self.name,
            modalities=tuple(modalities),
            classes=CLASSES if SENTIMENT in self._levels else (),
            intensities=tuple(self._levels),
            splits=tuple(self._folds),
            description=f"{self.title} from the CMU Multimodal SDK's files, a step a word.",
            licence="CMU research corpus.",
            notes=tuple(notes),
        )

    def read(self) -> Mapping[str, Iterator[Utterance]]:
        """Segments by video in the order of the labels' file, in the order of time within it."""
        return {split: self._utterances(videos) for split, videos in self._folds.items()}

    def _generate_examples(self, split: str, rows: Iterable[Utterance]):
        self._counts.clear()
        yield from super()._generate_examples(split, rows)
        notes = tuple(f"{split}: {what}: {count}." for what, count in sorted(self._counts.items()))
        self.spec = dataclasses.replace(self.spec, notes=self.spec.notes + notes)

    def _modality(self, name: str, path: Path) -> tuple[Modality, tuple[str, ...]]:
        with ComputationalSequence(path) as sequence:
            if not sequence.numeric:
                raise InputError(
                    f"{path} holds texts, no features of {name}; name another with --options.{name}"
                )
            if name != "video":
                return Modality(name, sequence.dim, columns=sequence.columns), ()
            facet = "facet" in f"{sequence.name} {path.stem}".lower()
            keep = self.options.keep_emotion_scores
            columns = without_emotion_scores(sequence.dim, sequence.columns, facet=facet, keep=keep)
        self._kept[name] = columns.kept
        return Modality(name, len(columns.kept), columns=columns.names), columns.notes

    def _utterances(self, videos: Iterable[str]) -> Iterator[Utterance]:
        with contextlib.ExitStack() as opened:
            files = {
                role: opened.enter_context(ComputationalSequence(path)) for role, path in self._paths.items()
            }
            for video in videos:
                yield from self._video(video, {role: file for role, file in files.items() if video in file})

    def _video(self, video: str, files: Mapping[str, ComputationalSequence]) -> Iterator[Utterance]:
        clock = _clock(files, video)
        tracks = {name: files[name].track(video) for name in FEATURES if name in files}
        labels = files["labels"].track(video)
        levels = labels.rows(0, len(labels.intervals))
        for number, (start, end) in enumerate(labels.intervals.tolist()):
            spoken = clock.within(start, end)
            if not len(spoken.spans):
                self._counts["segments without a timed word, left out"] += 1
                continue
            features = {name: self._aligned(name, track, spoken.spans) for name, track in tracks.items()}
            intensities = levels[number, list(self._levels.values())].astype(np.float32)
            yield Utterance(
                id=f"{video}[{number}]",
                speaker=video,
                dialogue=video,
                start=start,
                end=end,
                transcript=" ".join(spoken.words),
                features={name: values for name, values in features.items() if values is not None},
                label=sentiment_class(
                    dict(zip(self._levels, intensities.tolist(), strict=True)).get(SENTIMENT, 0.0)
                ),
                intensities=intensities,
                words=spoken.words,
                word_spans=_cut(spoken, start, end),
            )

    def _aligned(self, name: str, track: Track, spans: np.ndarray) -> np.ndarray | None:
        """[words, dim] means, or None where no frame lies under any word."""
        first, stop = track.between(spans[:, 0].min(), spans[:, 1].max())
        rows = track.rows(first, stop)
        rows = rows[:, list(self._kept[name])] if name in self._kept else rows
        if self.options.nan == "zero" and not np.isfinite(rows).all():
            self._counts[f"non-finite values of {name} frames, read as 0 (--nan zero)"] += int(
                (~np.isfinite(rows)).sum()
            )
            rows = np.where(np.isfinite(rows), rows, 0)
        with np.errstate(invalid="ignore"):  # the doctor tells of means that are not finite
            means, counts = collapse(rows, track.intervals[first:stop], spans)
        return means if counts.any() else None


def _unread(paths: Iterable[Path]) -> list[str]:
    return [f"{path.name} was not read: its name tells no use for it." for path in paths]


def _clock(files: Mapping[str, ComputationalSequence], video: str) -> Clock:
    """The words that last, without silences; where there are no words, the intervals of the vectors."""
    source = files.get("words", files.get("text"))
    if source is None:
        return Clock((), np.zeros((0, 2)))
    track = source.track(video)
    words = track.texts() if "words" in files else ()
    spoken = track.intervals[:, 1] > track.intervals[:, 0]
    if words:
        spoken &= [word.lower() not in SILENCES for word in words]
    return Clock(tuple(w for w, here in zip(words, spoken, strict=False) if here), track.intervals[spoken])


def _cut(clock: Clock, start: float, end: float) -> np.ndarray:
    """[words, 2] seconds from the segment's start; none where the words have no names."""
    spans = clock.spans if clock.words else np.zeros((0, 2))
    return (np.clip(spans, start, end) - start).astype(np.float32)


def _label_columns(labels: ComputationalSequence) -> dict[str, int]:
    """Intensity -> column, in the order of `mosei_labels`. Seven columns are MOSEI's, one is sentiment."""
    by_width = {1: (SENTIMENT,), len(STORED): STORED}
    stored = tuple(name.lower() for name in labels.columns)
    if not set(stored) & set(STORED):
        stored = by_width.get(labels.dim, ())
    columns = {name: stored.index(key) for key, name in INTENSITIES.items() if key in stored}
    if not columns or not labels.numeric:
        raise InputError(
            f"{labels.path} has {labels.dim} columns called {list(labels.columns)}; expected sentiment alone or "
            f"{', '.join(STORED)}: name the file of these with --options.labels"
        )
    return columns


class Mosei(MultimodalSdk, skip_registration=True):
    """CMU-MOSEI: about 23,000 segments of 3,300 videos, sentiment and six emotions."""

    folder = "mosei"
    title = "CMU-MOSEI"


class MosiSdk(MultimodalSdk, skip_registration=True):
    """CMU-MOSI: 2,199 segments of 93 videos, sentiment."""

    folder = "mosi_sdk"
    title = "CMU-MOSI"
