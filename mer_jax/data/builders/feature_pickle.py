"""What the pickled feature files of MulT and of MMSA share: padded arrays per split, brought to utterances."""

import abc
import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from mer_jax.data.array_pickle import read_pickle
from mer_jax.data.builders.nonfinite import FeatureFileBuilder, FeatureFileOptions
from mer_jax.data.builders.raw_files import damaged
from mer_jax.data.builders.sentiment import CLASSES, SENTIMENT, sentiment_class
from mer_jax.data.facet import FACET_41, FACET_41_SELECTED, FACET_42, without_emotion_scores
from mer_jax.data.schema import CorpusSpec, Modality, Utterance
from mer_jax.errors import InputError, nearest

SPLITS = {"train": "train", "dev": "valid", "test": "test"}
KEYS = {"text": "text", "audio": "audio", "video": "vision"}
FACET_WIDTHS = frozenset({len(FACET_42), len(FACET_41), FACET_41_SELECTED})


@dataclasses.dataclass(frozen=True)
class PickleOptions(FeatureFileOptions):
    """What to read of the pickle.

    Args:
        file: Its name below the corpus' folder; empty for the only one there.
        keep_emotion_scores: Keep FACET's own emotion scores among the video columns.
    """

    file: str = ""
    keep_emotion_scores: bool = False


@dataclasses.dataclass(frozen=True)
class Part:
    """One split, n utterances.

    who: id, video, start and end of each. features: modality -> [n, time, dim].
    filled: modality -> [n, time], whether a frame is no padding.
    levels: intensity -> [n]. transcripts: [n].
    """

    who: tuple[tuple[str, str, float, float], ...]
    features: Mapping[str, np.ndarray]
    filled: Mapping[str, np.ndarray]
    levels: Mapping[str, np.ndarray]
    transcripts: tuple[str, ...]


class FeaturePickle(FeatureFileBuilder, skip_registration=True):
    """A corpus in one pickle: split -> name -> array. The whole file is held in memory."""

    Options = PickleOptions
    made_by: ClassVar[str] = ""
    notes: ClassVar[tuple[str, ...]] = ()

    @abc.abstractmethod
    def part(self, fields: "Fields", split: str) -> Part:
        """One split of the file. Raises InputError."""

    def describe(self) -> CorpusSpec:
        """The spec, with the dimensions the file has."""
        path = self._path()
        content = read_pickle(path)
        if not isinstance(content, dict) or not set(SPLITS.values()) & set(content):
            held = (
                f"keys {sorted(map(str, content))}" if isinstance(content, dict) else type(content).__name__
            )
            raise InputError(
                f"{path} holds {held}; expected train, valid and test, as {self.made_by} writes them"
            )
        self._parts = {
            split: self.part(Fields(path, key, content[key]), split)
            for split, key in SPLITS.items()
            if key in content
        }
        dims = self._dims(path)
        facet, keep = dims["video"] in FACET_WIDTHS, self.options.keep_emotion_scores
        video = without_emotion_scores(dims["video"], facet=facet, keep=keep)
        self._kept = list(video.kept)
        intensities = tuple(next(iter(self._parts.values())).levels)
        named = {"video": Modality("video", len(video.kept), columns=video.names)}
        return CorpusSpec(
            name=self.name,
            modalities=tuple(named.get(name, Modality(name, dim)) for name, dim in dims.items()),
            classes=CLASSES if SENTIMENT in intensities else (),
            intensities=intensities,
            splits=tuple(self._parts),
            description=f"{path.name}, a feature file of {self.made_by}.",
            licence="The licence of the corpus whose features these are.",
            notes=(*self.notes, *video.notes),
        )

    def read(self) -> Mapping[str, Iterator[Utterance]]:
        """Utterances in the order of the file."""
        return {split: self._utterances(part) for split, part in self._parts.items()}

    def _path(self) -> Path:
        if self.options.file:
            return self.require(self.options.file)
        found = sorted(path for kind in ("*.pkl", "*.pickle") for path in self.source.glob(kind))
        if len(found) != 1:
            listed = ", ".join(path.name for path in found) or "none"
            raise InputError(
                f"{self.source} has to hold one .pkl file, and holds {listed}; pass --data-dir (or set MER_DATA) so "
                f"that {self.folder}/ lies below it, or name the file with --options.file"
            )
        return found[0]

    def _dims(self, path: Path) -> dict[str, int]:
        found = {name: {part.features[name].shape[2] for part in self._parts.values()} for name in KEYS}
        for name, dims in found.items():
            if len(dims) > 1:
                raise damaged(path, f"its splits have {sorted(dims)} features of {name}")
        return {name: dims.pop() for name, dims in found.items()}

    def _utterances(self, part: Part) -> Iterator[Utterance]:
        for index, (name, video, start, end) in enumerate(part.who):
            levels = np.array([values[index] for values in part.levels.values()], np.float32)
            sentiment = float(part.levels[SENTIMENT][index]) if SENTIMENT in part.levels else 0.0
            yield Utterance(
                id=name,
                speaker=video,
                dialogue=video,
                start=start,
                end=end,
                transcript=part.transcripts[index],
                features=self._spoken(part, index),
                label=sentiment_class(sentiment),
                intensities=levels,
            )

    def _spoken(self, part: Part, index: int) -> dict[str, np.ndarray]:
        """The frames between the first and the last that are filled in: in any modality where all
        are on one clock, else in their own. A modality with none is missing."""
        filled = {name: mask[index] for name, mask in part.filled.items()}
        if len({len(mask) for mask in filled.values()}) == 1:
            common = np.any(list(filled.values()), axis=0)
            steps = {name: _extent(common) for name, mask in filled.items() if mask.any()}
        else:
            steps = {name: _extent(mask) for name, mask in filled.items() if mask.any()}
        frames = {name: part.features[name][index][where] for name, where in steps.items()}
        if "video" in frames:
            frames["video"] = frames["video"][:, self._kept]
        return {name: values.astype(np.float32) for name, values in frames.items()}


