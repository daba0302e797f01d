"""How long windowed attention takes and how much memory, beside those who offer something like it.

    python -m experiments.benchmark_attention --torch-python OTHER_ENVIRONMENT/bin/python
    python -m experiments.benchmark_attention --json attention.json --out attention.html
    python -m experiments.benchmark_attention --shapes square_1024 square_4096 --scores additive \\
        --alignments sliding_window_16 sliding_window_64 local_p_32 --peers

Each case is a named shape (kernels/attention/shapes.py), a score, an alignment and a type; each is
timed forward, and forward+backward (context and gradients of every input). All who serve it are
compiled beforehand and then timed in turns. PyTorch is no dependency: its peers run in the
environment whose interpreter is named, with as many threads. Where `--torch-python` is missing,
where a peer is not installed, has no such alignment or needs too much memory, it is left out, and
the run says so. Memory is what a call takes beside its arguments and results: of XLA's programs the
temporaries that XLA states, of others the growth of a process of their own that does nothing else.
"""

import contextlib
import dataclasses
import itertools
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import jax
from rich.table import Table

from experiments.benchmark_attention_cases import DEFAULT_ON_REAL, DEFAULT_ON_SQUARE, Case, check_alignment
from experiments.benchmark_attention_contest import OURS, Setting, contest, lengths_in_turns
from experiments.benchmark_attention_peers import (
    GIVEN_BACK,
    KEPT,
    LABELS,
    PEERS,
    TORCH_REMEDY,
    WORKER,
    Interpreter,
    interpreter,
    threads,
)
from experiments.benchmark_attention_targets import WINDOW, judged, lengths
from experiments.benchmark_tables import markdown_table, markdown_targets, targets_table
from experiments.command import run, write_json
from experiments.printing import console_on
from kernels.attention.shapes import SHAPES
from mer_jax.errors import InputError, nearest
from mer_jax.evaluation.figures_benchmark import benchmark_page
from mer_jax.records import write_atomically
from mer_jax.training.host_memory import keep_freed_memory
from mer_jax.training.run_folder import provenance

MEMORY = "experiments.benchmark_attention_memory"
COLUMNS = ["implementation", "pass", "ms, median", "spread", "compile ms", "peak MiB", "x ours"]
DEFAULT_SHAPES = (
    "meld_dialogue_33",
    "iemocap_128x60",
    "mosei_unaligned_50x500",
    "lexico_128x2000",
    "square_256",
    "square_1024",
    "square_2048",
    "square_4096",
    "square_8192",
)


@dataclasses.dataclass(frozen=True)
class Args:
    """Time and memory of windowed attention, ours and others', in one run.

    Attributes:
        shapes: named shapes; see kernels/attention/shapes.py.
        scores: how a query and a key are compared.
        alignments: global, forced, sliding_window_W, local_m_D, local_p_D with numbers of keys, such
            as sliding_window_64; none: sliding_window_64 where there are as many queries as keys,
            and that, local_p_32 and forced elsewhere.
        dtypes: of the inputs.
        passes: forward, forward+backward.
        implementations: ours; those that cannot serve are named with the reason.
        peers: others; none after the flag: no comparison.
        rounds: turns of each.
        seconds: an implementation that has taken so long in a case drops out after its third turn.
        memory_gib: a call that needs more is left out: known from compilation, or estimated for torch.
        host_memory: given back to the system by each process when freed, as libraries come, or
            kept, as the trainings here do. For all alike.
        torch_python: an interpreter that can import torch and numpy; empty: without those peers.
        json: also write the rows to this file.
        out: also write an HTML page with figures to this file.
    """

    shapes: tuple[str, ...] = DEFAULT_SHAPES
    scores: tuple[Literal["dot", "additive"], ...] = ("dot", "additive")
    alignments: tuple[str, ...] = ()
    dtypes: tuple[Literal["float32", "bfloat16"], ...] = ("float32",)
    passes: tuple[Literal["forward", "forward+backward"], ...] = ("forward", "forward+backward")
    implementations: tuple[str, ...] = OURS[:-1]
    peers: tuple[str, ...] = tuple(PEERS)
    rounds: int = 15
    seconds: float = 5.0
    memory_gib: float = 3.5
    host_memory: Literal["given_back", "kept"] = "given_back"
    torch_python: str = ""
    json: Path | None = None
    out: Path | None = None


