"""Scores of finished runs: the report of one, or a table of several with mean and sd over seeds.

    python -m experiments.evaluate runs/early_fusion_generated-seed0
    python -m experiments.evaluate runs/unimodal_mosi-seed*
    python -m experiments.evaluate runs/* --metric macro_f1 --json table.json

Nothing is predicted anew: one run's report.html is written again from its files. Runs that
differ in seed alone form one row. Only runs of one protocol may stand in one table.
"""

import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from rich.table import Table

from experiments.command import run, write_json
from experiments.printing import console_on, print_scores
from mer_jax.errors import InputError
from mer_jax.evaluation.additive import LOWER_IS_BETTER
from mer_jax.evaluation.report import write_report
from mer_jax.training.run_folder import RunFolder


@dataclasses.dataclass(frozen=True)
class Args:
    """Scores of finished runs.

    Args:
        runs: run folders.
        metric: the table's metric; empty: the protocol's headline metric.
        json: also write the table to this file.
    """

    runs: tyro.conf.Positional[tuple[Path, ...]]
    metric: str = ""
    json: Path | None = None


def main(args: Args) -> int:
    """One run: its scores and its page. Several: a table."""
    if not args.runs:
        raise InputError("name at least one run folder")
    folders = [RunFolder(path) for path in args.runs]
    for folder in folders:
        if not folder.finished:
            raise InputError(f"{folder.path} is no finished run (it has no metrics.json); train or resume it")
    if len(folders) == 1:
        scores = folders[0].read("metrics.json")
        print_scores(scores, sys.stdout)
        print(f"report: {write_report(folders[0].path)}")
        result: Any = scores
    else:
        result = {"rows": table_rows(folders, args.metric)}
        print_table(result["rows"])
    write_json(args.json, result)
    return 0


def table_rows(folders: Sequence[RunFolder], metric: str) -> list[dict[str, Any]]:
    """A row for each group of runs that differ in seed alone, with the best floor beside it."""
    scores = [folder.read("metrics.json") for folder in folders]
    protocols = {s["protocol"] for s in scores}
    if len(protocols) > 1:
        raise InputError(
            f"these runs follow {len(protocols)} protocols ({', '.join(sorted(protocols))}); "
            "scores of different protocols can't be compared: name runs of one"
        )
    metric = metric or scores[0]["headline"]
    groups: dict[str, list[dict[str, Any]]] = {}
    for folder, one in zip(folders, scores, strict=True):
        config = folder.read("config.json")["config"]
        key = json.dumps({k: v for k, v in config.items() if k != "seed"}, sort_keys=True)
        groups.setdefault(key, []).append({"folder": folder, "scores": one, "config": config})
    return [_row(members, metric) for members in groups.values()]


def _row(members: Sequence[dict[str, Any]], metric: str) -> dict[str, Any]:
    first = members[0]["scores"]
    if metric not in first["test"]:
        raise InputError(f"metric {metric!r} is not in {members[0]['folder'].path}/metrics.json")
    values = np.array([member["scores"]["test"][metric] for member in members])
    dev = np.array([member["scores"]["dev"][metric] for member in members])
    lower_is_better = metric in LOWER_IS_BETTER
    floors = {name: row[metric] for name, row in first["floors"].items() if row[metric] is not None}
    best = (min if lower_is_better else max)(floors, key=lambda name: floors[name])
    return {
        "config": members[0]["folder"].path.name.rpartition("-seed")[0] or members[0]["folder"].path.name,
        "modalities": list(members[0]["config"]["data"]["modalities"]),
        "metric": metric,
        "mean": float(values.mean()),
        "sd": float(values.std(ddof=1)) if len(values) > 1 else None,
        "n": len(values),
        "dev_mean": float(dev.mean()),
        "floor": floors[best],
        "floor_name": best,
        "linear": floors.get("linear"),
        "majority": floors.get("majority", floors.get("mean")),
        "collapsed": sum(member["scores"]["collapsed"] for member in members),
        "protocol": first["protocol"],
    }


def print_table(rows: Sequence[dict[str, Any]]) -> None:
    """Mean +- sd over seeds, dev, floors."""
    title = f"test {rows[0]['metric'].replace('_', ' ')}, protocol {rows[0]['protocol']}"
    table = Table(title=title, title_justify="left")
    for name in (
        "run",
        "modalities",
        "mean +- sd",
        "seeds",
        "dev",
        "linear",
        "best floor",
        "majority",
        "collapsed",
    ):
        table.add_column(name, overflow="fold")
    for row in rows:
        spread = "" if row["sd"] is None else f" +- {row['sd']:.3f}"
        table.add_row(
            row["config"],
            ", ".join(row["modalities"]),
            f"{row['mean']:.3f}{spread}",
            str(row["n"]),
            f"{row['dev_mean']:.3f}",
            "-" if row["linear"] is None else f"{row['linear']:.3f}",
            f"{row['floor']:.3f} ({row['floor_name'].replace('_', ' ')})",
            f"{row['majority']:.3f}",
            f"{row['collapsed']} of {row['n']}",
        )
    console_on(sys.stdout).print(table)


def print_choice(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """A grid: dev scores of every point, and test of the one that dev chooses; returns it.

    Test scores of the others stay in their run folders: looking for the best of them there
    would be selecting on test.
    """
    metric, sign = rows[0]["metric"], -1 if rows[0]["metric"] in LOWER_IS_BETTER else 1
    chosen = max(rows, key=lambda row: sign * row["dev_mean"])
    table = Table(
        title=f"dev {metric.replace('_', ' ')}, protocol {rows[0]['protocol']}", title_justify="left"
    )
    for name in ("run", "dev, mean", "seeds", "collapsed"):
        table.add_column(name, overflow="fold")
    for row in rows:
        mark = "  <- chosen" if row is chosen else ""
        table.add_row(
            row["config"], f"{row['dev_mean']:.3f}{mark}", str(row["n"]), f"{row['collapsed']} of {row['n']}"
        )
    console_on(sys.stdout).print(table)
    print_table([chosen])
    return chosen


if __name__ == "__main__":
    sys.exit(run(main, Args))
