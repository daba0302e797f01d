"""A corpus of your own: a folder with a table of utterances and one npz or sound file for each.

    my_corpus/
      manifest.csv     id,speaker,dialogue,start,end,transcript,label,split,file,wav,words,intensity_x,votes_y
      <id>.npz         arrays [time, dim] named by modality; `words` and `word_spans` where known

Only `id` is required. `wav` names a sound file, of which waveform, log-mel bands, cepstra and
prosody are made, and which needs no npz; `words` names a TextGrid, .ctm or .wdseg file with
word times. Rows are counted as a spreadsheet does: the header is row 1.
"""

import collections
import dataclasses
import functools
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mer_jax.data.builders.base import features
from mer_jax.data.builders.nonfinite import FeatureFileBuilder, FeatureFileOptions
from mer_jax.data.builders.raw_files import number, read_arrays, read_table
from mer_jax.data.builders.sound_features import (
    SoundOptions,
    read_sound,
    sound_features,
    sound_modalities,
)
from mer_jax.data.schema import SPLITS, UNSPLIT, CorpusSpec, Modality, Utterance
from mer_jax.data.word_times import WordTimes, read_words
from mer_jax.errors import InputError, nearest

COLUMNS = (
    "id",
    "speaker",
    "dialogue",
    "start",
    "end",
    "transcript",
    "label",
    "split",
    "file",
    "wav",
    "words",
)
FAMILIES = ("intensity_", "votes_")
WORD_ARRAYS = ("words", "word_spans")
SOUND = SoundOptions()
RESERVED = frozenset(features(CorpusSpec("")))
NO_SPEAKERS = (
    "The manifest names no speakers: every utterance counts as its own, and leakage can't be checked."
)
NO_SPLITS = "The manifest names no splits: everything is in one, `all`, to be cut into folds."


@dataclasses.dataclass(frozen=True)
class FolderOptions(FeatureFileOptions):
    """manifest: the table's file name inside the folder."""

    manifest: str = "manifest.csv"


