"""The one schema every corpus is brought to: an utterance, and the corpus it belongs to.

An utterance is the unit that carries a label. Its features are sequences, one per
modality, each on its own clock; a modality may be missing.
"""

import dataclasses
import hashlib
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

SCHEMA_VERSION = 1
SPLITS = ("train", "dev", "test")
UNSPLIT = "all"
WAVEFORM = "waveform"  # the modality whose frames are samples of sound


@dataclasses.dataclass(frozen=True)
class Modality:
    """One feature stream.

    name: how configs name it (`text`, `audio`, `video`, `face` ...).
    dim: features per frame.
    rate: frames per second; None where frames are words, utterances or irregular.
    columns: a name per feature, or empty.
    """

    name: str
    dim: int
    rate: float | None = None
    columns: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class CorpusSpec:
    """What a corpus holds. `truth` maps a name to a shape (None: any length) and is
    filled by generated corpora only."""

    name: str
    modalities: tuple[Modality, ...] = ()
    classes: tuple[str, ...] = ()
    intensities: tuple[str, ...] = ()
    votes: tuple[str, ...] = ()
    splits: tuple[str, ...] = SPLITS
    truth: Mapping[str, tuple[int | None, ...]] = dataclasses.field(default_factory=dict)
    generated: bool = False
    description: str = ""
    licence: str = ""
    notes: tuple[str, ...] = ()

    def modality(self, name: str) -> Modality:
        """The modality called `name`; KeyError where there is none."""
        return {m.name: m for m in self.modalities}[name]

    @property
    def modality_names(self) -> tuple[str, ...]:
        return tuple(m.name for m in self.modalities)

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


@dataclasses.dataclass(frozen=True)
class Utterance:
    """One labelled stretch of speech.

    id: unique in the corpus.
    start, end: seconds in the recording; NaN where unknown.
    features: modality -> [time, dim] float32; a missing modality is absent.
    label: a name of `CorpusSpec.classes`, or "" where there is none.
    intensities: [len(spec.intensities)] or None.
    votes: [len(spec.votes)] counts or None.
    words, word_spans: the words and their [words, 2] seconds from the utterance's start.
    truth: what a generator knows and a model must not see.
    """

    id: str
    speaker: str
    dialogue: str
    start: float = math.nan
    end: float = math.nan
    transcript: str = ""
    features: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    label: str = ""
    intensities: np.ndarray | None = None
    votes: np.ndarray | None = None
    words: tuple[str, ...] = ()
    word_spans: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros((0, 2), np.float32))
    truth: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)

    def has(self, modality: str) -> bool:
        """Whether the modality is there, with at least one frame."""
        return modality in self.features and len(self.features[modality]) > 0

    def aligned_spans(self) -> np.ndarray:
        """[words, 2] seconds from the utterance's start: where in the sound each word lies, as an
        aligner finds it; empty where nothing is known. A generated sound may lag behind its
        words, and its generator tells by how much."""
        return np.asarray(self.truth.get("alignment", self.word_spans), np.float64).reshape(-1, 2)

    def digest(self) -> bytes:
        """SHA-256 of everything the utterance holds, the same on every machine."""
        sha = hashlib.sha256()
        parts: list[Any] = [self.id, self.speaker, self.dialogue, repr(self.start), repr(self.end)]
        parts += [self.transcript, self.label, *self.words]
        for text in parts:
            sha.update(text.encode() + b"\0")
        arrays = {"intensities": self.intensities, "votes": self.votes, "spans": self.word_spans}
        arrays |= {f"feature/{k}": v for k, v in self.features.items()}
        arrays |= {f"truth/{k}": v for k, v in self.truth.items()}
        for name in sorted(arrays):
            array = arrays[name]
            if array is None or array.size == 0:
                continue
            sha.update(f"{name}{array.shape}".encode())
            sha.update(np.ascontiguousarray(array, dtype="<f4").tobytes())
        return sha.digest()
