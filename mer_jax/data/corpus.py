"""A prepared corpus on disk: built whole or not at all, and checked when it is read.

<prepared>/<name>/corpus.json     spec, versions, options, content hash, file digests
<prepared>/<name>/<builder>/...   the array_record files TFDS wrote
"""

import contextlib
import dataclasses
import hashlib
import io
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from mer_jax.data.builders import corpus_builder
from mer_jax.data.builders.base import decode
from mer_jax.data.schema import SCHEMA_VERSION, CorpusSpec, Utterance
from mer_jax.errors import InputError, is_full_disk
from mer_jax.records import from_json


@dataclasses.dataclass(frozen=True)
class Corpus:
    """Utterances in stored order with the split each was stored under.

    content_hash: hex SHA-256 over every utterance, its split included.
    """

    spec: CorpusSpec
    content_hash: str
    utterances: tuple[Utterance, ...]
    splits: np.ndarray

    def __len__(self) -> int:
        return len(self.utterances)

    def column(self, name: str) -> np.ndarray:
        """One attribute of every utterance (`id`, `speaker`, `dialogue`, `label` ...)."""
        return np.array([getattr(u, name) for u in self.utterances])


def prepare(
    name: str,
    source: Path | None,
    prepared: Path,
    *,
    options: Any = None,
    as_name: str | None = None,
    overwrite: bool = False,
    check: Callable[[Corpus], Any] | None = None,
) -> Corpus:
    """Builds a corpus below `prepared` and returns it.

    check: called with the corpus before it is put in place; what it raises leaves nothing
    behind. Raises InputError where the raw files are missing or damaged, or the corpus is
    there already and `overwrite` is not set.
    """
    target = prepared / (as_name or name)
    if target.exists() and not overwrite:
        raise InputError(f"{target} exists; pass --overwrite to build it anew or --name to keep both")
    prepared.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=prepared))
    try:
        _build(name, source, work, options)
        corpus = _read(work)
        if check is not None:
            check(corpus)
        if target.exists():
            shutil.rmtree(target)
        os.replace(work, target)
    except (OSError, RuntimeError) as error:
        if is_full_disk(error):
            raise InputError(f"{name}: the disk that holds {prepared} is full; nothing was kept") from error
        if isinstance(error, OSError):
            raise InputError(f"{name}: could not be written to {prepared}: {error}") from error
        raise
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return corpus


def _build(name: str, source: Path | None, work: Path, options: Any) -> None:
    builder = corpus_builder(name)(source, options, data_dir=str(work))
    tfds.disable_progress_bar()
    with contextlib.redirect_stdout(io.StringIO()):  # TFDS announces a download; there is none
        builder.download_and_prepare()
    shutil.rmtree(work / "downloads", ignore_errors=True)
    files = {str(p.relative_to(work)): _sha256(p) for p in sorted(work.rglob("*")) if p.is_file()}
    record = {
        "schema": SCHEMA_VERSION,
        "builder": name,
        "version": str(builder.VERSION),
        "options": dataclasses.asdict(builder.options),
        "content_hash": builder.digest.hexdigest(),
        "spec": builder.spec.to_json(),
        "files": files,
    }
    (work / "corpus.json").write_text(json.dumps(record, indent=1))


def load(name: str, prepared: Path, modalities: Iterable[str] | None = None) -> Corpus:
    """Reads the prepared corpus called `name`, keeping the named modalities (None: all).

    Raises InputError where it is missing, damaged, or prepared by another version.
    """
    folder = prepared / name
    if not (folder / "corpus.json").exists():
        raise InputError(
            f"corpus {name!r} is not prepared below {prepared}; run: "
            f"python -m experiments.prepare_data {name}"
        )
    return _read(folder, modalities)


def _read(folder: Path, modalities: Iterable[str] | None = None) -> Corpus:
    record = _checked_record(folder)
    spec = from_json(CorpusSpec, record["spec"])
    names = spec.modality_names if modalities is None else tuple(modalities)
    for name in names:
        if name not in spec.modality_names:
            raise InputError(
                f"corpus {spec.name!r} has no modality {name!r}; it has: "
                f"{', '.join(spec.modality_names) or 'none'}"
            )
    builder: Any = tfds.builder_from_directory(str(folder / record["builder"] / record["version"]))
    utterances: list[Utterance] = []
    splits: list[str] = []
    for split in spec.splits:
        rows = builder.as_data_source(split=split)
        utterances += [decode(rows[i], spec, names) for i in range(len(rows))]
        splits += [split] * len(rows)
    return Corpus(spec, record["content_hash"], tuple(utterances), np.array(splits))


def _checked_record(folder: Path) -> dict[str, Any]:
    record = json.loads((folder / "corpus.json").read_text())
    again = f"run: python -m experiments.prepare_data {record['builder']} --overwrite"
    version = str(corpus_builder(record["builder"]).VERSION)
    made, now = (record["schema"], record["version"]), (SCHEMA_VERSION, version)
    if made != now:
        raise InputError(
            f"{folder} was prepared by another version (schema {made[0]}, builder {made[1]}; "
            f"this code has schema {now[0]}, builder {now[1]}); {again}"
        )
    for name, digest in record["files"].items():
        if not (folder / name).exists() or _sha256(folder / name) != digest:
            raise InputError(
                f"{folder / name} is missing, truncated or changed since it was prepared; {again}"
            )
    return record


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
