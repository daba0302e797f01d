"""What every corpus builder shares: the schema as TFDS features, in array_record files.

A corpus is a subclass of `CorpusBuilder` that says what it holds (`describe`) and yields
its utterances (`read`). TFDS writes and reads the files; TensorFlow is never imported.
"""

import abc
import dataclasses
import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds

from mer_jax.data.schema import UNSPLIT, CorpusSpec, Utterance
from mer_jax.errors import InputError


@dataclasses.dataclass(frozen=True)
class NoOptions:
    """This corpus has no options."""


class _LocalInfo(tfds.core.DatasetInfo):
    def initialize_from_bucket(self) -> None:
        """Never looks for metadata outside this machine."""


class CorpusBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """A TFDS builder for one corpus.

    Subclasses set `folder` (where the raw files lie below the data directory; "" for
    none), `Options` (a frozen dataclass whose fields become flags of `prepare_data`),
    `VERSION`, and define `describe` and `read`.
    """

    VERSION = tfds.core.Version("1.0.0")
    Options: ClassVar[type] = NoOptions
    folder: ClassVar[str] = ""
    url_infos: ClassVar[Mapping[str, Any]] = {}  # nothing is downloaded, so TFDS has no checksums to look for

    def __init__(self, source: str | os.PathLike[str] | None, options: Any = None, *, data_dir: str):
        self.source = Path(source) if source is not None else Path()
        self.options = self.Options() if options is None else options
        self.spec = self.describe()
        self.digest = hashlib.sha256()
        super().__init__(data_dir=data_dir, file_format="array_record")

    @abc.abstractmethod
    def describe(self) -> CorpusSpec:
        """What the corpus holds. Checks that the raw files exist: raises InputError."""

    @abc.abstractmethod
    def read(self) -> Mapping[str, Iterable[Utterance]]:
        """Utterances of each stored split, in a fixed order."""

    def require(self, *names: str) -> Path:
        """A raw file below `source`, or an InputError that says what to do."""
        path = self.source.joinpath(*names)
        if not path.exists():
            raise InputError(
                f"{self.name}: {path} does not exist; pass --data-dir (or set MER_DATA) so that "
                f"{self.folder}/{'/'.join(names)} lies below it"
            )
        return path

    def _info(self) -> tfds.core.DatasetInfo:
        return _LocalInfo(builder=self, features=features(self.spec), disable_shuffling=True)

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator[tuple[int, dict[str, Any]]]]:
        del dl_manager
        # TFDS keeps the name "all" for the union of splits: reading "all" gives it back.
        return {
            "unsplit" if split == UNSPLIT else split: self._generate_examples(split, rows)
            for split, rows in self.read().items()
        }

    def _generate_examples(self, split: str, rows: Iterable[Utterance]):
        for number, utterance in enumerate(rows):
            self.digest.update(split.encode() + utterance.digest())
            yield number, encode(utterance, self.spec)


def features(spec: CorpusSpec) -> tfds.features.FeaturesDict:
    """The schema of `spec` as TFDS features."""
    tensor = tfds.features.Tensor
    table: dict[str, Any] = {
        name: tfds.features.Text() for name in ("id", "speaker", "dialogue", "transcript", "label")
    }
    table |= {name: tensor(shape=(), dtype=np.float64) for name in ("start", "end")}
    table["words"] = tfds.features.Sequence(tfds.features.Text())
    table["word_spans"] = tensor(shape=(None, 2), dtype=np.float32)
    table["intensities"] = tensor(shape=(None,), dtype=np.float32)
    table["votes"] = tensor(shape=(None,), dtype=np.float32)
    for modality in spec.modalities:
        table[modality.name] = tensor(shape=(None, modality.dim), dtype=np.float32)
        table[f"has_{modality.name}"] = tensor(shape=(), dtype=np.bool_)
    for name, shape in spec.truth.items():
        table[f"truth_{name}"] = tensor(shape=shape, dtype=np.float32)
    return tfds.features.FeaturesDict(table)


def encode(utterance: Utterance, spec: CorpusSpec) -> dict[str, Any]:
    """An utterance as the dictionary TFDS writes."""
    none = np.zeros(0, np.float32)
    row: dict[str, Any] = {
        name: getattr(utterance, name)
        for name in ("id", "speaker", "dialogue", "transcript", "label", "start", "end")
    }
    row["words"] = list(utterance.words)
    row["word_spans"] = np.asarray(utterance.word_spans, np.float32).reshape(-1, 2)
    for name in ("intensities", "votes"):
        value = getattr(utterance, name)
        row[name] = none if value is None else np.asarray(value, np.float32)
    for modality in spec.modalities:
        present = utterance.has(modality.name)
        empty = np.zeros((0, modality.dim), np.float32)
        row[modality.name] = np.asarray(utterance.features[modality.name], np.float32) if present else empty
        row[f"has_{modality.name}"] = present
    for name in spec.truth:
        row[f"truth_{name}"] = np.asarray(utterance.truth[name], np.float32)
    return row


def decode(row: Mapping[str, Any], spec: CorpusSpec, modalities: Iterable[str]) -> Utterance:
    """The inverse of `encode`, keeping the named modalities."""
    texts = {name: row[name].decode() for name in ("id", "speaker", "dialogue", "transcript", "label")}
    return Utterance(
        **texts,
        start=float(row["start"]),
        end=float(row["end"]),
        features={m: row[m] for m in modalities if row[f"has_{m}"]},
        intensities=row["intensities"] if len(row["intensities"]) else None,
        votes=row["votes"] if len(row["votes"]) else None,
        words=tuple(word.decode() for word in row["words"]),
        word_spans=row["word_spans"],
        truth={name: np.asarray(row[f"truth_{name}"], np.float32) for name in spec.truth},
    )
