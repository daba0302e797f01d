"""The parts of `benchmark_tsne`: everyone who can serve a case is prepared, checked and timed in turns."""

import dataclasses
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments import benchmark_tsne_cases as cases
from experiments.benchmark_attention_peers import threads
from kernels.attention.bench import compiled, in_turns, stopwatch, summary
from kernels.tsne import SparseJoint
from kernels.tsne.blocks import squared_distances
from kernels.tsne.shapes import Shape

Rows = list[dict[str, Any]]
LeftOut = list[dict[str, str]]
MIB = 2**20
OURS = ("native", "xla")  # the first that serves is the one others are compared with
STREAMED = "mer_jax {}, streamed P"
WITH_GRADIENT = "KL and gradient, edges and all pairs"


@dataclasses.dataclass(frozen=True)
class Setting:
    """What holds for every case.

    Attributes:
        neighbours: k, where a shape of all pairs is also taken over the nearest.
        rounds, seconds: turns of each, and how long it may take in all of them.
        memory_gib: what needs more is left out.
    """

    neighbours: int
    rounds: int
    seconds: float
    memory_gib: float


@dataclasses.dataclass(frozen=True)
class Contestant:
    """Ready for its turns.

    Attributes:
        deviation: of its result, relative; None where there is nothing to compare with.
        peak_mib: memory beside arguments and results; None where unknown.
    """

    run: Callable[[], Any]
    compile_ms: float = 0.0
    peak_mib: float | None = None
    deviation: float | None = None
    ours: bool = False


def calibration(shape: Shape, setting: Setting) -> tuple[Rows, LeftOut]:
    """Ours beside scikit-learn's; the deviation is that of the achieved perplexity."""
    x, numbers = cases.clusters(shape.n, shape.d), None
    if shape.neighbors is None:
        distances = np.array(jax.jit(squared_distances)(x, x))
    else:
        distances, numbers = cases.neighbours(x, shape.neighbors)
    given = jnp.asarray(distances), None if numbers is None else jnp.asarray(numbers)
    program = compiled(cases.ours(shape.perplexity), *given)
    theirs = cases.of_scikit_learn(distances, shape.perplexity)

    def error(found: Any) -> float:
        return cases.perplexity_error(found, shape.perplexity)

    contestants = {
        "mer_jax xla": Contestant(
            program.run, program.compile_ms, program.temporary / MIB, error(program.run()), True
        ),
        "scikit-learn": Contestant(theirs, deviation=error(theirs())),
    }
    return timed(
        f"calibration, {shape.name}", "forward", contestants, setting, part="calibration", n=shape.n
    ), []


def divergence(shape: Shape, setting: Setting) -> tuple[Rows, LeftOut]:
    """Value and gradient over all pairs, then with P over the nearest; the deviation is that of the gradient."""
    problem = cases.Problem.drawn(shape, min(setting.neighbours, shape.n - 1))
    others = cases.peers(problem, threads())
    rows: Rows = []
    left_out: LeftOut = []
    for kind, p in (("all pairs", problem.dense.values), ("neighbours", problem.matrix())):
        wanted = cases.exact(problem.y, p)
        case = f"KL, {shape.name}, {kind}"
        contestants: dict[str, Contestant] = {}
        for name, (implementation, given) in _ours(problem, kind).items():
            made = _program(problem.y, implementation, given, wanted, setting)
            if isinstance(made, str):
                left_out.append({"implementation": name, "why": made, "case": case})
            else:
                contestants[name] = made
        for (of, name), run in others.items():
            if of == kind and isinstance(run, str):
                left_out.append({"implementation": name, "why": run, "case": case})
            elif of == kind and not isinstance(run, str):
                contestants[name] = Contestant(run, deviation=_off(run()[1], wanted))
        rows += timed(case, "forward+backward", contestants, setting, part="divergence", n=shape.n)
    return rows, left_out


def _ours(problem: cases.Problem, kind: str) -> dict[str, tuple[str, Any]]:
    if kind == "neighbours":
        return {f"mer_jax {name}": (name, problem.sparse) for name in OURS}
    dense = {f"mer_jax {name}": (name, problem.dense) for name in OURS}
    streamed = {STREAMED.format(name): (name, problem.streamed) for name in OURS}
    return dense | streamed | {"naive autodiff": ("naive", problem.dense)}


