"""Emotion intensities by networks, nearest neighbours and ridge regression: their errors, and what these hide.

    python -m experiments.compare_predictors mosei_text unimodal:data.vectors=glove.6B.50d.txt neighbours ridge --data-dir DATA
    python -m experiments.compare_predictors generated unimodal:protocol.task=regression ridge --seeds 2

Systems are named as for `experiments.compare`; `neighbours` and `ridge` read the first network's data under its
protocol, with a setting that dev chooses. All runs are diagnosed (see `experiments.diagnose`). Leaves a folder with
table.md, diagnosis.json and the predictors' runs.
"""

import dataclasses
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from rich.table import Table

from experiments import emotion_predictors
from experiments.benchmark_tables import markdown_table
from experiments.command import run, write_json
from experiments.compare import Options, check, print_audit
from experiments.contestants import Contestant, contestants
from experiments.printing import console_on
from experiments.run_store import RunStore
from experiments.setup import Setup, set_up
from mer_jax.emotion_space.diagnostics import Diagnosis, diagnose_run
from mer_jax.emotion_space.predictors import PREDICTORS
from mer_jax.emotion_space.verdicts import compare_verdicts
from mer_jax.errors import InputError
from mer_jax.evaluation.comparison_tables import three
from mer_jax.evaluation.findings import stop_on_error
from mer_jax.records import write_atomically
from mer_jax.training.host_memory import keep_freed_memory
from mer_jax.training.run_folder import RunFolder, provenance

FLOORS = ("linear", "mean", "median")
ERRORS = ("mae", "mse", "ccc")
OVERALL = ("predictor", "MAE", "MSE", "CCC", "variance kept", "effective rank", "emotions told")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Args(Options):
    """Flags of `compare_predictors`.

    Args:
        systems: neighbours, ridge, or config[:flag=value]... of a network.
    """

    systems: tyro.conf.Positional[tuple[str, ...]]


@dataclasses.dataclass(frozen=True)
class Row:
    """A system's diagnoses, one per seed; a floor has errors alone."""

    name: str
    runs: Sequence[Mapping[str, Any]]


def main(args: Args) -> int:
    """Runs, diagnoses, tables."""
    networks = systems(args)
    keep_freed_memory()
    setups = [set_up(system.experiment, args.prepared, args.data_dir) for system in networks]
    check(networks, setups)
    if setups[0].protocol.config.task != "regression":
        raise InputError(
            "predictors of intensities are compared; set protocol.task=regression in each network"
        )
    folder = args.out / (args.name or f"predictors-{args.corpus}")
    made = runs(args, networks, setups, folder)

    found = {name: [diagnose_run(one.path) for one in own] for name, own in made.items()}
    rows = [Row(name, [one.to_json() for one in own]) for name, own in found.items()]
    rows += floors(next(iter(made.values()))[0])
    each = {
        f"{name}, seed {one.read('config.json')['config']['seed']}"
        if len(made[name]) > 1
        else name: diagnosis
        for name, own in found.items()
        for one, diagnosis in zip(made[name], own, strict=True)
    }
    hidden = compare_verdicts(each)
    show(rows, each, hidden)
    write_atomically(folder / "table.md", markdown(rows, each, hidden).encode())
    content = {**provenance(), "rows": [dataclasses.asdict(row) for row in rows], "hidden_by_mae": hidden}
    write_json(folder / "diagnosis.json", content)
    write_json(args.json, content)
    print(f"tables: {folder / 'table.md'}")
    return 0


def runs(
    args: Args, networks: Sequence[Contestant], setups: Sequence[Setup], folder: Path
) -> dict[str, list[RunFolder]]:
    """The run folders of every system: networks reused or trained, predictors made anew below `folder`."""
    store, made = RunStore(args.out), dict[str, list[RunFolder]]()
    for system, setup in zip(networks, setups, strict=True):
        made[system.name], _ = store.runs(setup, system.stem, args.seeds, args.memory_gib, print_audit)
    for kind in (name for name in args.systems if name in PREDICTORS):
        made[kind] = [predictor(kind, setups[0], folder / kind, args)]
    return made


def systems(args: Args) -> list[Contestant]:
    """The networks that are compared."""
    networks = contestants([name for name in args.systems if name not in PREDICTORS], args.corpus)
    if not networks:
        raise InputError("name at least one network, for instance unimodal; predictors read its data")
    return networks