def main(args: Args) -> int:
    """Every case in turn; then the tables, the targets and the page."""
    _check(args)
    if args.host_memory == "kept":
        keep_freed_memory()
    rows: list[dict[str, Any]] = []
    left_out: list[dict[str, str]] = []
    with contextlib.ExitStack() as stack:
        setting = _setting(args, stack)
        for case in cases(args):
            found, refused = contest(case, args.passes, setting)
            rows += found
            left_out += refused
        growing = _growing(args, setting)
    result = _result(rows, growing, left_out, args, {} if setting.torch is None else setting.torch.about)
    show(result)
    write_json(args.json, result)
    if args.out is not None:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(args.out, benchmark_page("Windowed attention", result).encode())
    return 0


def _setting(args: Args, stack: contextlib.ExitStack) -> Setting:
    """What holds for every case; folder and processes last as long as the stack."""

    def process(command: Sequence[str], environment: Mapping[str, str], remedy: str) -> Interpreter | None:
        return stack.enter_context(interpreter(command, environment, remedy))

    in_torch = [args.torch_python, str(WORKER)]
    with_native = "native" in args.implementations and jax.default_backend() == "cpu"
    in_jax = [sys.executable if with_native else "", "-m", MEMORY]
    return Setting(
        tuple(args.implementations),
        tuple(args.peers),
        args.rounds,
        args.seconds,
        args.memory_gib,
        Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="attention-"))),
        process(in_torch, KEPT if args.host_memory == "kept" else {}, TORCH_REMEDY),
        process(in_torch, GIVEN_BACK, TORCH_REMEDY),
        process(in_jax, GIVEN_BACK, "leave native out of --implementations"),
    )


def cases(args: Args) -> Iterator[Case]:
    """Every combination asked for, alignments by shape where none is named."""
    for name, score, dtype in itertools.product(args.shapes, args.scores, args.dtypes):
        shape = SHAPES[name]
        usual = DEFAULT_ON_SQUARE if name.startswith("square") else DEFAULT_ON_REAL
        for alignment in args.alignments or usual:
            yield Case(shape, score, alignment, dtype)


def _growing(args: Args, setting: Setting) -> list[dict[str, Any]]:
    """Rows of ours at the lengths that a target compares, where all of them are asked for."""
    rows = []
    for (score, direction, dtype), wanted in lengths(jax.default_backend()).items():
        names = [f"square_{length}" for length in wanted]
        asked = score in args.scores and direction in args.passes and dtype in args.dtypes
        if asked and set(names) <= set(args.shapes) and WINDOW in (args.alignments or (WINDOW,)):
            cases = [Case(SHAPES[name], score, WINDOW, dtype) for name in names]
            print(f"{score} {dtype}, {direction}: {', '.join(names)} in turns", file=sys.stderr)
            rows += lengths_in_turns(cases, direction, setting)
    return rows


def _check(args: Args) -> None:
    for flag, names, known in (
        ("--shapes", args.shapes, SHAPES),
        ("--implementations", args.implementations, OURS),
        ("--peers", args.peers, PEERS),
    ):
        for name in names:
            if name not in known:
                raise InputError(f"{flag} {name!r} is unknown; {nearest(name, known)}")
    for name in args.alignments:
        check_alignment(name)
    for flag, empty in (("--shapes", not args.shapes), ("--implementations", not args.implementations)):
        if empty:
            raise InputError(f"{flag} names none; give at least one")
    if args.rounds < 1 or args.seconds <= 0 or args.memory_gib <= 0:
        raise InputError(
            f"--rounds {args.rounds}, --seconds {args.seconds:g} and --memory-gib {args.memory_gib:g} must be positive"
        )


def _result(
    rows: Sequence[Mapping[str, Any]],
    growing: Sequence[Mapping[str, Any]],
    left_out: Sequence[Mapping[str, str]],
    args: Args,
    torch: Mapping[str, str],
) -> dict[str, Any]:
    record = provenance()
    versions = record["versions"] | ({"torch": torch["torch"]} if torch else {})
    about = {LABELS[name]: PEERS[name].about for name in args.peers}
    return {
        "device": record["device"],
        "versions": versions,
        "commit": record["commit"],
        "command": record["command"],
        "threads": threads(),
        "host_memory": args.host_memory,
        "rows": list(rows),
        "lengths": list(growing),
        "targets": judged(rows, growing, jax.default_backend()),
        "left_out": _together(left_out),
        "peers": about,
        "shapes": {name: SHAPES[name].source for name in args.shapes},
    }