def _program(y: jax.Array, name: str, p: Any, wanted: np.ndarray, setting: Setting) -> Contestant | str:
    try:
        program = compiled(cases.value_and_gradient(name), y, p)
    except ValueError as error:  # `kl_divergence` says before compilation what an implementation cannot
        return str(error).partition("; leave it out")[0]
    if program.temporary > setting.memory_gib * 2**30:
        needed = program.temporary / 2**30
        return f"it needs {needed:.1f} GiB, more than --memory-gib {setting.memory_gib:g}"
    off = _off(program.run()[1], wanted)
    return Contestant(program.run, program.compile_ms, program.temporary / MIB, off, name in OURS)


def _off(gradient: Any, wanted: np.ndarray) -> float:
    """Largest difference, of the largest entry."""
    return float(np.abs(np.asarray(gradient).reshape(wanted.shape) - wanted).max() / np.abs(wanted).max())


def growth(n: int, d: int, perplexity: float, all_pairs_up_to: int, setting: Setting) -> tuple[Rows, LeftOut]:
    """Ours at one number of rows: calibration of a neighbour graph, attraction over it, all pairs."""
    distances, numbers = (jnp.asarray(x) for x in cases.neighbours(cases.clusters(n, d), setting.neighbours))
    y = cases.map_of(n)
    calibrated = compiled(cases.ours(perplexity), distances, numbers)
    p = SparseJoint(numbers, calibrated.run() / n, None, jnp.zeros((), jnp.float32))
    programs = {
        "calibration of a neighbour graph": calibrated,
        "attraction over its edges": compiled(cases.edges(), y, p),
    }
    left_out = []
    if n <= all_pairs_up_to:
        programs[WITH_GRADIENT] = compiled(cases.value_and_gradient(None), y, p)
    else:
        why = f"all pairs are measured up to --all-pairs-up-to {all_pairs_up_to:,} rows"
        left_out = [{"implementation": "mer_jax", "case": f"growth, {n:,} rows", "why": why}]
    contestants = {
        name: Contestant(one.run, one.compile_ms, one.temporary / MIB, ours=True)
        for name, one in programs.items()
    }
    rows = timed(f"growth, {n:,} rows", "forward", contestants, setting, part="growth", n=n)
    passes = {WITH_GRADIENT: {"pass": "forward+backward"}}
    return [row | passes.get(row["implementation"], {}) for row in rows], left_out


def transform(n: int, d: int, setting: Setting) -> tuple[Rows, LeftOut]:
    """Rows through the map's network, with the CPU's seconds over all threads."""
    program = compiled(cases.transform, cases.network(d), jnp.asarray(cases.clusters(n, d)))
    spent = []

    def run() -> Any:
        before = time.process_time()
        found = jax.block_until_ready(program.run())
        spent.append(time.process_time() - before)
        return found

    run()
    ready = {"network of 128 x 3": Contestant(run, program.compile_ms, program.temporary / MIB, ours=True)}
    rows = timed(f"transform, {n:,} rows", "forward", ready, setting, part="transform", n=n)
    return [row | {"cpu_seconds": float(f"{np.median(spent):.3g}")} for row in rows], []


def timed(
    case: str, direction: str, contestants: Mapping[str, Contestant], setting: Setting, *, part: str, n: int
) -> Rows:
    """Rows of a case, everyone having had turns with all others."""
    print(f"{case}: {', '.join(contestants)}", file=sys.stderr)
    turns = {name: stopwatch(c.run) for name, c in contestants.items()}
    times = in_turns(turns, setting.rounds, setting.seconds)
    first = next((name for name, c in contestants.items() if c.ours), None)
    alike = part in ("growth", "transform")  # they do not do the same: no ratio
    rows = []
    for name, c in contestants.items():
        median, spread, rounds = summary(times[name])
        ratio = None if first is None or alike else median / summary(times[first]).median
        rows.append(
            {
                "case": case,
                "implementation": name,
                "pass": direction,
                "median_ms": float(f"{median:.4g}"),
                "spread_ms": float(f"{spread:.3g}"),
                "compile_ms": round(c.compile_ms, 1),
                "peak_mib": None if c.peak_mib is None else round(c.peak_mib, 2),
                "ratio": None if ratio is None else float(f"{ratio:.3g}"),
                "rounds": rounds,
                "default": name == first and not alike,
                "deviation": c.deviation,
                "part": part,
                "n": n,
            }
        )
    return rows