def predictor(kind: str, network: Setup, path: Path, args: Args) -> RunFolder:
    """The run of nearest neighbours or ridge regression on what the network reads, made anew."""
    experiment = dataclasses.replace(network.experiment, model=PREDICTORS[kind]())
    setup = set_up(experiment, args.prepared, args.data_dir)
    findings = print_audit(setup)
    stop_on_error(findings)
    folder = RunFolder(path)
    emotion_predictors.made(setup, folder, findings, overwrite=True)
    return folder


def floors(folder: RunFolder) -> list[Row]:
    """The floors beside a run's scores."""
    found = folder.read("metrics.json")["floors"]
    return [Row(f"floor: {name}", [found[name]]) for name in FLOORS if name in found]


def overall(row: Row) -> list[str]:
    """Errors and what is told apart: the mean over seeds, and the standard deviation."""
    errors = [spread(row, lambda run, key=key: run[key]) for key in ERRORS]
    if "verdict" not in row.runs[0]:
        return [row.name, *errors, "", "", ""]
    told = [sum(one["told"] for one in run["emotions"]) for run in row.runs]
    some = f"{min(told)}" if min(told) == max(told) else f"{min(told)} to {max(told)}"
    rank = f"{mean(row, lambda run: run['effective_rank']):.1f} of {row.runs[0]['true_effective_rank']:.1f}"
    kept = f"{mean(row, lambda run: run['variance_ratio'] or 0.0):.0%}"
    return [row.name, *errors, kept, rank, f"{some} of {len(row.runs[0]['emotions'])}"]


def by_emotion(row: Row, emotions: Sequence[str]) -> list[str]:
    """MAE / MSE / CCC of each emotion, the mean over seeds."""
    cells = [row.name]
    for emotion in emotions:
        found = [_of(run, emotion) for run in row.runs]
        cells.append(" / ".join(_three(np.mean([one[key] or 0.0 for one in found])) for key in ERRORS))
    return cells


def spread(row: Row, value: Callable[[Mapping[str, Any]], float | None]) -> str:
    """`0.150`, or `0.150 ± 0.004` of several seeds; what is not defined counts as 0."""
    values = [value(run) or 0.0 for run in row.runs]
    deviation = f" ± {_three(np.std(values, ddof=1))}" if len(values) > 1 else ""
    return f"{_three(np.mean(values))}{deviation}"


def mean(row: Row, value: Callable[[Mapping[str, Any]], float]) -> float:
    """Over seeds."""
    return float(np.mean([value(run) for run in row.runs]))


def show(rows: Sequence[Row], found: Mapping[str, Diagnosis], hidden: Sequence[str]) -> None:
    """The first table, the verdicts, and what the MAE hides, on the terminal."""
    console = console_on(sys.stdout)
    table = Table(title="emotion intensities, test", title_justify="left")
    for name in OVERALL:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*overall(row))
    console.print(table)
    for line in said(found, hidden):
        console.print(line, markup=False, highlight=False)


def markdown(rows: Sequence[Row], found: Mapping[str, Diagnosis], hidden: Sequence[str]) -> str:
    """Both tables, verdicts and what the MAE hides, for GitHub."""
    emotions = [one["name"] for one in rows[0].runs[0]["emotions"]]
    lines = [*markdown_table(OVERALL, [overall(row) for row in rows]), "", "MAE / MSE / CCC by emotion:", ""]
    lines += markdown_table(("", *emotions), [by_emotion(row, emotions) for row in rows])
    return "\n".join([*lines, "", *said(found, hidden)]) + "\n"


def said(found: Mapping[str, Diagnosis], hidden: Sequence[str]) -> list[str]:
    """A verdict for each run, then what the MAE hides."""
    return [*(f"- {name}: {one.verdict}" for name, one in found.items()), *(f"- {line}." for line in hidden)]


def _of(run: Mapping[str, Any], emotion: str) -> Mapping[str, Any]:
    """The errors of one emotion, of a diagnosis or of a floor."""
    if "verdict" in run:
        return next(one for one in run["emotions"] if one["name"] == emotion)
    return run["per_name"][emotion]


def _three(value: Any) -> str:
    return three(round(float(value), 3) + 0.0)  # no -0.000


if __name__ == "__main__":
    sys.exit(run(main, Args))
