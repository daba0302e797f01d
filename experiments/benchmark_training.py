"""How long a training step takes: one seed, many seeds in one program, and the same network in PyTorch.

    python -m experiments.benchmark_training
    python -m experiments.benchmark_training --seeds 1 5 10 20 --repeats 30 --json steps.json
    python -m experiments.benchmark_training --torch-python OTHER_ENVIRONMENT/bin/python

The network: three LSTMs of 32 (text 300-d, audio 74-d, face 35-d), each with a linear classifier,
Adam, random inputs of one length. PyTorch is no dependency: it is timed in the environment whose
interpreter is named. All are timed in turns, and medians and their ratios are printed.
"""

import contextlib
import dataclasses
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np
from rich.table import Table

from experiments.command import run, write_json
from experiments.printing import console_on
from mer_jax.data.batching import Batch
from mer_jax.errors import InputError
from mer_jax.models.base import Task
from mer_jax.models.late_fusion import LateFusionConfig
from mer_jax.training.config import TrainingConfig
from mer_jax.training.data_parallel import DataParallel
from mer_jax.training.host_memory import keep_freed_memory
from mer_jax.training.optimizer import OptimizerConfig
from mer_jax.training.program import Program
from mer_jax.training.run_folder import provenance
from mer_jax.training.scalars import Member
from mer_jax.training.state import stack, unstack

DIMS = {"text": 300, "audio": 74, "face": 35}
CLASSES = 6
OURS = "mer_jax"
COLUMNS = ["case", "implementation", "ms, median", "spread", "x one seed", "per seed", "compile ms", "MiB"]
PEER = Path(__file__).with_name("benchmark_training_torch.py")


@dataclasses.dataclass(frozen=True)
class Args:
    """Flags of `benchmark_training`.

    Attributes:
        seeds: how many trainings at once, one case each.
        batch: examples per update.
        time: frames of every example.
        hidden: units of each LSTM.
        host_memory: kept by the process between steps, as every training here has it, or
            given back to the system, as XLA has it by itself.
        repeats: timed steps of each case, after three that are not counted.
        torch_python: an interpreter that can import torch; empty: no comparison.
        json: also write the table to this file.
    """

    seeds: tuple[int, ...] = (1, 10)
    batch: int = 256
    time: int = 50
    hidden: int = 32
    host_memory: Literal["kept", "given_back"] = "kept"
    repeats: int = 20
    torch_python: str = ""
    json: Path | None = None


def main(args: Args) -> int:
    """Compiles every case, times all of them in turns."""
    if 1 not in args.seeds or min(args.seeds) < 1:
        raise InputError(f"--seeds {args.seeds} must hold 1, which the others are compared with")
    if args.host_memory == "kept":
        keep_freed_memory()
    with contextlib.ExitStack() as stack_of:
        cases: list[tuple[str, str, Callable[[], float], float, float | None]] = [
            (f"{n} at once", OURS, *jax_case(args, n)) for n in sorted(args.seeds)
        ]
        if args.torch_python:
            cases.append(("1 at once", "torch", stack_of.enter_context(torch_case(args)), 0.0, None))
        times: list[list[float]] = [[] for _ in cases]
        for repeat in range(args.repeats + 3):
            for case, kept in zip(cases, times, strict=True):
                milliseconds = case[2]()
                if repeat >= 3:
                    kept.append(milliseconds)
    rows = [
        {
            "case": case,
            "implementation": implementation,
            "pass": "forward+backward",
            "median_ms": round(float(np.median(kept)), 2),
            "spread_ms": round(float(np.subtract(*np.percentile(kept, [75, 25]))), 2),
            "compile_ms": round(compile_ms, 1),
            "peak_mib": peak,
        }
        for (case, implementation, _, compile_ms, peak), kept in zip(cases, times, strict=True)
    ]
    show(rows)
    record = provenance()
    write_json(
        args.json, {k: record[k] for k in ("device", "versions", "commit", "command")} | {"rows": rows}
    )
    return 0


