"""States that a reader knows: one emotion at rising intensity, and two emotions at once."""

import dataclasses
import itertools

import numpy as np

from mer_jax.emotion_space.mapping import Map

STEPS = (1 / 3, 2 / 3, 1.0)
TOGETHER = 1 / 3  # of the highest intensity: what both emotions of a mixture must reach


@dataclasses.dataclass(frozen=True)
class Prototype:
    """A state with a name.

    emotions: the columns that it is made of, one or two.
    state: [E] intensities.
    count: rows observed in it (one emotion) or with these two strongest (two).
    """

    name: str
    emotions: tuple[int, ...]
    state: np.ndarray
    count: int


def pure(space: Map) -> list[Prototype]:
    """Each emotion alone at a third, two thirds and all of the highest intensity, weakest first."""
    made = []
    for emotion in space.rising:
        for step, state in zip(STEPS, space.pure(emotion, np.array(STEPS)), strict=True):
            here = np.abs(space.states - state).max(1) < 1e-3 * space.top
            name = f"{space.emotions[emotion]} {step * space.top:.2g} of {space.top:.2g}"
            made.append(Prototype(name, (emotion,), state, int(space.counts[here].sum())))
    return made


def mixtures(space: Map, most: int = 6, fewest: int = 5) -> list[Prototype]:
    """Two emotions at once, commonest first: pairs that at least `fewest` rows have as their two
    strongest, both at a third of the highest intensity or more (shares: a sixth).

    Drawn at two thirds of the highest intensity each; for shares, at one half each.
    """
    least = TOGETHER * space.top / (2 if space.are_shares else 1)
    level = space.top * (1 / 2 if space.are_shares else 2 / 3)
    made = []
    for pair in itertools.combinations(space.rising, 2):
        count = int(space.counts[_strongest_two(space, pair) >= least - 1e-6].sum())
        if count >= fewest:
            state = np.zeros(len(space.emotions), np.float32)
            state[list(pair)] = level
            name = " + ".join(space.emotions[k] for k in pair)
            made.append(Prototype(name, pair, state, count))
    return sorted(made, key=lambda p: -p.count)[:most]


def _strongest_two(space: Map, pair: tuple[int, int]) -> np.ndarray:
    """[m] the lower of the pair's intensities where no third emotion exceeds it, else 0."""
    others = np.delete(space.states, pair, axis=1).max(axis=1, initial=0)
    lower = space.states[:, list(pair)].min(axis=1)
    return np.where(lower > others, lower, 0)
