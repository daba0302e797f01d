"""How long a decoder that attends to audio takes, and how much memory, beside the same in PyTorch.

    python -m experiments.benchmark_decoder --torch-python OTHER_ENVIRONMENT/bin/python
    python -m experiments.benchmark_decoder --parts decoder --lengths 2000 --scores general --json decoder.json
    python -m experiments.benchmark_decoder --parts memory

Three parts. decoder: 128 words attend by a concat or a general score to windows of given audio
states, and all gradients (parameters, words, audio states). step: a training step of the lexico-acoustic
system from words and raw waveforms. memory: the decoder's, for windows and for global attention, as XLA
states it.

PyTorch is no dependency: it runs in the environment whose interpreter is named, with as many threads,
in several ways to get at a window. Both sides have the same parameters, and are compared before they
are timed, in turns. Its memory is the growth of a process of its own.
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

from experiments.benchmark_attention_peers import GIVEN_BACK, KEPT, TORCH_REMEDY, interpreter, threads
from experiments.benchmark_decoder_cases import (
    MIB,
    Setting,
    Sizes,
    attending,
    check_same,
    in_torch,
    keys_alone,
    memory_of_decoder,
    temporaries,
    training,
    ways,
)
from experiments.benchmark_tables import at_least, at_most, markdown_table, markdown_targets, targets_table
from experiments.command import run, write_json
from experiments.printing import console_on
from kernels.attention.bench import in_turns, stopwatch, summary
from mer_jax.errors import InputError
from mer_jax.nn.decoder import Feedback
from mer_jax.training.host_memory import keep_freed_memory
from mer_jax.training.run_folder import provenance

WORKER = Path(__file__).with_name("benchmark_decoder_torch.py")
OURS, KEYS = "mer_jax", "keys alone"
POOLED = 2500  # samples of an audio state
# How many times as fast as PyTorch: without feedback, with that of the state, with input feeding.
ASKED = {"decoder over 2000": (5, 2, 2), "decoder over 60": (1, 2, 2), "training step": (1, 1, 1)}
COLUMNS = ("case", "implementation", "ms, median", "spread", "compile ms", "peak MiB", "x ours")
ABOUT = {
    KEYS: "the product W2 s of all audio states and its two gradients, by XLA: no concat score does with less",
    "torch masked": "scores of all audio states, those outside the window masked",
    "torch fused": "the same by scaled_dot_product_attention, general score without feedback",
    "torch by_arrays": "windows by key[rows, places], at each step or, without feedback, all at once",
    "torch by_step": "windows by index_select, at each step",
    "torch at_once": "all windows by one index_select before the first step: no window may depend on a state",
    "torch in_pieces": "the same for 16 words at a time, where nothing is fed back",
}


@dataclasses.dataclass(frozen=True)
class Args:
    """Time and memory of the attending decoder and of a lexico-acoustic training step.

    Attributes:
        parts: decoder, step, memory.
        lengths: audio states that the decoder attends to.
        scores: concat, v . tanh(W1 h + W2 s); general, h W s.
        feedbacks: what becomes of an attentional vector: none, state, input.
        batch: examples; words, each of dim features; hidden: units of the GRUs; width: of the window.
        samples: of each waveform of a step.
        vocabulary: rows of its table of words.
        step_batch: its examples.
        memory_length: audio states of the memory part; memory_widths: its windows.
        rounds: turns of each.
        seconds: an implementation that has taken so long in a case drops out after its third turn.
        memory_gib: what would need more in PyTorch, as estimated, is left out.
        host_memory: kept by each process when freed, as trainings here do, or given back to the system.
        torch_python: an interpreter that can import torch and numpy; empty: no comparison.
        json: also write the rows to this file.
    """

    parts: tuple[Literal["decoder", "step", "memory"], ...] = ("decoder", "step", "memory")
    lengths: tuple[int, ...] = (60, 2000)
    scores: tuple[Literal["concat", "general"], ...] = ("concat", "general")
    feedbacks: tuple[Feedback, ...] = ("none", "state", "input")
    batch: int = 32
    words: int = 128
    dim: int = 100
    hidden: int = 200
    width: int = 64
    samples: int = 150_000
    vocabulary: int = 4096
    step_batch: int = 32
    memory_length: int = 8192
    memory_widths: tuple[int, ...] = (16, 64, 256)
    rounds: int = 9
    seconds: float = 8.0
    memory_gib: float = 4.0
    host_memory: Literal["kept", "given_back"] = "kept"
    torch_python: str = ""
    json: Path | None = None


def main(args: Args) -> int:
    """Every case in turn; then the table and what is asked."""
    _check(args)
    if args.host_memory == "kept":
        keep_freed_memory()
    result: dict[str, Any] = {"rows": [], "left_out": []}
    with contextlib.ExitStack() as stack:
        setting = _setting(args, stack)
        for case in cases(args):
            print(case["case"], file=sys.stderr)
            rows, left_out = memory(case) if case["part"] == "memory" else contest(case, args, setting)
            result["rows"] += rows
            result["left_out"] += left_out
        versions = {} if setting.torch is None else setting.torch.about
    record = provenance()
    result |= {name: record[name] for name in ("device", "versions", "commit", "command")}
    result["versions"] |= versions
    result |= {"threads": threads(), "host_memory": args.host_memory, "targets": judged(result["rows"])}
    show(result)
    write_json(args.json, result)
    return 0


def _check(args: Args) -> None:
    numbers = {f.name: getattr(args, f.name) for f in dataclasses.fields(args)}
    for name, value in numbers.items():
        values = value if isinstance(value, tuple) else (value,)
        if any(isinstance(x, int | float) and x <= 0 for x in values):
            raise InputError(f"--{name.replace('_', '-')} {value} must be positive")
    for name in ("parts", "scores", "feedbacks", "lengths", "memory_widths"):
        if not numbers[name]:
            raise InputError(f"--{name.replace('_', '-')} names none; give at least one")


def _setting(args: Args, stack: contextlib.ExitStack) -> Setting:
    """What holds for every case; folder and processes last as long as the stack."""
    command = [args.torch_python, str(WORKER)]
    kept = KEPT if args.host_memory == "kept" else {}
    return Setting(
        args.rounds,
        args.seconds,
        args.memory_gib,
        Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="decoder-"))),
        stack.enter_context(interpreter(command, kept, TORCH_REMEDY)),
        stack.enter_context(interpreter(command, GIVEN_BACK, TORCH_REMEDY)),
    )


def cases(args: Args) -> Iterator[dict[str, Any]]:
    """What is to be measured: part, name, sizes."""
    sizes = Sizes(args.batch, args.words, args.dim, args.hidden, args.width)
    kinds = [
        (f"{score}, feedback {feedback}", {"score": score, "feedback": feedback})
        for score, feedback in itertools.product(args.scores, args.feedbacks)
    ]
    for n, (kind, about) in itertools.product(args.lengths, kinds):
        if "decoder" in args.parts:
            yield {"part": "decoder", "case": f"decoder over {n}, {kind}", "n": n, "sizes": sizes} | about
    for kind, about in kinds:
        if "step" in args.parts:
            own = dataclasses.replace(sizes, batch=args.step_batch)
            n = -(-args.samples // POOLED)
            yield {"part": "step", "case": f"training step, {kind}", "n": n, "sizes": own} | about
    for (kind, about), width in itertools.product(kinds, (*args.memory_widths, None)):
        # Without feedback the CPU's native kernel allocates for itself, which XLA does not see.
        if "memory" in args.parts and about["feedback"] != "none":
            own = sizes if width is None else dataclasses.replace(sizes, width=width)
            alignment = {"alignment": "global" if width is None else "window"}
            seen = "global" if width is None else f"w = {width}"
            case = f"memory over {args.memory_length}, {kind}, {seen}"
            yield {"part": "memory", "case": case, "n": args.memory_length, "sizes": own} | about | alignment


Found = tuple[list[dict[str, Any]], list[dict[str, str]]]


def contest(case: Mapping[str, Any], args: Args, setting: Setting) -> Found:
    """Rows of one case of the parts decoder and step, and who was left out and why."""
    sizes, score, feedback = case["sizes"], case["score"], case["feedback"]
    if case["part"] == "decoder":
        ours = attending(sizes, case["n"], score, feedback)
    else:
        ours = training(sizes, args.samples, args.vocabulary, score, feedback)
    turns: dict[str, Callable[[], float]] = {OURS: stopwatch(ours.run)}
    about: dict[str, tuple[float, float | None, float | None]] = {
        OURS: (ours.compile_ms, ours.temporary_mib, None)
    }
    if (case["part"], score, feedback) == ("decoder", "concat", "none"):
        keys = keys_alone(sizes, case["n"])
        turns[KEYS] = stopwatch(keys.run)
        about[KEYS] = (keys.compile_ms, keys.temporary / MIB, None)
    left_out = []
    agreed = ours.results()
    path = setting.folder / "arrays.npz"
    if setting.torch is not None:
        arrays: dict[str, Any] = dict(ours.arrays)
        np.savez(path, **arrays)
    for name in ways(score, feedback):
        reason = _why_not(case, name, setting)
        if reason is not None:
            left_out.append({"case": case["case"], "implementation": f"torch {name}", "why": reason})
            continue
        turn, peak, results = in_torch(setting, name, case["part"], feedback, path)
        deviation = check_same(agreed, results, f"{case['case']}, torch {name}")
        turns[f"torch {name}"], about[f"torch {name}"] = turn, (0.0, peak, deviation)
    times = in_turns(turns, setting.rounds, setting.seconds)
    if setting.torch is not None:
        setting.torch.ask("drop")
    return _rows(case, times, about), left_out


def _why_not(case: Mapping[str, Any], name: str, setting: Setting) -> str | None:
    if setting.torch is None:
        return "no --torch-python is given"
    whole = case["feedback"] == "none"
    needed = temporaries(case["sizes"], case["n"], case["score"], name, whole) / 2**30
    if needed > setting.memory_gib:
        return f"it needs about {needed:.1f} GiB, more than --memory-gib {setting.memory_gib:g}"
    return None


def _rows(
    case: Mapping[str, Any],
    times: Mapping[str, Sequence[float]],
    about: Mapping[str, tuple[float, float | None, float | None]],
) -> list[dict[str, Any]]:
    ours, rows = summary(times[OURS]).median, []
    for name, own in times.items():
        median, spread, rounds = summary(own)
        compile_ms, peak, deviation = about[name]
        rows.append(
            _row(case, name, compile_ms, peak)
            | {
                "median_ms": float(f"{median:.4g}"),
                "spread_ms": float(f"{spread:.3g}"),
                "ratio": float(f"{median / ours:.3g}"),
                "rounds": rounds,
                "deviation": deviation,
            }
        )
    return rows


def memory(case: Mapping[str, Any]) -> Found:
    """The row of one case of the part memory, which is compiled and not run."""
    asked = (case[name] for name in ("sizes", "n", "score", "feedback", "alignment"))
    mib, compile_ms = memory_of_decoder(*asked)
    untimed = {"median_ms": None, "spread_ms": None, "ratio": None, "rounds": 0, "deviation": None}
    return [_row(case, OURS, compile_ms, mib) | untimed], []


def _row(case: Mapping[str, Any], name: str, compile_ms: float, peak: float | None) -> dict[str, Any]:
    return {
        "case": case["case"],
        "implementation": name,
        "pass": "forward+backward",
        "compile_ms": round(compile_ms, 1),
        "peak_mib": None if peak is None else round(peak, 1),
        "part": case["part"],
        "n": case["n"],
        "score": case["score"],
        "feedback": case["feedback"],
        "alignment": case.get("alignment", "window"),
        **dataclasses.asdict(case["sizes"]),
    }


def judged(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What is asked of the CPU, with what this run says to it; None where a part was not measured."""
    found = []
    for score in ("concat", "general"):
        found += [
            _faster(rows, f"{what}, {score}, feedback {feedback}", bound)
            for what, bounds in ASKED.items()
            for feedback, bound in zip(("none", "state", "input"), bounds, strict=True)
        ]
        found += [_linear(rows, score, feedback) for feedback in ("state", "input")]
    return found


