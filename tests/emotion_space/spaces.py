"""A small generated space: states of three emotions in thirds, a smooth map, and overlays."""

import numpy as np

from mer_jax.emotion_space.mapping import Map
from mer_jax.emotion_space.overlay import Overlay

EMOTIONS = ("happiness", "sadness", "b<o>ld & {new}")


def transform(states):
    """Smooth and not linear, each row by itself."""
    x = np.asarray(states, np.float64)
    return np.stack([x[:, 0] - x[:, 1] + 0.2 * np.sin(x[:, 2]), x[:, 2] - 0.4 * x[:, 0] * x[:, 1]], axis=1)


def rows(count=160, seed=0):
    """Intensities of 0 to 3 in thirds; a quarter of them are all zero."""
    random = np.random.default_rng(seed)
    states = np.round(random.gamma(0.5, 1.2, (count, len(EMOTIONS))) * 3).clip(0, 9).astype(np.float32) / 3
    states[: count // 4] = 0
    return states[random.permutation(count)]


def space(**options):
    return Map.of_rows(EMOTIONS, transform, rows(**options), 3.0)


def overlay(name="a <system>", count=160, noise=0.4, seed=1):
    truth = rows(count)
    predicted = truth + noise * np.random.default_rng(seed).normal(size=truth.shape).astype(np.float32)
    numbers = np.arange(count)
    return Overlay(
        name=name,
        ids=np.array([f"dia{k // 8}_utt{k % 8}" for k in numbers]),
        truth=truth,
        predicted=predicted.astype(np.float32),
        transcripts=np.array([f"words <b> & {{more}} of {k} " * 9 for k in numbers]),
        splits=np.array(["train", "test"])[numbers % 2],
        groups=np.array([f"dia{k // 8}" for k in numbers]),
        times=3.0 * (numbers % 8) + 0.5,
    )
