"""One case of `benchmark_attention`: everyone who can serve it is prepared, checked and timed in turns."""

import contextlib
import dataclasses
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from experiments.benchmark_attention_cases import Case, Function, Problem
from experiments.benchmark_attention_peers import LABELS, PEERS, Interpreter, Peer, save_arrays, threads
from kernels.attention.bench import compiled, forward_and_backward, in_turns, stopwatch, summary

OURS = ("native", "pallas", "xla", "reference")  # the first that serves is the one others are compared with
MIB = 2**20


class CannotServeError(Exception):
    """Why an implementation is left out of a case."""


@dataclasses.dataclass(frozen=True)
class Contestant:
    """An implementation ready for its turns.

    Attributes:
        peak_mib: memory at the peak of a call beside arguments and results; None where unknown.
        context: computes the context, [batch, m, d], to be compared.
        keys: alignment of the keys that it attends to, or None for the case's own.
    """

    label: str
    ours: bool
    compile_ms: float
    peak_mib: float | None
    turn: Callable[[], float]
    context: Callable[[], np.ndarray]
    keys: Any = None


@dataclasses.dataclass(frozen=True)
class Setting:
    """What holds for every case: who takes part, how long, how much memory one call may take.

    torch, and torch_memory and native_memory: other processes; the last two measure memory alone,
    with an allocator that gives back what is freed.
    """

    implementations: tuple[str, ...]
    peers: tuple[str, ...]
    rounds: int
    seconds: float
    memory_gib: float
    folder: Path
    torch: Interpreter | None
    torch_memory: Interpreter | None
    native_memory: Interpreter | None


def contest(
    case: Case, directions: Sequence[str], setting: Setting
) -> tuple[list[dict[str, Any]], list[dict[str, str]]]:
    """Rows of the table, and who was left out and why."""
    problem, rows, left_out = Problem.drawn(case), [], []
    arrays = setting.folder / "arrays.npz"
    if setting.torch is not None:
        save_arrays(problem, arrays)
    for direction in directions:
        contestants, refused = _prepared(problem, direction, setting, arrays)
        left_out += [{"case": case.name, "pass": direction, **one} for one in refused]
        print(f"{case.name}, {direction}: {', '.join(c.label for c in contestants)}", file=sys.stderr)
        times = in_turns({c.label: c.turn for c in contestants}, setting.rounds, setting.seconds)
        deviations = _deviations(problem, contestants) if direction == "forward" else {}
        rows += _rows(problem.case, direction, contestants, times, deviations)
        if setting.torch is not None:
            setting.torch.ask("drop")
    return rows, left_out


def lengths_in_turns(cases: Sequence[Case], direction: str, setting: Setting) -> list[dict[str, Any]]:
    """Rows of our first implementation that serves, every case having its turn in every round: how
    time grows with length, from one run. Who can't serve is in the rows of `contest`."""
    ready: dict[str, tuple[Case, Contestant]] = {}
    for case in cases:
        problem = Problem.drawn(case)
        for name in sorted(setting.implementations, key=OURS.index):
            with contextlib.suppress(CannotServeError):
                found = _in_jax(problem, problem.ours(name), name, direction == "forward+backward", setting)
                ready[case.name] = (case, dataclasses.replace(found, ours=True, peak_mib=None))
                break
    times = in_turns({name: c.turn for name, (_, c) in ready.items()}, setting.rounds, setting.seconds)
    rows = []
    for name, (case, found) in ready.items():
        rows += _rows(case, direction, [found], {found.label: times[name]}, {})
    return rows


def _prepared(
    problem: Problem, direction: str, setting: Setting, arrays: Path
) -> tuple[list[Contestant], list[dict[str, str]]]:
    ready: list[Contestant] = []
    refused: list[dict[str, str]] = []
    for label, prepare in _candidates(problem, direction == "forward+backward", setting, arrays):
        try:
            ready.append(prepare())
        except CannotServeError as reason:
            refused.append({"implementation": label, "why": str(reason)})
    return ready, refused


def _candidates(
    problem: Problem, backward: bool, setting: Setting, arrays: Path
) -> Iterator[tuple[str, Callable[[], Contestant]]]:
    for name in sorted(setting.implementations, key=OURS.index):
        yield f"mer_jax {name}", lambda name=name: _ours(problem, backward, setting, name)
    for name in setting.peers:
        if PEERS[name].score == problem.case.score:
            yield LABELS[name], lambda name=name: _peer(problem, backward, setting, arrays, name)


def _ours(problem: Problem, backward: bool, setting: Setting, name: str) -> Contestant:
    try:
        found = _in_jax(problem, problem.ours(name), f"mer_jax {name}", backward, setting)
    except ValueError as error:  # `attend` says before compilation what an implementation cannot
        raise CannotServeError(str(error).partition("; leave it out")[0]) from error
    peak = found.peak_mib
    if name == "native":  # it takes memory that XLA does not see
        other = setting.native_memory
        peak = None if other is None else _native_memory(problem.case, backward, other)
    return dataclasses.replace(found, ours=True, peak_mib=peak)