def _faster(rows: Sequence[Mapping[str, Any]], case: str, bound: float) -> dict[str, Any]:
    """The fastest of PyTorch's ways against ours."""
    own = [row for row in rows if row["case"] == case and row["implementation"].startswith("torch ")]
    fastest = min(own, key=lambda row: row["median_ms"], default=None)
    who = "the fastest torch" if fastest is None else fastest["implementation"]
    value = None if fastest is None else fastest["ratio"]
    return at_least(f"{case}: {who} / ours", bound, value)


def _linear(rows: Sequence[Mapping[str, Any]], score: str, feedback: str) -> dict[str, Any]:
    """How much more memory the widest window takes than the narrowest; linear would be as much more
    as it is wider, and what does not depend on the window (keys, gradients of all states) makes it less."""
    own = [
        row
        for row in rows
        if (row["part"], row["alignment"]) == ("memory", "window")
        and (row["score"], row["feedback"]) == (score, feedback)
    ]
    sizes = sorted((row["width"], row["peak_mib"]) for row in own)
    (w0, m0), (w1, m1) = (sizes[0], sizes[-1]) if len(sizes) > 1 else ((1, 0), (16, 0))
    what = (
        f"memory over many states, {score}, feedback {feedback}: MiB at the widest window / at the narrowest"
    )
    return at_most(what, w1 / w0, m1 / m0 if m0 else None)


