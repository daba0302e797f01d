"""How scores fall as modalities go bad or missing: finished runs of any system, test corrupted anew.

    python -m experiments.robustness_curves runs/m3er_generated-seed0 runs/early_fusion_generated-seed0
    python -m experiments.robustness_curves runs/m3er_mosi-seed* --data-dir DATA --kind burst --snrs 10 0 -10

Nothing is trained. Every test utterance gets white Gaussian noise at an exact signal-to-noise ratio
in one of its modalities; and a growing share of them lacks one. A run with a modality check and
proxies uses them. Runs that differ in their seed alone are one system. Leaves a page and a table.
"""

import dataclasses
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tyro
from rich.progress import track
from rich.table import Table

from experiments.command import data_dir_from_environment, run, write_json
from experiments.experiment import Experiment, experiment_from_json
from experiments.predict import restore
from experiments.printing import console_on
from experiments.run_names import run_names
from experiments.setup import make_program, open_corpus
from mer_jax.data.corpus import Corpus
from mer_jax.data.preprocessing import Preprocessing
from mer_jax.data.splits import Fold
from mer_jax.errors import InputError
from mer_jax.evaluation.figures_robustness import area, curves_figure
from mer_jax.evaluation.predictions import Predictions
from mer_jax.evaluation.protocol import Protocol
from mer_jax.evaluation.report_page import Section, page
from mer_jax.evaluation.scoring import headline, metrics_of
from mer_jax.records import from_json, write_atomically
from mer_jax.robustness.corruption import Corruption
from mer_jax.robustness.pipeline import Repair, corrupted
from mer_jax.training.predicting import as_predictions, predict_rows
from mer_jax.training.program import Program
from mer_jax.training.run_folder import RunFolder
from mer_jax.training.state import stack

Axis = Literal["snr_db", "share_missing"]


@dataclasses.dataclass(frozen=True)
class Args:
    """Robustness curves of finished runs.

    Args:
        runs: run folders; those that differ in their seed alone make one system.
        kind: of the noise: on every frame, or in one stretch of frames.
        snrs: signal-to-noise ratios in decibels.
        shares: shares of utterances that lack a modality.
        metric: of classification or regression; empty: the protocol's headline metric.
        seed: of the corruption.
        out: the page.
        prepared: where prepared corpora lie.
        data_dir: raw data, to prepare a corpus that is not there yet; default MER_DATA.
        json: also write the table to this file.
    """

    runs: tyro.conf.Positional[tuple[Path, ...]]
    kind: Literal["noise", "burst"] = "noise"
    snrs: tuple[float, ...] = (20.0, 10.0, 0.0, -10.0, -20.0)
    shares: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75, 1.0)
    metric: str = ""
    seed: int = 0
    out: Path = Path("robustness.html")
    prepared: Path = Path("prepared")
    data_dir: Path | None = dataclasses.field(default_factory=data_dir_from_environment)
    json: Path | None = None


@dataclasses.dataclass(frozen=True)
class Condition:
    """A corruption and its place on an axis."""

    axis: Axis
    x: float
    corruption: Corruption


@dataclasses.dataclass(frozen=True)
class Trained:
    """A system's finished runs, all folds of which can be restored."""

    name: str
    experiment: Experiment[Any]
    protocol: Protocol
    folders: Sequence[RunFolder]
    corpus: Corpus
    folds: Sequence[Fold]


def main(args: Args) -> int:
    """Every system under every condition; the page, the table."""
    names = dict(zip(args.runs, run_names(args.runs), strict=True))
    systems = []
    for folders in by_system(args.runs):
        name = names[folders[0].path]
        systems += [opened(folders, args.prepared, args.data_dir, name.rpartition("-seed")[0] or name)]
    rows = curves(systems, conditions(args.kind, args.snrs, args.shares), args.metric, args.seed)
    show(rows)
    generated = any(system.protocol.generated for system in systems)
    badges = [("generated", "GENERATED DATA")] if generated else []
    text = page("Robustness", badges, [*sections(rows)])
    write_atomically(args.out, text.encode())
    print(f"report: {args.out}")
    write_json(args.json, {"rows": rows})
    return 0


def conditions(kind: Any, snrs: Sequence[float], shares: Sequence[float]) -> list[Condition]:
    """All of test with one noisy modality, and shares of it with one missing."""
    noisy = [Condition("snr_db", snr, Corruption(kind, share=1.0, snr_db=snr)) for snr in snrs]
    return [*noisy, *(Condition("share_missing", s, Corruption("drop", share=s)) for s in shares)]


def by_system(paths: Sequence[Path]) -> list[list[RunFolder]]:
    """Runs grouped by their configuration without its seed, in the order given."""
    if not paths:
        raise InputError("name at least one run folder")
    groups: dict[str, list[RunFolder]] = {}
    for path in paths:
        folder = RunFolder(path)
        if not folder.finished:
            raise InputError(f"{path} is no finished run (it has no metrics.json); train or resume it")
        shared = folder.read("config.json")["config"] | {"seed": None}
        groups.setdefault(json.dumps(shared, sort_keys=True), []).append(folder)
    return list(groups.values())


