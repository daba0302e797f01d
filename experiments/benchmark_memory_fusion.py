"""How long a training step of M3ER's memory network takes: one seed, several in one program, and in PyTorch.

    python -m experiments.benchmark_memory_fusion --torch-python OTHER_ENVIRONMENT/bin/python
    python -m experiments.benchmark_memory_fusion --batches 32 --seeds 5 --rounds 20 --json memory.json

The network: three LSTMs (300, 74 and 35 features) that the memory feeds, the memory with its attention
and gates, a dense layer and six classes; forward, backward and Adam, float32, random inputs of one length.

PyTorch is no dependency: it runs in the environment whose interpreter is named, with as many threads,
eagerly with a loop over time, in several ways of which the fastest counts. Both sides have the same
parameters and are compared, loss and all gradients, before they are timed, in turns. Its memory is the
growth of a process of its own.
"""

import contextlib
import dataclasses
import itertools
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from rich.table import Table

from experiments.benchmark_attention_peers import (
    GIVEN_BACK,
    KEPT,
    TORCH_REMEDY,
    Interpreter,
    interpreter,
    threads,
)
from experiments.benchmark_decoder import COLUMNS, cells
from experiments.benchmark_decoder_cases import check_same
from experiments.benchmark_memory_fusion_cases import DIMS, RATE, Sizes, training
from experiments.benchmark_tables import at_least, at_most, markdown_table, markdown_targets, targets_table
from experiments.command import run, write_json
from experiments.printing import console_on
from kernels.attention.bench import in_turns, stopwatch, summary
from mer_jax.errors import InputError
from mer_jax.training.host_memory import keep_freed_memory
from mer_jax.training.run_folder import provenance

WORKER = Path(__file__).with_name("benchmark_memory_fusion_torch.py")
OURS = "mer_jax"
SAME = 1e-4  # of the largest entry of a gradient
ASKED = {256: 2.0, 32: 4.0}  # times faster than PyTorch at this batch
AT_ONCE = 5.5  # times as long as one seed, for ten
ABOUT = {
    "cells": "an nn.LSTMCell a modality reads features and memory, at each step",
    "projected": "W x + b of all steps before the first, the rest of each cell by hand",
}
ADAMS = ("default", "foreach", "fused")


@dataclasses.dataclass(frozen=True)
class Args:
    """Time and memory of a training step of M3ER's memory network.

    Attributes:
        batches: examples of a step, one case each.
        time: steps in time of every example.
        seeds: trainings at once, beside one.
        hidden, memory, units: sizes of the memory network.
        rounds: turns of each.
        seconds: an implementation that has taken so long in a case drops out after its third turn.
        host_memory: kept by each process when freed, as trainings here do, or given back to the system.
        torch_python: an interpreter that can import torch and numpy; empty: no comparison.
        json: also write the rows to this file.
    """

    batches: tuple[int, ...] = (256, 32)
    time: int = 50
    seeds: int = 10
    hidden: int = 32
    memory: int = 128
    units: int = 64
    rounds: int = 15
    seconds: float = 30.0
    host_memory: Literal["kept", "given_back"] = "kept"
    torch_python: str = ""
    json: Path | None = None


def main(args: Args) -> int:
    """Every case in turn; then the table and what is asked."""
    _check(args)
    if args.host_memory == "kept":
        keep_freed_memory()
    result: dict[str, Any] = {"rows": [], "left_out": []}
    command, kept = [args.torch_python, str(WORKER)], KEPT if args.host_memory == "kept" else {}
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="memory-")))
        torch = stack.enter_context(interpreter(command, kept, TORCH_REMEDY))
        measuring = stack.enter_context(interpreter(command, GIVEN_BACK, TORCH_REMEDY))
        for batch in args.batches:
            print(_case(batch), file=sys.stderr)
            result["rows"] += contest(args, batch, torch, measuring, folder)
            if torch is None:
                result["left_out"].append({"case": _case(batch), "why": "no --torch-python is given"})
        versions = {} if torch is None else torch.about
    record = provenance()
    result |= {name: record[name] for name in ("device", "versions", "commit", "command")}
    result["versions"] |= versions
    result |= {"threads": threads(), "host_memory": args.host_memory, "targets": judged(result["rows"])}
    show(result)
    write_json(args.json, result)
    return 0


def _check(args: Args) -> None:
    if not args.batches:
        raise InputError("--batches names none; give at least one")
    for name in ("batches", "time", "hidden", "memory", "units", "rounds", "seconds"):
        value = getattr(args, name)
        if min(value if isinstance(value, tuple) else (value,)) <= 0:
            raise InputError(f"--{name} {value} must be positive")
    if args.seeds < 2:
        raise InputError(f"--seeds {args.seeds} must be at least 2: one seed is measured beside them")


def _case(batch: int) -> str:
    return f"training step, batch {batch}"