def _extent(filled: np.ndarray) -> slice:
    where = filled.nonzero()[0]
    return slice(int(where[0]), int(where[-1]) + 1)


@dataclasses.dataclass(frozen=True)
class Fields:
    """The named arrays of one split, with errors that say where they are."""

    path: Path
    key: str
    content: Any

    def __contains__(self, name: str) -> bool:
        return name in self.content

    def array(self, name: str, like: str = "text") -> np.ndarray:
        """A field with as many rows as the field `like`. Raises InputError."""
        if not isinstance(self.content, dict) or name not in self.content:
            known = self.content if isinstance(self.content, dict) else ()
            raise InputError(f"{self.path}: {self.key} has no {name!r}; {nearest(name, map(str, known))}")
        try:
            values = np.asarray(self.content[name])
        except ValueError as error:
            raise damaged(self.path, f"{self.key}: {name} is no array: {error}") from error
        if name != like and len(values) != len(self.array(like)):
            raise damaged(
                self.path, f"{self.key}: {len(values)} of {name}, {len(self.array(like))} of {like}"
            )
        return values

    def numbers(self, name: str, shape: str) -> np.ndarray:
        """A field of numbers of `shape`, whose words are its axes. Raises InputError."""
        values = self.array(name)
        if values.dtype.kind not in "fiub" or values.ndim != len(shape.split()):
            raise damaged(
                self.path,
                f"{self.key}: {name} is {list(values.shape)} of type {values.dtype}, not [{shape}] numbers",
            )
        return values

    def streams(self) -> dict[str, np.ndarray]:
        """The three modalities, [n, time, dim]."""
        return {name: self.numbers(key, "n time dim") for name, key in KEYS.items()}


def filled_frames(values: np.ndarray) -> np.ndarray:
    """[n, time] whether a frame of [n, time, dim] has anything but zeros."""
    return np.asarray(values.any(axis=2))


def text_of(value: Any) -> str:
    """A text as pickles of Python 2 and 3 hold it."""
    return value.decode() if isinstance(value, bytes) else str(value)
