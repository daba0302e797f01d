"""The latent state: six intensities from 0 to 3 that move in time, and what they are called."""

import numpy as np

from mer_jax.data.randomness import autoregressive, pick, rounded
from mer_jax.data.simulation.options import Options

EMOTIONS = ("happy", "sad", "anger", "surprise", "disgust", "fear")
NEUTRAL = "neutral"
CLASSES = (*EMOTIONS, NEUTRAL)
OPPOSITE = np.array([1, 0, 5, 4, 3, 2])
LATENT_RATE = 10.0
HIGHEST = 3.0

_QUIET = 0.8
_REST = 0.15
_PERSISTENCE = 0.3
_CONTAGION = 0.15
_RELAXATION = 1.5
_RESTLESSNESS = 0.25
_BLIND = 1.5


def class_of(state: np.ndarray) -> str:
    """The strongest of six intensities [6], or neutral where all are below 0.8."""
    return EMOTIONS[int(np.argmax(state))] if np.max(state) >= _QUIET else NEUTRAL


def prior(options: Options) -> np.ndarray:
    """Probability [7] with which a turn is planned as each class."""
    rarer = options.imbalance ** -(np.arange(len(EMOTIONS)) / (len(EMOTIONS) - 1))
    emotions = (1 - options.neutral_share) * rarer / rarer.sum()
    return np.append(emotions, options.neutral_share)


def plan(rng: np.random.Generator, options: Options, own: int | None, other: int | None) -> int:
    """The class a turn heads for: the speaker's last, the previous speaker's (contagion), or a new one."""
    draw = rng.random()
    fresh = pick(rng, prior(options))
    if own is not None and draw < _PERSISTENCE:
        return own
    if other is not None and _PERSISTENCE <= draw < _PERSISTENCE + _CONTAGION:
        return other
    return fresh


def _target(rng: np.random.Generator, planned: int) -> np.ndarray:
    target = _REST * (1 + rng.random(len(EMOTIONS)))
    strength, second, share = 1.4 + 1.2 * rng.random(), int(rng.integers(len(EMOTIONS))), rng.random()
    if planned < len(EMOTIONS):
        target[second] += 0.6 * share * strength
        target[planned] = strength
    return target


def path(rng: np.random.Generator, planned: int, before: np.ndarray, seconds: float) -> np.ndarray:
    """Intensities [steps, 6] at 10 Hz that leave `before` and settle, restless, around the plan.

    z_t = target + (z_0 - target) exp(-t / 1.5 s) + AR(1) noise, clipped to [0, 3].
    """
    steps = int(np.ceil(seconds * LATENT_RATE)) + 1
    target = _target(rng, planned)
    start = 0.5 * (before + target)
    fade = np.exp(-np.arange(steps) / (LATENT_RATE * _RELAXATION))[:, None]
    memory = float(np.exp(-1 / LATENT_RATE))
    noise = _RESTLESSNESS * autoregressive(rng, steps, len(EMOTIONS), memory)
    return rounded(np.clip(target + (start - target) * fade + noise, 0, HIGHEST))


def at(states: np.ndarray, times: np.ndarray) -> np.ndarray:
    """The path's state [times, 6] at given seconds, interpolated; its ends last for ever."""
    clock = np.arange(len(states)) / LATENT_RATE
    return np.stack([np.interp(times, clock, column) for column in states.T], axis=1)


def votes(rng: np.random.Generator, options: Options, mean: np.ndarray) -> np.ndarray:
    """Counts [7] of what annotators, who see the mean state through noise, call it."""
    counts = np.zeros(len(CLASSES), np.float32)
    blur = _BLIND * (1 - options.reliability)
    for _ in range(options.annotators):
        seen = mean + blur * rng.standard_normal(len(EMOTIONS))
        counts[CLASSES.index(class_of(seen))] += 1
    return counts