def contest(
    args: Args, batch: int, torch: Interpreter | None, measuring: Interpreter | None, folder: Path
) -> list[dict[str, Any]]:
    """Rows of one batch: ours, ours of several seeds, and PyTorch's ways."""
    sizes = Sizes(batch, args.time, args.hidden, args.memory, args.units)
    turns: dict[str, Callable[[], float]] = {}
    about: dict[str, tuple[int, float, float | None, float | None]] = {}
    one = training(sizes)
    for name, ours, seeds in (
        (OURS, one, 1),
        (f"{OURS}, {args.seeds} seeds", training(sizes, args.seeds), args.seeds),
    ):
        turns[name], about[name] = stopwatch(ours.run), (seeds, ours.compile_ms, ours.temporary_mib, None)
    if torch is not None and measuring is not None:
        arrays: dict[str, Any] = dict(one.arrays)
        np.savez(folder / "arrays.npz", **arrays)
        for lstm, adam in itertools.product(ABOUT, ADAMS):
            name = f"torch {lstm}, Adam {adam}"
            asked = {"name": name, "lstm": lstm, "adam": adam, "rate": RATE, "threads": threads()}
            asked["arrays"] = str(folder / "arrays.npz")
            peak, results = prepare(torch, measuring, folder, asked)
            deviation = check_same(one.first, results, f"{_case(batch)}, {name}", SAME)
            turns[name] = lambda name=name: torch.ask("time", name=name)["ms"]
            about[name] = (1, 0.0, peak, deviation)
    times = in_turns(turns, args.rounds, args.seconds)
    if torch is not None:
        torch.ask("drop")
    return _rows(sizes, times, about)


def prepare(
    torch: Interpreter, measuring: Interpreter, folder: Path, asked: Mapping[str, Any]
) -> tuple[float | None, Mapping[str, np.ndarray]]:
    """MiB at the peak, in a process of its own, and results of one of PyTorch's ways, which is then ready."""
    torch.ask("prepare", **asked)
    torch.ask("results", name=asked["name"], path=str(folder / "results.npz"))
    with np.load(folder / "results.npz") as held:
        results = {key: held[key] for key in held.files}
    measuring.ask("prepare", **asked)
    measuring.ask("results", name=asked["name"], path=str(folder / "results.npz"))  # Adam's moments exist
    peak = measuring.ask("memory", name=asked["name"])["mib"]
    measuring.ask("drop")
    return peak, results


def _rows(
    sizes: Sizes, times: Mapping[str, Sequence[float]], about: Mapping[str, Any]
) -> list[dict[str, Any]]:
    ours, rows = summary(times[OURS]).median, []
    for name, own in times.items():
        median, spread, rounds = summary(own)
        seeds, compile_ms, peak, deviation = about[name]
        row = {
            "case": _case(sizes.batch),
            "implementation": name,
            "pass": "forward+backward",
            "median_ms": float(f"{median:.4g}"),
            "spread_ms": float(f"{spread:.3g}"),
            "compile_ms": round(compile_ms, 1),
            "peak_mib": None if peak is None else round(peak, 1),
            "ratio": float(f"{median / ours:.3g}"),
            "rounds": rounds,
            "deviation": deviation,
            "seeds": seeds,
        }
        rows.append(row | dataclasses.asdict(sizes))
    return rows


def judged(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What is asked, with what this run says to it; None where it was not measured."""
    return [_faster(rows, batch, bound) for batch, bound in ASKED.items()] + [
        _at_once(rows, batch) for batch in ASKED
    ]


def _faster(rows: Sequence[Mapping[str, Any]], batch: int, bound: float) -> dict[str, Any]:
    """The fastest of PyTorch's ways against ours."""
    own = [row for row in rows if row["batch"] == batch and row["implementation"].startswith("torch")]
    fastest = min(own, key=lambda row: row["median_ms"], default=None)
    who = "the fastest torch" if fastest is None else fastest["implementation"]
    value = None if fastest is None else fastest["ratio"]
    return at_least(f"{_case(batch)}: {who} / ours", bound, value)


def _at_once(rows: Sequence[Mapping[str, Any]], batch: int) -> dict[str, Any]:
    """Ten seeds in one program against one."""
    found = [row["ratio"] for row in rows if (row["batch"], row["seeds"]) == (batch, 10)]
    return at_most(f"{_case(batch)}: 10 seeds at once / one", AT_ONCE, found[0] if found else None)


def show(result: Mapping[str, Any]) -> None:
    """The rows, remarks and the targets."""
    console = console_on(sys.stdout)
    table = Table(title="a training step, float32", title_justify="left")
    for name in COLUMNS:
        table.add_column(name, justify="left" if name in COLUMNS[:2] else "right")
    for row in result["rows"]:
        table.add_row(*cells(row), style="bold" if row["implementation"].startswith(OURS) else None)
    console.print(table)
    for line in remarks(result):
        console.print(line, markup=False, soft_wrap=True)
    console.print(targets_table("what is asked", result["targets"]))


def remarks(result: Mapping[str, Any]) -> Iterator[str]:
    """Sizes, how well the two sides agree, who was left out and why."""
    row = result["rows"][0]
    sizes = ", ".join(f"{name} {row[name]}" for name in ("time", "hidden", "memory", "units", "dense"))
    features = ", ".join(f"{name} {dim}" for name, dim in DIMS.items())
    yield f"features {features}; {sizes}; {result['threads']} threads"
    found = [row["deviation"] for row in result["rows"] if row["deviation"] is not None]
    if found:
        yield f"the largest difference between the two, of the loss or a gradient: {max(found):.1g} of its largest entry"
    for one in result["left_out"]:
        yield f"left out: torch, {one['case']}: {one['why']}"


def markdown(result: Mapping[str, Any]) -> str:
    """The content of `--json` as tables for BENCHMARKS.md: targets, then rows."""
    rows = [cells(row) for row in result["rows"]]
    lines = [*markdown_targets(result["targets"]), "", *markdown_table(COLUMNS, rows)]
    lines += ["", *(f"- {line}" for line in remarks(result))]
    return "\n".join([*lines, *(f"- torch {name}: {about}." for name, about in ABOUT.items())])


if __name__ == "__main__":
    sys.exit(run(main, Args))
