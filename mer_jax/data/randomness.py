"""Named streams of random numbers, and the rounding that makes them the same everywhere."""

import zlib

import numpy as np

STEP = 2.0**-10


def stream(seed: int, name: str, *numbers: int) -> np.random.Generator:
    """A generator of its own for `name` and `numbers`, whatever else has been drawn."""
    return np.random.Generator(
        np.random.PCG64(np.random.SeedSequence([seed, zlib.crc32(name.encode()), *numbers]))
    )


def pick(rng: np.random.Generator, weights: np.ndarray) -> int:
    """An index drawn with probability proportional to its weight."""
    edges = np.cumsum(weights)
    return int(min(np.searchsorted(edges, rng.random() * edges[-1], side="right"), len(edges) - 1))


def between(rng: np.random.Generator, low: int, high: int) -> int:
    """An integer drawn evenly from low to high, both included."""
    return int(rng.integers(low, high + 1))


def autoregressive(rng: np.random.Generator, steps: int, dim: int, memory: float) -> np.ndarray:
    """Unit-variance noise [steps, dim] whose next value is `memory` times the last plus news."""
    news = rng.standard_normal((steps, dim)) * np.sqrt(1 - memory**2)
    out = np.empty_like(news)
    state = rng.standard_normal(dim)
    for step in range(steps):
        state = memory * state + news[step]
        out[step] = state
    return out


def stretches(rng: np.random.Generator, steps: int, share: float, length: float) -> np.ndarray:
    """A mask [steps] true in stretches of about `length` steps, `share` of the steps on average."""
    if share in (0.0, 1.0):
        return np.full(steps, bool(share))
    leave = 1.0 / max(length, 1.0)
    enter = min(1.0, leave * share / (1 - share))
    draws = rng.random(steps + 1)
    inside = draws[0] < share
    mask = np.empty(steps, bool)
    for step in range(steps):
        mask[step] = inside
        inside = draws[step + 1] >= leave if inside else draws[step + 1] < enter
    return mask


def rounded(array: np.ndarray | float) -> np.ndarray:
    """The nearest multiples of 2^-10 as float32: the last bits of a machine's arithmetic don't show."""
    return np.asarray(np.round(np.asarray(array, np.float64) / STEP) * STEP, np.float32)