def _native_memory(case: Case, backward: bool, other: Interpreter) -> float | None:
    return other.ask("memory", **dataclasses.asdict(case), backward=backward)["mib"]


def _peer(problem: Problem, backward: bool, setting: Setting, arrays: Path, name: str) -> Contestant:
    peer = PEERS[name]
    reason = peer.why_not(problem.case)
    if reason is not None:
        raise CannotServeError(reason)
    if peer.build is None:
        return _in_torch(problem, peer, name, backward, setting, arrays)
    try:
        return _in_jax(
            problem, peer.build(problem), peer.label, backward, setting, peer.computes(problem.case)
        )
    except (ValueError, NotImplementedError, RuntimeError) as error:
        words = str(error).strip().splitlines()
        raise CannotServeError(words[0] if words else type(error).__name__) from error


def _in_jax(
    problem: Problem,
    function: Function,
    label: str,
    backward: bool,
    setting: Setting,
    keys: Any = None,
) -> Contestant:
    arguments: tuple[Any, ...] = (problem.operands,)
    if backward:
        program = compiled(forward_and_backward(function), *arguments, problem.cotangent)
    else:
        program = compiled(function, *arguments)
    _check_memory(program.temporary, setting)
    turn = stopwatch(program.run, queued=jax.default_backend() != "cpu")
    _warm_up(turn)

    def context() -> np.ndarray:
        return np.asarray(program.run(), np.float32)

    return Contestant(label, False, program.compile_ms, program.temporary / MIB, turn, context, keys)


def _in_torch(
    problem: Problem, peer: Peer, name: str, backward: bool, setting: Setting, arrays: Path
) -> Contestant:
    torch, case = setting.torch, problem.case
    if torch is None:
        raise CannotServeError("no --torch-python is given")
    _check_memory(peer.needs(case, backward), setting)
    about = {"arrays": str(arrays), "half": case.half, "dtype": case.dtype, "threads": threads()}
    said = torch.ask("prepare", peer=name, backward=backward, **about)
    if "why" in said:
        raise CannotServeError(said["why"])
    peak = None
    if setting.torch_memory is not None:
        other = setting.torch_memory
        refused = other.ask("prepare", peer=name, backward=backward, **about).get("why")
        if refused is None:
            peak = other.ask("memory", peer=name)["mib"]
        else:
            print(f"{peer.label}: no memory measured: {refused}", file=sys.stderr)
        other.ask("drop")

    def turn() -> float:
        return torch.ask("time", peer=name)["ms"]

    def context() -> np.ndarray:
        path = setting.folder / "context.npy"
        torch.ask("context", peer=name, path=str(path))
        return np.load(path)

    _warm_up(turn)
    return Contestant(peer.label, False, said["compile_ms"], peak, turn, context, peer.computes(case))


def _warm_up(turn: Callable[[], float]) -> None:
    """One call, a second one where that is quick."""
    if turn() < 1000:
        turn()


def _check_memory(needed: float, setting: Setting) -> None:
    if needed > setting.memory_gib * 2**30:
        raise CannotServeError(
            f"it needs about {needed / 2**30:.1f} GiB, more than --memory-gib {setting.memory_gib:g}"
        )


def _deviations(problem: Problem, contestants: Sequence[Contestant]) -> dict[str, float]:
    """Largest difference of each context from ours over the same keys, relative to the largest entry;
    of the first of the batch, rows without keys aside."""
    one = problem.first()
    spoken = np.asarray(one.ranges().end)[0] >= 0

    def expected(keys: Any) -> np.ndarray:
        return np.asarray(jax.jit(one.ours(None, keys))(one.operands), np.float32)[0]

    own, found = expected(None), {}
    for contestant in contestants:
        wanted = own if contestant.keys is None else expected(contestant.keys)
        difference = np.abs(contestant.context()[0] - wanted)[spoken]
        found[contestant.label] = float(difference.max() / np.abs(wanted).max())
    return found


def _rows(
    case: Case,
    direction: str,
    contestants: Sequence[Contestant],
    times: Mapping[str, Sequence[float]],
    deviations: Mapping[str, float],
) -> list[dict[str, Any]]:
    first = next((c for c in contestants if c.ours), None)
    ours = summary(times[first.label]).median if first else None
    s, rows = case.shape, []
    for contestant in contestants:
        median, spread, rounds = summary(times[contestant.label])
        rows.append(
            {
                "case": f"{s.name} {case.score} {case.alignment} {case.dtype}",
                "implementation": contestant.label,
                "pass": direction,
                "median_ms": float(f"{median:.4g}"),
                "spread_ms": float(f"{spread:.3g}"),
                "compile_ms": round(contestant.compile_ms, 1),
                "peak_mib": None if contestant.peak_mib is None else round(contestant.peak_mib, 2),
                "ratio": None if ours is None else float(f"{median / ours:.3g}"),
                "rounds": rounds,
                "default": contestant is first,
                "deviation": deviations.get(contestant.label),
                "shape": s.name,
                **{name: getattr(s, name) for name in ("batch", "m", "n", "d")},
                "score": case.score,
                "alignment": case.alignment,
                "dtype": case.dtype,
            }
        )
    return rows