def _together(left_out: Sequence[Mapping[str, str]]) -> list[dict[str, Any]]:
    """One entry for each implementation and reason, with its cases."""
    groups: dict[tuple[str, str], list[str]] = {}
    for one in left_out:
        groups.setdefault((one["implementation"], one["why"]), []).append(f"{one['case']}, {one['pass']}")
    return [{"implementation": who, "why": why, "cases": cases} for (who, why), cases in groups.items()]


def show(result: Mapping[str, Any]) -> None:
    """A table a case, who was left out, and the targets."""
    console = console_on(sys.stdout)
    rows = result["rows"]
    for case in dict.fromkeys(row["case"] for row in rows):
        own = [row for row in rows if row["case"] == case]
        table = Table(title=f"{case} ({_sizes(own[0])})", title_justify="left")
        for name in COLUMNS:
            table.add_column(name, justify="left" if name in COLUMNS[:2] else "right")
        for row in own:
            table.add_row(*cells(row), style="bold" if row["default"] else None)
        console.print(table)
    for line in remarks(result):
        console.print(line, markup=False, soft_wrap=True)
    console.print(targets_table("what is asked (B = 8, d = 64, w = 64)", result["targets"]))


def remarks(result: Mapping[str, Any]) -> Iterator[str]:
    """Who was left out and why; who computes something else than was thought."""
    for one in result["left_out"]:
        first, more = one["cases"][0], len(one["cases"]) - 1
        where = f"{first}{f' and {more} more' if more else ''}"
        yield f"left out: {one['implementation']}, {where}: {one['why']}"
    for row in result["rows"]:
        if row["deviation"] is not None and not row["deviation"] <= TOLERANCE[row["dtype"]]:
            yield f"DIFFERS: {row['implementation']}, {row['case']}: by {row['deviation']:.1g} of the largest entry"


TOLERANCE = {"float32": 1e-4, "bfloat16": 3e-2}


def cells(row: Mapping[str, Any]) -> list[str]:
    """The table's columns."""
    compiled = f"{row['compile_ms']:.0f}" if row["compile_ms"] else "-"
    peak = "-" if row["peak_mib"] is None else f"{row['peak_mib']:.1f}"
    ratio = "-" if row["ratio"] is None else f"{row['ratio']:.3g}"
    times = (_short(row["median_ms"]), _short(row["spread_ms"]))
    return [row["implementation"], row["pass"], *times, compiled, peak, ratio]


def _short(milliseconds: float) -> str:
    return f"{milliseconds:,.0f}" if milliseconds >= 100 else f"{milliseconds:.3g}"


def _sizes(row: Mapping[str, Any]) -> str:
    return f"B = {row['batch']}, m = {row['m']}, n = {row['n']}, d = {row['d']}"


def markdown(result: Mapping[str, Any]) -> str:
    """The content of `--json` as tables for BENCHMARKS.md: targets, then a table a score."""
    lines = markdown_targets(result["targets"])
    for score in dict.fromkeys(row["score"] for row in result["rows"]):
        own = [row for row in result["rows"] if row["score"] == score]
        lines += [
            "",
            f"{score.capitalize()} score: ms, median ± interquartile range; extra memory at the peak, MiB.",
            "",
        ]
        lines += _side_by_side(own)
    lines += ["", *(f"- {line}" for line in remarks(result))]
    lines += [f"- {label}: {about}." for label, about in result["peers"].items()]
    return "\n".join(lines)


def _side_by_side(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """A line for each shape, alignment, type and pass, a column for each implementation."""
    names = list(dict.fromkeys(row["implementation"] for row in rows))
    held: dict[tuple[str, ...], dict[str, str]] = {}
    for row in rows:
        memory = "" if row["peak_mib"] is None else f"; {row['peak_mib']:.1f}"
        key = (row["shape"], row["alignment"], row["dtype"], row["pass"])
        cell = f"{_short(row['median_ms'])} ± {_short(row['spread_ms'])}{memory}"
        held.setdefault(key, {})[row["implementation"]] = cell
    lines = [[*key, *(cells.get(name, "-") for name in names)] for key, cells in held.items()]
    return markdown_table(("shape", "alignment", "type", "pass", *names), lines)


if __name__ == "__main__":
    sys.exit(run(main, Args))