def cells(row: Mapping[str, Any]) -> list[str]:
    """The table's columns."""
    times = ("-" if row[name] is None else f"{row[name]:.3g}" for name in ("median_ms", "spread_ms"))
    compiled = f"{row['compile_ms']:.0f}" if row["compile_ms"] else "-"
    peak = "-" if row["peak_mib"] is None else f"{row['peak_mib']:.0f}"
    ratio = "-" if row["ratio"] is None else f"{row['ratio']:.3g}"
    return [row["case"], row["implementation"], *times, compiled, peak, ratio]


def show(result: Mapping[str, Any]) -> None:
    """The rows, who was left out, and the targets."""
    console = console_on(sys.stdout)
    table = Table(title="forward and backward, all gradients, float32", title_justify="left")
    for name in COLUMNS:
        table.add_column(name, justify="left" if name in COLUMNS[:2] else "right")
    for row in result["rows"]:
        table.add_row(*cells(row), style="bold" if row["implementation"] == OURS else None)
    console.print(table)
    for line in remarks(result):
        console.print(line, markup=False, soft_wrap=True)
    console.print(targets_table("what is asked", result["targets"]))


def remarks(result: Mapping[str, Any]) -> Iterator[str]:
    """Sizes, how well the two sides agree, who was left out and why."""
    for row in result["rows"][:1]:
        sizes = ", ".join(f"{name} {row[name]}" for name in ("words", "dim", "hidden", "width"))
        yield f"{sizes}; batch {' and '.join(sorted({str(r['batch']) for r in result['rows']}))}; {result['threads']} threads"
    found = [row["deviation"] for row in result["rows"] if row["deviation"] is not None]
    if found:
        yield f"the largest difference between the two, of a state, a loss or a gradient: {max(found):.1g} of its largest entry"
    for one in result["left_out"]:
        yield f"left out: {one['implementation']}, {one['case']}: {one['why']}"


def markdown(result: Mapping[str, Any]) -> str:
    """The content of `--json` as tables for BENCHMARKS.md: targets, then rows."""
    rows = [cells(row) for row in result["rows"]]
    lines = [*markdown_targets(result["targets"]), "", *markdown_table(COLUMNS, rows)]
    lines += ["", *(f"- {line}" for line in remarks(result))]
    return "\n".join([*lines, *(f"- {name}: {about}." for name, about in ABOUT.items())])


if __name__ == "__main__":
    sys.exit(run(main, Args))