def opened(folders: Sequence[RunFolder], prepared: Path, data_dir: Path | None, name: str) -> Trained:
    """A system's experiment, protocol, folds and corpus (not corrupted), from its run folders."""
    first = folders[0]
    experiment = experiment_from_json(first.read("config.json")["config"])
    protocol = from_json(Protocol, {k: v for k, v in first.read("protocol.json").items() if k != "hash"})
    corpus = open_corpus(experiment.data, prepared, data_dir)
    made_of = first.read("config.json")["corpus"]["hash"]
    if corpus.content_hash != made_of:
        raise InputError(
            f"corpus {experiment.data.corpus!r} has changed since {first.path} was trained; train it again"
        )
    return Trained(name, experiment, protocol, folders, corpus, protocol.folds(corpus))


def curves(
    systems: Sequence[Trained], wanted: Sequence[Condition], metric: str, seed: int
) -> list[dict[str, Any]]:
    """A row per system and condition: mean and standard deviation over seeds of the test score."""
    rows = []
    for system in systems:
        said = metric or headline(system.protocol)
        found = track(wanted, system.name, console=console_on(sys.stderr), transient=True)
        programs = [(fold, *_restored(system, fold)) for fold in system.folds]
        for condition in found:
            values = _scores(system, programs, condition, said, seed)
            rows.append(
                {
                    "system": system.name,
                    "axis": condition.axis,
                    "x": condition.x,
                    "metric": said,
                    "mean": float(np.mean(values)),
                    "sd": float(np.std(values, ddof=1)) if len(values) > 1 else None,
                    "n": len(values),
                }
            )
    return rows


def _restored(system: Trained, fold: Fold) -> tuple[Program, Any, Preprocessing, Repair | None]:
    """The compiled system, all seeds' states, and what was fitted on this fold's train."""
    first = system.folders[0]
    preprocessing = Preprocessing.from_json(first.read("preprocessing.json")[fold.name])
    program = make_program(system.experiment, system.protocol, system.corpus)
    states = [
        restore(folder, fold.name, program, preprocessing, system.corpus, system.experiment)
        for folder in system.folders
    ]
    repairs = system.experiment.robustness.repair != "none"
    return program, stack(states), preprocessing, Repair.load(first.repair(fold.name)) if repairs else None


def _scores(
    system: Trained, programs: Sequence[Any], condition: Condition, metric: str, seed: int
) -> list[float]:
    """Every seed's test score over all folds."""
    view, streams = system.experiment.data.view, system.experiment.data.view.streams
    parts: list[list[Predictions]] = [[] for _ in system.folders]
    for number, (fold, program, states, preprocessing, repair) in enumerate(programs):
        corpus = corrupted(system.corpus, fold.test, streams, condition.corruption, seed).corpus
        corpus = corpus if repair is None else repair(corpus, fold.test).corpus
        logits = predict_rows(program, states, preprocessing, corpus, fold.test, view)
        for part, one in zip(parts, logits, strict=True):
            part.append(as_predictions(corpus, system.protocol, fold.test, "test", number, one))
    return [metrics_of(system.protocol, Predictions.concatenate(part))[metric] for part in parts]


def sections(rows: Sequence[Mapping[str, Any]]) -> list[Section]:
    """A figure for each axis."""
    titles = {
        "snr_db": ("Noise in one modality of every test utterance", "snr"),
        "share_missing": ("Test utterances that lack a modality", "missing"),
    }
    made = []
    for axis, (title, name) in titles.items():
        own = [row for row in rows if row["axis"] == axis]
        if own:
            caption = "Mean over seeds, bars one standard deviation; in the legend the mean under the curve."
            made.append(Section(name, title, figure=curves_figure(own), caption=caption))
    return made


def show(rows: Sequence[Mapping[str, Any]]) -> None:
    """A line per system and axis, with the area under the curve."""
    table = Table(title=f"test {rows[0]['metric'].replace('_', ' ')}", title_justify="left")
    for column in ("system", "axis", "scores", "area"):
        table.add_column(column, overflow="fold")
    for line in lines(rows):
        table.add_row(*line)
    console_on(sys.stdout).print(table)


def lines(rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, str, str, str]]:
    """System, axis, scores along it and the mean under the curve."""
    made = []
    for system, axis in dict.fromkeys((row["system"], row["axis"]) for row in rows):
        own = [row for row in rows if (row["system"], row["axis"]) == (system, axis)]
        values = ", ".join(f"{row['mean']:.3f} at {row['x']:g}" for row in own)
        made.append((system, axis.replace("_", " "), values, f"mean under the curve {area(own):.3f}"))
    return made


if __name__ == "__main__":
    sys.exit(run(main, Args))
