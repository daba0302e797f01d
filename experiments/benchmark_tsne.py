"""How long t-SNE's kernels take, how much memory, and how exact they are, beside scikit-learn and openTSNE.

    python -m experiments.benchmark_tsne --json tsne.json --out tsne.html
    python -m experiments.benchmark_tsne --parts divergence --mapped batch_5120
    python -m experiments.benchmark_tsne --parts growth transform --grown 1000 10000

Four parts, all on generated Gaussian clusters of the named shapes (kernels/tsne/shapes.py). calibration:
affinities of a perplexity, beside scikit-learn's search, with the error of the perplexity achieved.
divergence (KL): its value and gradient for a map in two dimensions, over all pairs (P given, or streamed from the
points) and with P over the nearest, beside autodiff of the plain formula, scikit-learn's exact and
Barnes-Hut gradients and openTSNE's by FFT, with the error of the gradient. growth: how ours grow with
the number of rows. transform: rows through a network of 128 x 3, in the CPU's seconds.

All who serve a case are compiled beforehand and timed in turns. Errors are those from float64. Memory is
what XLA allocates beside arguments and results; the native kernel takes none by itself. openTSNE is no
dependency: where it is not installed it is left out, and the run says so.
"""

import dataclasses
import importlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from rich.table import Table

from experiments.benchmark_attention_peers import threads
from experiments.benchmark_tables import markdown_table, markdown_targets, targets_table
from experiments.benchmark_tsne_contest import (
    LeftOut,
    Rows,
    Setting,
    calibration,
    divergence,
    growth,
    transform,
)
from experiments.benchmark_tsne_targets import judged
from experiments.command import run, write_json
from experiments.printing import console_on
from kernels.tsne.shapes import SHAPES
from mer_jax.errors import InputError, nearest
from mer_jax.evaluation.figures_benchmark import benchmark_page, growing, side_by_side
from mer_jax.records import write_atomically
from mer_jax.training.host_memory import keep_freed_memory
from mer_jax.training.run_folder import provenance

COLUMNS = ("case", "implementation", "ms, median", "spread", "compile ms", "peak MiB", "error", "x ours")
EMOTIONS = 6  # features of the rows that are transformed
ABOUT = {
    "error": "the largest, relative, of the achieved perplexity or of the gradient's largest entry, from float64",
    "mer_jax, streamed P": "P is recomputed from the calibrated points, pair by pair",
    "naive autodiff": "jax.value_and_grad of the plain formula, all pairs materialised, compiled",
    "scikit-learn": "_binary_search_perplexity, its Cython search, one thread",
    "scikit-learn exact": "_kl_divergence in double precision",
    "scikit-learn Barnes-Hut": "_kl_divergence_bh with angle .5 and value",
    "openTSNE FFT": "kl_divergence_fft with its default grid and value",
}


@dataclasses.dataclass(frozen=True)
class Args:
    """Time, memory and exactness of t-SNE's kernels, in one run; the data are generated.

    Attributes:
        parts: calibration, divergence, growth, transform.
        calibrated: shapes to calibrate.
        mapped: shapes whose divergence is taken.
        grown: numbers of rows of the part growth; features: of each row.
        all_pairs_up_to: rows up to which the part growth takes all pairs.
        transformed: numbers of rows of the part transform.
        neighbours: k of the graphs, where the shape names none.
        rounds: turns of each.
        seconds: what has taken so long in a case drops out after its third turn.
        memory_gib: a call that needs more, by XLA's plan, is left out.
        host_memory: kept when freed, as the trainings here do, or given back to the system.
        json: also write the rows to this file.
        out: also write an HTML page with figures to this file.
    """

    parts: tuple[Literal["calibration", "divergence", "growth", "transform"], ...] = (
        "calibration",
        "divergence",
        "growth",
        "transform",
    )
    calibrated: tuple[str, ...] = (
        "mnist_pca50_1000",
        "mnist_pca50_2000",
        "mnist_pca50_5000",
        "mnist_pca50_10000x90",
        "mnist_pca50_100000x90",
    )
    mapped: tuple[str, ...] = ("batch_1024", "mosei_distinct_1296x6", "batch_5120")
    grown: tuple[int, ...] = (1_000, 10_000, 100_000, 1_000_000)
    features: int = 50
    all_pairs_up_to: int = 100_000
    transformed: tuple[int, ...] = (1_000, 10_000, 100_000, 1_000_000)
    neighbours: int = 90
    rounds: int = 9
    seconds: float = 20.0
    memory_gib: float = 4.0
    host_memory: Literal["kept", "given_back"] = "kept"
    json: Path | None = None
    out: Path | None = None


def main(args: Args) -> int:
    """Every case in turn; then the table, what is asked and the page."""
    _check(args)
    if args.host_memory == "kept":
        keep_freed_memory()
    rows: Rows = []
    left_out: LeftOut = []
    for measure in cases(args):
        found, refused = measure()
        rows += found
        left_out += refused
    result = _result(rows, left_out, args)
    show(result)
    write_json(args.json, result)
    if args.out is not None:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(args.out, page(result).encode())
    return 0