def jax_case(args: Args, members: int) -> tuple[Callable[[], float], float, float]:
    """A function that times one step, the milliseconds of compilation, the step's MiB."""
    config = LateFusionConfig(hidden=(args.hidden,), dense=(), dropout=0.0, bidirectional=False)
    training = TrainingConfig(batch_size=args.batch, optimizer=OptimizerConfig(clip=0.0))
    program = Program(config, Task(DIMS, CLASSES, True, "utterance"), training, DataParallel())
    batch = random_batch(args)
    states = program.init([Member(seed) for seed in range(members)], batch)
    started = time.perf_counter()
    needed = program.memory(unstack(states, 0), batch, members)
    compile_ms = 1e3 * (time.perf_counter() - started)
    current = program.parallel.place_state(states)
    placed = program.parallel.place_batch(stack([batch] * members), axis=1)

    def step() -> float:
        nonlocal current
        begin = time.perf_counter()
        current, _ = program.train_step(current, placed)
        jax.block_until_ready(current)
        return 1e3 * (time.perf_counter() - begin)

    return step, compile_ms, round(needed / 2**20, 1)


def random_batch(args: Args) -> Batch:
    """Normal inputs without structure."""
    random = np.random.default_rng(0)
    shape = (args.batch, args.time)
    return Batch(
        features={m: random.normal(size=(*shape, dim)).astype(np.float32) for m, dim in DIMS.items()},
        masks={m: np.ones(shape, bool) for m in DIMS},
        targets=random.integers(0, CLASSES, args.batch).astype(np.int32),
        weights=np.ones(args.batch, np.float32),
        rows=np.arange(args.batch, dtype=np.int32),
        slots=np.arange(args.batch, dtype=np.int32),
    )


@contextlib.contextmanager
def torch_case(args: Args) -> Iterator[Callable[[], float]]:
    """The same step in another interpreter, which waits for its turn."""
    sizes = json.dumps([args.batch, args.time, args.hidden, CLASSES, list(DIMS.values())])
    try:
        process = subprocess.Popen(
            [args.torch_python, str(PEER), sizes], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
    except OSError as error:
        raise InputError(f"--torch-python {args.torch_python} can't be run ({error})") from error
    assert process.stdin is not None
    assert process.stdout is not None

    def step() -> float:
        print("step", file=process.stdin, flush=True)
        line = process.stdout.readline()
        if not line:
            raise InputError(f"--torch-python {args.torch_python} stopped; can it import torch?")
        return float(line)

    with process:
        yield step
        process.stdin.close()


def show(rows: Sequence[Mapping[str, Any]]) -> None:
    """Medians, and each beside one seed of ours."""
    table = Table(title="milliseconds of a training step, median", title_justify="left")
    for name in COLUMNS:
        table.add_column(name)
    for cells in _cells(rows):
        table.add_row(*cells)
    console_on(sys.stdout).print(table)


def markdown(result: Mapping[str, Any]) -> str:
    """The content of `--json` as a table for BENCHMARKS.md."""
    lines = [
        f"| {' | '.join(cells)} |" for cells in (COLUMNS, ["---"] * len(COLUMNS), *_cells(result["rows"]))
    ]
    return "\n".join(lines)


def _cells(rows: Sequence[Mapping[str, Any]]) -> Iterator[list[str]]:
    one = next(r for r in rows if r["case"] == "1 at once" and r["implementation"] == OURS)
    for row in rows:
        ratio, count = row["median_ms"] / one["median_ms"], int(row["case"].split()[0])
        memory = "-" if row["peak_mib"] is None else f"{row['peak_mib']:.0f}"
        numbers = [row["median_ms"], row["spread_ms"], ratio, ratio / count]
        compiled = f"{row['compile_ms']:.0f}" if row["compile_ms"] else "-"
        yield [row["case"], row["implementation"], *(f"{x:.2f}" for x in numbers), compiled, memory]


if __name__ == "__main__":
    sys.exit(run(main, Args))
