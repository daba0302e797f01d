"""Compares systems on one corpus under one protocol, and says what the data support.

    python -m experiments.compare generated early_fusion late_fusion unimodal:data.modalities=text
    python -m experiments.compare mosi early_fusion late_fusion unimodal:data.modalities=audio --seeds 10 --data-dir DATA
    python -m experiments.compare mosi early_fusion early_fusion:model.dropout=.2 --metric macro_f1

A system is a config (the corpus' name may be left out), followed by flags of experiments.train
that change it: `:flag=value,value` (a switch: True or False). Each is trained with the same
number of seeds, all of them in one program; finished runs of the same configuration, data and
code are used as they are.
Leaves a folder with report.html, table.md, table.tex and comparison.json.
"""

import dataclasses
import hashlib
import itertools
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tyro
from rich.table import Table

from experiments.command import data_dir_from_environment, run, write_json
from experiments.contestants import Contestant, contestants
from experiments.printing import console_on, print_findings
from experiments.run_store import RunStore
from experiments.setup import Setup, set_up
from mer_jax.errors import InputError
from mer_jax.evaluation import alignment_tables
from mer_jax.evaluation.attention_record import AttentionRecord
from mer_jax.evaluation.ceiling import ceilings
from mer_jax.evaluation.comparison import Contender, checked_metric, compare
from mer_jax.evaluation.comparison_report import write_comparison
from mer_jax.evaluation.predictions import Predictions
from mer_jax.training.code import code_hash
from mer_jax.training.host_memory import keep_freed_memory
from mer_jax.training.run_folder import RunFolder, provenance, read_json

COMPARING = ("mer_jax.evaluation.comparison", "mer_jax.evaluation.comparison_report")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """Flags of all that compare.

    Args:
        corpus: name of the prepared corpus.
        seeds: trainings of each system.
        metric: of the ranking and the tests; empty: the protocol's headline metric.
        name: of the comparison's folder; empty: made of the corpus and what is compared.
        out: where run folders and the comparison's folder lie.
        prepared: where prepared corpora lie.
        data_dir: raw data, to prepare a corpus that is not there yet; default MER_DATA.
        memory_gib: what training may take; 0: what the device has.
        json: also write what is found to this file.
    """

    corpus: tyro.conf.Positional[str]
    seeds: int = 5
    metric: str = ""
    name: str = ""
    out: Path = Path("runs")
    prepared: Path = Path("prepared")
    data_dir: Path | None = dataclasses.field(default_factory=data_dir_from_environment)
    memory_gib: float = 0.0
    json: Path | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Args(Options):
    """Flags of `compare`.

    Args:
        systems: config[:flag=value]... of each system.
    """

    systems: tyro.conf.Positional[tuple[str, ...]]


def main(args: Args) -> int:
    """The systems named, compared and shown."""
    folder, content = compared(systems(args), args)
    show(folder, content)
    write_json(args.json, content)
    return 0


def systems(args: Args) -> list[Contestant]:
    """What is compared."""
    if not args.systems:
        raise InputError("name at least one system, for instance early_fusion")
    return contestants(args.systems, args.corpus)


def compared(systems: Sequence[Contestant], args: Options) -> tuple[Path, dict[str, Any]]:
    """The comparison's folder and the content of its comparison.json: runs, reused or trained, then
    the comparison, unless nothing has changed since the last."""
    started = time.perf_counter()
    keep_freed_memory()

    # What is compared, all of it under one protocol, before anything is trained.
    setups = [set_up(system.experiment, args.prepared, args.data_dir) for system in systems]
    check(systems, setups)
    metric = checked_metric(setups[0].protocol, args.metric)

    # The runs: those that are there, and those that have to be trained.
    store = RunStore(args.out)
    folders: list[list[RunFolder]] = []
    computed = 0
    for system, setup in zip(systems, setups, strict=True):
        found, made = store.runs(setup, system.stem, args.seeds, args.memory_gib, print_audit)
        print(f"{system.name}: {args.seeds - made} runs reused, {made} made", file=sys.stderr)
        folders.append(found)
        computed += made

    # The comparison.
    protocol = setups[0].protocol
    folder = args.out / (args.name or comparison_name(args.corpus, folders))
    key = comparison_key([system.spec for system in systems], metric, folders)
    if not computed and (folder / "comparison.json").exists():
        content = read_json(folder / "comparison.json")
        if content.get("record", {}).get("key") == key:
            print("nothing has changed: nothing was computed", file=sys.stderr)
            return folder, content
    contenders = [contender(*pair) for pair in zip(systems, folders, strict=True)]
    people = ceilings(contenders[0].metrics[0].get("people", {}), metric)
    content = compare(protocol, contenders, metric=metric, ceilings=people)
    seconds = round(time.perf_counter() - started, 1)
    record = provenance() | {"duration": seconds, "protocol": protocol.to_json(), "key": key}
    content |= {"record": record}
    folder.mkdir(parents=True, exist_ok=True)
    write_comparison(folder, content, contenders, record)
    return folder, content