def cases(args: Args) -> Iterator[Callable[[], tuple[Rows, LeftOut]]]:
    """What is to be measured, in the order of the table."""
    setting = Setting(args.neighbours, args.rounds, args.seconds, args.memory_gib)
    for name in args.calibrated if "calibration" in args.parts else ():
        yield lambda name=name: calibration(SHAPES[name], setting)
    for name in args.mapped if "divergence" in args.parts else ():
        yield lambda name=name: divergence(SHAPES[name], setting)
    for n in args.grown if "growth" in args.parts else ():
        perplexity = min(30.0, args.neighbours / 3)
        yield lambda n=n, p=perplexity: growth(n, args.features, p, args.all_pairs_up_to, setting)
    for n in args.transformed if "transform" in args.parts else ():
        yield lambda n=n: transform(n, EMOTIONS, setting)


def _check(args: Args) -> None:
    for flag, names in (("--calibrated", args.calibrated), ("--mapped", args.mapped)):
        for name in names:
            if name not in SHAPES:
                raise InputError(f"{flag} {name!r} is unknown; {nearest(name, SHAPES)}")
    if not args.parts:
        raise InputError("--parts names none; give at least one")
    for name in ("features", "rounds", "seconds", "memory_gib"):
        if getattr(args, name) <= 0:
            raise InputError(f"--{name.replace('_', '-')} {getattr(args, name)} must be positive")
    if args.neighbours < 4:
        raise InputError(
            f"--neighbours {args.neighbours} must be at least 4: the perplexity is a third of it"
        )
    if min(args.grown, default=1 + args.neighbours) <= args.neighbours:
        raise InputError(f"--grown {min(args.grown)} must be above --neighbours {args.neighbours}")
    if min(args.transformed, default=1) < 1:
        raise InputError(f"--transformed {min(args.transformed)} must be positive")


def _result(rows: Rows, left_out: LeftOut, args: Args) -> dict[str, Any]:
    record = provenance()
    names = (*args.calibrated, *args.mapped)
    return {name: record[name] for name in ("device", "versions", "commit", "command")} | {
        "versions": record["versions"] | _version("openTSNE"),
        "threads": threads(),
        "host_memory": args.host_memory,
        "generated": True,
        "rows": rows,
        "targets": judged(rows),
        "left_out": _together(left_out),
        "peers": ABOUT,
        "shapes": {name: f"{SHAPES[name].source}; the numbers are generated" for name in names},
    }


def _version(package: str) -> dict[str, str]:
    try:
        return {package: importlib.import_module(package).__version__}
    except ImportError:
        return {}


def _together(left_out: LeftOut) -> list[dict[str, Any]]:
    """One entry for each implementation and reason, with its cases."""
    groups: dict[tuple[str, str], list[str]] = {}
    for one in left_out:
        groups.setdefault((one["implementation"], one["why"]), []).append(one["case"])
    return [{"implementation": who, "why": why, "cases": cases} for (who, why), cases in groups.items()]


def page(result: Mapping[str, Any]) -> str:
    """Targets, figures, every row."""
    grown = [row for row in result["rows"] if row["part"] in ("growth", "transform")]
    sections = growing(grown) if len({row["n"] for row in grown}) > 1 else []
    for case in dict.fromkeys(row["case"] for row in result["rows"] if row["part"] == "divergence"):
        sections.append(side_by_side(case, [row for row in result["rows"] if row["case"] == case]))
    return benchmark_page("t-SNE's kernels, generated data", result, sections, errors=True)


def show(result: Mapping[str, Any]) -> None:
    """A table a part, remarks, and the targets."""
    console = console_on(sys.stdout)
    for part in dict.fromkeys(row["part"] for row in result["rows"]):
        table = Table(title=f"{part} (generated data, float32)", title_justify="left")
        for name in COLUMNS:
            table.add_column(name, justify="left" if name in COLUMNS[:2] else "right")
        for row in result["rows"]:
            if row["part"] == part:
                table.add_row(*cells(row), style="bold" if row["default"] else None)
        console.print(table)
    for line in remarks(result):
        console.print(line, markup=False, soft_wrap=True)
    console.print(targets_table("what is asked", result["targets"]))


def cells(row: Mapping[str, Any]) -> list[str]:
    """The table's columns."""
    numbers = (row["median_ms"], row["spread_ms"], row["compile_ms"] or None, row["peak_mib"])
    return [
        row["case"],
        row["implementation"],
        *map(_short, numbers),
        _error(row["deviation"]),
        _short(row["ratio"]),
    ]


def _short(number: float | None) -> str:
    if number is None:
        return "-"
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"


def _error(number: float | None) -> str:
    return "-" if number is None else f"{number:.1e}"


def remarks(result: Mapping[str, Any]) -> Iterator[str]:
    """What the data are, the CPU's seconds, who was left out and why."""
    yield f"the data are generated Gaussian clusters of the shapes named; {result['threads']} threads"
    for row in result["rows"]:
        if "cpu_seconds" in row:
            yield f"{row['case']}: {row['cpu_seconds']:g} CPU seconds over all threads"
    for one in result["left_out"]:
        yield f"left out: {one['implementation']}, {', '.join(one['cases'])}: {one['why']}"


def markdown(result: Mapping[str, Any]) -> str:
    """The content of `--json` as tables for BENCHMARKS.md: targets, then rows."""
    rows: Sequence[list[str]] = [cells(row) for row in result["rows"]]
    lines = [*markdown_targets(result["targets"]), "", *markdown_table(COLUMNS, rows)]
    lines += ["", *(f"- {line}" for line in remarks(result))]
    return "\n".join([*lines, *(f"- {name}: {about}." for name, about in result["peers"].items())])


if __name__ == "__main__":
    sys.exit(run(main, Args))
