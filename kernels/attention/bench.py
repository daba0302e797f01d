"""Timing: compilation apart, in turns, so that what else the machine does meets everyone alike."""

import math
import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

QUICK_MS = 100.0  # a call below this is preceded by one that is not counted
TURN_MS = 10.0  # what a turn lasts at least, by making the call again
FEWEST = 3  # rounds of a call that takes longer than its seconds


class Program(NamedTuple):
    """A compiled call with its arguments.

    Attributes:
        run: makes the call and returns its result, perhaps before it is computed.
        compile_ms: tracing, lowering and compilation.
        temporary: bytes that XLA allocates beside arguments and results. What a kernel called
            from XLA takes for itself is not among them.
    """

    run: Callable[[], Any]
    compile_ms: float
    temporary: int


class Summary(NamedTuple):
    """Median and interquartile range of `rounds` times, in ms."""

    median: float
    spread: float
    rounds: int


def compiled(function: Callable[..., Any], *arguments: Any) -> Program:
    """`function` compiled for these arguments, which it keeps."""
    started = time.perf_counter()
    program = jax.jit(function).lower(*arguments).compile()
    compile_ms = 1e3 * (time.perf_counter() - started)
    found = program.memory_analysis()
    temporary = 0 if found is None else int(found.temp_size_in_bytes)
    return Program(lambda: program(*arguments), compile_ms, temporary)


def forward_and_backward(function: Callable[[Any], jax.Array]) -> Callable[[Any, jax.Array], tuple[Any, Any]]:
    """(operands, cotangent of the result) -> (result, gradients of all operands)."""

    def both(operands: Any, cotangent: jax.Array) -> tuple[Any, Any]:
        result, pull_back = jax.vjp(function, operands)
        return result, pull_back(cotangent)[0]

    return both


def stopwatch(run: Callable[[], Any], *, queued: bool = False) -> Callable[[], float]:
    """A function that makes the call and returns its milliseconds.

    A quick call runs once before, uncounted, and finds its data in the caches as in a training
    loop; then as often as a turn lasts. queued: all of a turn's calls are handed to the device
    before waiting for the last, which hides the time of handing over (an accelerator);
    otherwise each is waited for.
    """
    last = math.inf

    def measure() -> float:
        nonlocal last
        if last < QUICK_MS:
            jax.block_until_ready(run())
        calls = max(1, min(100, math.ceil(TURN_MS / last)))
        begin = time.perf_counter()
        if queued:
            jax.block_until_ready([run() for _ in range(calls)])
        else:
            for _ in range(calls):
                jax.block_until_ready(run())
        last = max(1e3 * (time.perf_counter() - begin) / calls, 1e-6)
        return last

    return measure


def in_turns(
    calls: Mapping[str, Callable[[], float]], rounds: int, seconds: float = math.inf, seed: int = 0
) -> dict[str, list[float]]:
    """Times of every call: in each round all have one turn, in a random order.

    A call whose times have reached `seconds` in sum drops out, not before its third round.

    Raises:
        ValueError: rounds is below 1.
    """
    if rounds < 1:
        raise ValueError(f"rounds is {rounds}; give an integer of at least 1")
    shuffled = random.Random(seed)
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name in shuffled.sample(list(calls), len(calls)):
            if len(times[name]) < FEWEST or sum(times[name]) < 1e3 * seconds:
                times[name].append(calls[name]())
    return times


def summary(times: Sequence[float]) -> Summary:
    """Median and spread of the times of one call."""
    low, middle, high = np.percentile(np.asarray(times, np.float64), [25, 50, 75])
    return Summary(float(middle), float(high - low), len(times))


def size(result: Any) -> int:
    """Bytes of all arrays in a result."""
    return sum(int(leaf.nbytes) for leaf in jax.tree.leaves(result))
