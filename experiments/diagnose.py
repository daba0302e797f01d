"""Says whether the intensities that finished runs predict have collapsed, and which emotions they tell apart.

    python -m experiments.diagnose runs/unimodal_mosei_text-seed* runs/neighbours_mosei_text

A lower error may come of predicting less: see `mer_jax.emotion_space.diagnostics` for the measures. Runs must
follow one protocol.
"""

import dataclasses
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

import tyro
from rich.table import Table

from experiments.command import run, write_json
from experiments.emotion_space_tables import diagnosis_table
from experiments.printing import console_on
from experiments.run_names import run_names
from mer_jax.emotion_space.diagnostics import Diagnosis, diagnose_run
from mer_jax.emotion_space.verdicts import compare_verdicts
from mer_jax.errors import InputError
from mer_jax.training.run_folder import RunFolder


@dataclasses.dataclass(frozen=True)
class Args:
    """Verdicts on finished runs.

    Args:
        runs: run folders of regressions.
        split: whose utterances.
        json: also write every measure to this file.
    """

    runs: tyro.conf.Positional[tuple[Path, ...]]
    split: Literal["train", "dev", "test"] = "test"
    json: Path | None = None


def main(args: Args) -> int:
    """A table of runs, a table of their emotions, verdicts, and what their MAE hides."""
    if not args.runs:
        raise InputError("name at least one run folder")
    protocols = {RunFolder(path).read("protocol.json")["hash"] for path in args.runs}
    if len(protocols) > 1:
        raise InputError(
            f"these runs follow {len(protocols)} protocols ({', '.join(sorted(protocols))}); name runs of one"
        )
    names = run_names(args.runs)
    found = {name: diagnose_run(path, args.split) for name, path in zip(names, args.runs, strict=True)}
    hidden = [*compare_verdicts(found), *better_constants(args.runs[0], found, args.split)]
    console = console_on(sys.stdout)
    title = f"has a system collapsed? {args.split}, n = {next(iter(found.values())).n}"
    console.print(diagnosis_table(found, title))
    console.print(by_emotion(found))
    for name, one in found.items():
        console.print(f"- {name}: {one.verdict}", markup=False)
    for sentence in hidden:
        console.print(f"! {sentence}", markup=False)
    runs = {name: one.to_json() for name, one in found.items()}
    write_json(args.json, {"runs": runs, "hidden_by_mae": hidden})
    return 0


def better_constants(path: Path, found: Mapping[str, Diagnosis], split: str) -> Iterator[str]:
    """A sentence for each constant floor with a lower MAE than some run: errors reward saying nothing."""
    floors = RunFolder(path).read("metrics.json")["floors"]
    for name in ("mean", "median"):
        floor = floors.get(name, {}) if split == "test" else floors.get(name, {}).get(split, {})
        worse = [run for run, one in found.items() if "mae" in floor and floor["mae"] < one.mae]
        if worse:
            yield f"the train {name}, a constant, has a lower MAE ({floor['mae']:.3f}) than {', '.join(worse)}"


def by_emotion(found: Mapping[str, Diagnosis]) -> Table:
    """A line per run and emotion."""
    table = Table(title="by emotion", title_justify="left")
    table.add_column("run", overflow="fold")
    for name in ("emotion", "MAE", "r", "CCC", "variance", "AUC", "AUC beyond the axis"):
        table.add_column(name, justify="left" if name == "emotion" else "right")
    for name, run_found in found.items():
        for number, one in enumerate(run_found.emotions):
            auc = _number(one.auc) + ("" if one.told else " not told")
            values = (_number(one.mae), _number(one.pearson), _number(one.ccc), _number(one.variance_ratio))
            table.add_row("" if number else name, one.name, *values, auc, _number(one.auc_beyond))
    return table


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


if __name__ == "__main__":
    sys.exit(run(main, Args))
