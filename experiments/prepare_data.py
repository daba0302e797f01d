"""Prepares a corpus: raw files in, checked array_record files out.

The name of the corpus comes first, one of
    {corpora}

Examples:
    python -m experiments.prepare_data generated
    python -m experiments.prepare_data mosi --data-dir ~/data
    python -m experiments.prepare_data folder --data-dir ~/my_recordings --name mine
    python -m experiments.prepare_data generated --help    # with the options of this corpus

Each real corpus is read from its own folder below --data-dir, `folder` from --data-dir
itself: a manifest.csv (only `id` is required; also speaker, dialogue, start, end,
transcript, label, split, file, wav, words, intensity_*, votes_*) and per row one <id>.npz with
arrays [time, features] named by modality, or a sound file (wav), or both; words names a
TextGrid, .ctm or .wdseg file.

The result is OUT/NAME: the files, corpus.json (what it holds, digests) and doctor.json (what
was found). The description goes to stdout. A fault that would spoil training (NaN, double
ids, unknown labels) stops it with one line and leaves nothing behind.
"""

import contextlib
import dataclasses
import io
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from rich.console import Console

from experiments import command
from mer_jax.data.builders import CORPORA, corpus_builder
from mer_jax.data.corpus import prepare
from mer_jax.data.doctor import Examination, examine, print_report, require_sound
from mer_jax.errors import InputError

PIPE_WIDTH = 110


@dataclasses.dataclass(frozen=True)
class Arguments:
    """What to prepare, from where, to where.

    Args:
        corpus: Which corpus.
        data_dir: Where the raw files are (MER_DATA where set); for `folder`, the folder itself.
        out: Folder that holds all prepared corpora.
        name: Name it is stored under: else the corpus', for `folder` the folder's.
        overwrite: Replace a corpus of that name.
        nan: What to do with NaN and infinite features: stop, or store 0 and say so.
        json: File for the description as JSON, as in doctor.json.
    """

    corpus: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="CORPUS")]]
    data_dir: Path | None = dataclasses.field(default_factory=command.data_dir_from_environment)
    out: Path = Path("prepared")
    name: str | None = None
    overwrite: tyro.conf.FlagCreatePairsOff[bool] = False
    nan: Literal["error", "zero"] = "error"
    json: Path | None = None


def parse(argv: Sequence[str]) -> Arguments:
    """The arguments, with the options of the corpus that is named first."""
    corpus = command.leading_name(argv, CORPORA, "corpus")
    description = (__doc__ or "").format(corpora=", ".join(CORPORA))
    if corpus is None:
        return command.parse(Arguments, argv, description=description)
    options = corpus_builder(corpus).Options
    field = dataclasses.field(default_factory=options)
    complete = dataclasses.make_dataclass(
        "Arguments", [("options", options, field)], bases=(Arguments,), frozen=True
    )
    complete.__doc__ = Arguments.__doc__
    return command.parse(complete, argv, description=description)


def main(arguments: Any) -> None:
    """Prepares, examines, prints."""
    source, name = _source(arguments), _stored_name(arguments)
    options = _options(arguments)
    seen: list[Examination] = []

    print(f"preparing {arguments.corpus} ...", file=sys.stderr)
    with contextlib.redirect_stdout(io.StringIO()):  # TFDS announces a download there is none of
        prepare(
            arguments.corpus,
            source,
            arguments.out,
            options=options,
            as_name=name,
            overwrite=arguments.overwrite,
            check=lambda corpus: seen.append(require_sound(examine(corpus))),
        )

    examination = json.dumps(seen[0].to_json(), indent=1, allow_nan=False)
    (arguments.out / name / "doctor.json").write_text(examination)
    command.write_json(arguments.json, seen[0].to_json())
    console = Console(highlight=False, markup=False, width=None if sys.stdout.isatty() else PIPE_WIDTH)
    print_report(seen[0], console)
    print(f"prepared {arguments.out / name}", file=sys.stderr)


def _source(arguments: Any) -> Path | None:
    """The raw folder of the corpus: `<data-dir>/<folder>`."""
    if arguments.corpus == "generated":
        return None
    if arguments.data_dir is None:
        raise InputError(f"{arguments.corpus} needs its raw files: pass --data-dir or set MER_DATA")
    return arguments.data_dir / corpus_builder(arguments.corpus).folder


def _stored_name(arguments: Any) -> str:
    """--name, or the corpus, or the name of a user's folder."""
    default = arguments.data_dir.resolve().name if arguments.corpus == "folder" else arguments.corpus
    name = arguments.name or default
    if os.sep in name or name.startswith("."):
        raise InputError(f"--name {name!r} is not a plain name; choose --out for another place")
    return name


def _options(arguments: Any) -> Any:
    """The corpus' options, with --nan where it reads feature files."""
    if hasattr(arguments.options, "nan"):
        return dataclasses.replace(arguments.options, nan=arguments.nan)
    if arguments.nan != "error":
        raise InputError(f"--nan {arguments.nan} is for feature files, and {arguments.corpus} reads none")
    return arguments.options


if __name__ == "__main__":
    sys.exit(command.run(main, parse))