class Folder(FeatureFileBuilder, skip_registration=True):
    """Modalities, dimensions, classes and splits are found from the files."""

    Options = FolderOptions

    def describe(self) -> CorpusSpec:
        """The spec, from a first pass over every file. Raises InputError for the first fault."""
        self._path = self.source / self.options.manifest
        if not self._path.is_file():
            raise InputError(
                f"{self._path} does not exist; pass --data-dir with the folder that holds the manifest"
            )
        self._rows = read_table(self._path, ("id",))
        columns = _checked_columns(self._rows, self._path)
        self._intensities, self._votes = (
            tuple(c.removeprefix(prefix) for c in columns if c.startswith(prefix)) for prefix in FAMILIES
        )
        modalities = self._modalities()
        absent = {"speaker": NO_SPEAKERS, "split": NO_SPLITS}
        return CorpusSpec(
            name=self.source.resolve().name,
            modalities=modalities,
            classes=tuple(sorted({row.get("label", "") for row in self._rows} - {""})),
            intensities=self._intensities,
            votes=self._votes,
            splits=self._splits(),
            description=f"A corpus read from the folder {self.source.resolve().name}.",
            notes=tuple(note for column, note in absent.items() if column not in columns),
        )

    def read(self) -> Mapping[str, Iterator[Utterance]]:
        """Utterances in the order of the manifest."""
        return {split: self._utterances(split) for split in self.spec.splits}

    def _modalities(self) -> tuple[Modality, ...]:
        heard = any(row.get("wav") for row in self._rows)
        sound = {m.name: m for m in sound_modalities(SOUND)} if heard else {}
        first: dict[str, tuple[int, str]] = {}
        for line, row in enumerate(self._rows, start=2):
            utterance = self._utterance(line, row)
            for name, values in utterance.features.items():
                if name in sound:
                    raise InputError(
                        f"{self._path}, row {line}: array {name!r} of {_file(row)} is called as what is "
                        "made of the sound in column 'wav'; rename the array, or leave the column out"
                    )
                dim, where = first.setdefault(name, (values.shape[1], _file(row)))
                if values.shape[1] != dim:
                    raise InputError(
                        f"{self._path}, row {line}: {_file(row)} has {values.shape[1]} features of {name!r} "
                        f"where {where} has {dim}; extract both alike"
                    )
        found = sound | {name: Modality(name, dim) for name, (dim, _) in first.items()}
        return tuple(found[name] for name in sorted(found))

    def _splits(self) -> tuple[str, ...]:
        found = collections.Counter(row.get("split", "") for row in self._rows)
        if set(found) == {""}:
            return (UNSPLIT,)
        for line, row in enumerate(self._rows, start=2):
            if row["split"] not in SPLITS:
                raise InputError(
                    f"{self._path}, row {line}, column 'split': {row['split']!r} is none of "
                    f"{', '.join(SPLITS)}; name one in every row, or leave the column out"
                )
        return tuple(split for split in SPLITS if found[split])

    def _utterances(self, split: str) -> Iterator[Utterance]:
        for line, row in enumerate(self._rows, start=2):
            if (row.get("split") or UNSPLIT) == split:
                yield self._with_sound(line, row, self._utterance(line, row))

    def _utterance(self, line: int, row: Mapping[str, str]) -> Utterance:
        cell = functools.partial(self._number, line, row)
        if not row["id"]:
            raise InputError(f"{self._path}, row {line}, column 'id': it is empty; give every row an id")
        arrays = self._arrays(line, row)
        path = self.source / _file(row)
        words, spans = self._word_times(line, row, arrays)
        return Utterance(
            id=row["id"],
            speaker=row.get("speaker") or row["id"],
            dialogue=row.get("dialogue") or row["id"],
            start=cell("start"),
            end=cell("end"),
            transcript=row.get("transcript", ""),
            features={n: _sequence(n, a, path) for n, a in arrays.items() if n not in WORD_ARRAYS},
            label=row.get("label", ""),
            intensities=self._family(cell, "intensity_", self._intensities),
            votes=self._family(cell, "votes_", self._votes),
            words=words,
            word_spans=spans,
        )

    def _with_sound(self, line: int, row: Mapping[str, str], utterance: Utterance) -> Utterance:
        if not row.get("wav"):
            return utterance
        waveform = self._read(line, row, "wav", read_sound)
        features = {**utterance.features, **sound_features(waveform, SOUND)}
        return dataclasses.replace(utterance, features=features)

    def _arrays(self, line: int, row: Mapping[str, str]) -> dict[str, np.ndarray]:
        """Those of the row's npz, which a row with a sound file may lack."""
        if row.get("wav"):
            self._existing(line, "wav", row["wav"])
            if not row.get("file") and not (self.source / _file(row)).is_file():
                return {}
        return read_arrays(self._existing(line, "file", _file(row)))

    def _word_times(self, line: int, row: Mapping[str, str], arrays: Mapping[str, np.ndarray]) -> WordTimes:
        if not row.get("words"):
            return _words(arrays, self.source / _file(row))
        if set(WORD_ARRAYS) & set(arrays):
            raise InputError(
                f"{self._path}, row {line}, column 'words': {_file(row)} holds words too; keep one of them"
            )
        return self._read(line, row, "words", read_words)

    def _existing(self, line: int, column: str, name: str) -> Path:
        path = self.source / name
        if not path.is_file():
            raise InputError(
                f"{self._path}, row {line}, column {column!r}: {path} does not exist; "
                "correct the name or the row"
            )
        return path

    def _read(self, line: int, row: Mapping[str, str], column: str, reader: Callable[[Path], Any]) -> Any:
        path = self._existing(line, column, row[column])
        try:
            return reader(path)
        except InputError as error:
            raise InputError(f"{self._path}, row {line}, column {column!r}: {error}") from error

    def _number(self, line: int, row: Mapping[str, str], column: str) -> float:
        text = row.get(column, "")
        return number(text, self._path, line, column) if text.strip() else float("nan")

    def _family(self, cell, prefix: str, names: tuple[str, ...]) -> np.ndarray | None:
        return np.array([cell(prefix + name) for name in names], np.float32) if names else None


def _checked_columns(rows: list[dict[str, str]], path: Path) -> tuple[str, ...]:
    if not rows:
        raise InputError(f"{path} has no rows; list the utterances, one per row")
    for column in rows[0]:
        if column not in COLUMNS and not column.startswith(FAMILIES):
            raise InputError(
                f"{path}: column {column!r} is unknown; {nearest(column, COLUMNS)} "
                f"(or intensity_<name>, votes_<name>)"
            )
    return tuple(rows[0])


def _file(row: Mapping[str, str]) -> str:
    return row.get("file") or f"{row['id']}.npz"


def _sequence(name: str, values: np.ndarray, path: Path) -> np.ndarray:
    reserved = name in RESERVED or name.startswith(("has_", "truth_"))
    if reserved or not re.fullmatch(r"[A-Za-z]\w*", name):
        raise InputError(f"{path}: array {name!r} can't name a modality; call it text, audio, face ...")
    if values.ndim != 2 or not values.shape[1] or values.dtype.kind not in "fiu":
        raise InputError(
            f"{path}: array {name!r} has shape {list(values.shape)} and type {values.dtype}; "
            "save numbers of shape [time, features]"
        )
    return values.astype(np.float32)


def _words(arrays: Mapping[str, np.ndarray], path: Path) -> tuple[tuple[str, ...], np.ndarray]:
    words = arrays.get("words", np.zeros(0, "U1"))
    spans = arrays.get("word_spans", np.zeros((0, 2)))
    if words.ndim != 1 or words.dtype.kind not in "U" or (len(spans) and spans.shape != (len(words), 2)):
        raise InputError(
            f"{path}: words {list(words.shape)} of type {words.dtype} and word_spans {list(spans.shape)} "
            "do not fit; save words as [words] strings and word_spans as [words, 2] seconds"
        )
    return tuple(words.tolist()), spans.astype(np.float32)