def check(systems: Sequence[Contestant], setups: Sequence[Setup]) -> None:
    """Raises InputError where systems or names repeat, or protocols differ."""
    for a, b in itertools.combinations(systems, 2):
        if a.experiment == b.experiment:
            raise InputError(
                f"{a.spec!r} and {b.spec!r} are one system; leave one out or change a flag in it"
            )
        if a.name == b.name:
            raise InputError(
                f"{a.spec!r} and {b.spec!r} are both called {a.name!r}; say in one of them what sets it apart, "
                f"for instance {b.spec}:seed={b.experiment.seed}"
            )
    first = setups[0].protocol
    for system, setup in zip(systems, setups, strict=True):
        if setup.protocol.hash != first.hash:
            raise InputError(
                f"{system.spec} follows another protocol than {systems[0].spec} ({differences(first, setup.protocol)}); "
                "scores of different protocols can't be compared: set the same flags in both"
            )


def differences(a: Any, b: Any) -> str:
    """The fields in which two protocols differ."""
    one, other = a.to_json() | a.to_json()["config"], b.to_json() | b.to_json()["config"]
    return ", ".join(name for name in one if name != "config" and one[name] != other[name])


def contender(system: Contestant, folders: Sequence[RunFolder]) -> Contender:
    """A system's runs as the comparison wants them."""
    timings = [folder.read("timing.json") for folder in folders]
    epochs = sum(len((folder.path / "metrics.jsonl").read_text().splitlines()) for folder in folders)
    attention = [folder.path / "attention.npz" for folder in folders]
    return Contender(
        name=system.name,
        config=system.spec,
        modalities=system.experiment.data.modalities,
        seeds=tuple(folder.read("config.json")["config"]["seed"] for folder in folders),
        predictions=tuple(Predictions.load(folder.path / "predictions.npz") for folder in folders),
        metrics=tuple(folder.read("metrics.json") for folder in folders),
        cost={
            "parameters": timings[0]["parameters"],
            "seconds": sum(t["seconds"] for t in timings) / len(timings),
            "epoch_seconds": sum(t["seconds"] for t in timings) / max(epochs, 1),
            "memory_mib": timings[0].get("memory_mib"),
            "seeds_at_once": timings[0].get("seeds_at_once", 1),
        },
        runs=tuple(folder.path.name for folder in folders),
        attention=tuple(map(AttentionRecord.load, attention)) if all(p.exists() for p in attention) else (),
    )


def print_audit(setup: Setup) -> Any:
    """The leakage audit of a setup whose runs have to be trained or scored."""
    findings = setup.audit()
    print_findings(findings, sys.stderr)
    return findings


def comparison_name(corpus: str, folders: Sequence[Sequence[RunFolder]]) -> str:
    """The corpus, and a hash of the names of all runs."""
    names = json.dumps([[folder.path.name for folder in one] for one in folders])
    return f"compare-{corpus}-{hashlib.sha256(names.encode()).hexdigest()[:6]}"


def comparison_key(specs: Sequence[str], metric: str, folders: Sequence[Sequence[RunFolder]]) -> str:
    """What a comparison is made of: the runs' scores, the metric, the code that compares."""
    scores = [[folder.read("metrics.json") for folder in one] for one in folders]
    parts = [list(specs), metric, scores, code_hash(COMPARING)]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def show(folder: Path, content: dict[str, Any]) -> None:
    """The verdict, the tables and where the report is."""
    console = console_on(sys.stdout)
    console.print(content["verdict"], markup=False)
    metric = content["metric"].replace("_", " ")
    table = Table(title=f"test {metric}, protocol {content['protocol']}", title_justify="left")
    for name in ("system", "mean +- sd", "95 % interval", "seeds", "dev", "best floor", "collapsed"):
        table.add_column(name, overflow="fold")
    for row in content["rows"]:
        spread = "" if row["sd"] is None else f" +- {row['sd']:.3f}"
        floor = "-" if row["floor"] is None else f"{row['floor']:.3f} ({row['floor_name'].replace('_', ' ')})"
        interval = "-" if row["low"] is None else f"{row['low']:.3f} to {row['high']:.3f}"
        seeds = str(row["n"])
        dev = "-" if row["dev_mean"] is None else f"{row['dev_mean']:.3f}"
        collapsed = f"{row['collapsed_seeds']} of {row['n']}"
        mean = "-" if row["mean"] is None else f"{row['mean']:.3f}{spread}"
        table.add_row(row["name"], mean, interval, seeds, dev, floor, collapsed)
    for name, value in content["ceilings"].items():
        table.add_row(f"people: {name}", f"{value:.3f}", *[""] * 5, style="dim")
    console.print(table)
    if "attention" in content:
        console.print(attention_table(content))
    for remark in content["remarks"]:
        console.print(f"- {remark}", markup=False)
    print(f"report: {folder / 'report.html'}")


def attention_table(content: dict[str, Any]) -> Table:
    """Where the attention of the systems lies."""
    head, rows = alignment_tables.systems(content)
    table = Table(title="attention against the true word times", title_justify="left")
    for name in head:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*row)
    return table


if __name__ == "__main__":
    sys.exit(run(main, Args))
