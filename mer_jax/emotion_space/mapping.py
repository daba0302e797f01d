"""An emotion space as it is drawn: a smooth map of states to the plane, and the states it was made of."""

import dataclasses
import functools
from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Int

from mer_jax.errors import InputError
from mer_jax.evaluation.figure_style import FLOOR, colours

NEUTRAL, MIXED = -1, -2
WEAK = 0.05  # of the highest intensity: below it an emotion counts as absent
MIXED_COLOUR = "#565d68"


@dataclasses.dataclass(frozen=True)
class Kind:
    """A group of states with one colour: `index` is an emotion's column, `NEUTRAL` or `MIXED`."""

    index: int
    name: str
    colour: str


@dataclasses.dataclass(frozen=True)
class Map:
    """A fitted emotion space.

    emotions: [E] names in the corpus' order.
    transform: [n, E] float32 states to [n, 2] places; any smooth function.
    states, counts: [m, E] distinct observed states, and how many rows have each.
    top: the highest intensity, 3 for CMU-MOSEI and 1 for shares of votes.
    rows: what a row is called, in the plural.
    Raises InputError where these contradict each other.
    """

    emotions: tuple[str, ...]
    transform: Callable[[np.ndarray], np.ndarray]
    states: np.ndarray
    counts: np.ndarray
    top: float
    rows: str = "utterances"

    def __post_init__(self) -> None:
        expected = (len(self.counts), len(self.emotions))
        if self.states.shape != expected or not len(self.counts):
            raise InputError(
                f"emotion map: states has shape {self.states.shape}, {len(self.emotions)} emotions and "
                f"{len(self.counts)} counts ask for {expected}; give a column per emotion, a count per state"
            )
        if not np.isfinite(self.states).all() or (self.counts <= 0).any() or self.top <= 0:
            raise InputError("emotion map: states must be finite, counts and the highest intensity above 0")

    @classmethod
    def of_rows(
        cls,
        emotions: tuple[str, ...],
        transform: Callable[[np.ndarray], np.ndarray],
        observed: Float[np.ndarray, "n e"],
        top: float,
        rows: str = "utterances",
    ) -> "Map":
        """A map whose states are the distinct rows of `observed`."""
        states, counts = np.unique(np.asarray(observed, np.float32), axis=0, return_counts=True)
        return cls(emotions, transform, states, counts, top, rows)

    def place(self, states: Float[np.ndarray, "n e"]) -> Float[np.ndarray, "n 2"]:
        """Where states lie on the map; intensities beyond 0 and `top` are drawn at that limit.

        Raises InputError where the transform gives anything but two finite numbers per state.
        """
        inside = np.clip(np.asarray(states, np.float32), 0, np.float32(self.top))
        places = np.asarray(self.transform(inside), np.float64)
        if places.shape != (len(inside), 2) or not np.isfinite(places).all():
            raise InputError(
                f"emotion map: the transform made {places.shape} of {inside.shape} states, or numbers that "
                "are not finite; it must give two finite coordinates per state"
            )
        return places

    @functools.cached_property
    def places(self) -> np.ndarray:
        """[m, 2] where the observed states lie."""
        return self.place(self.states)

    @functools.cached_property
    def radius(self) -> float:
        """Mean distance of the observed states to their centre, each counted once."""
        return float(np.linalg.norm(self.places - self.places.mean(0), axis=1).mean()) or 1.0

    @functools.cached_property
    def are_shares(self) -> bool:
        """Whether every state adds up to `top`, as shares of votes do."""
        return bool(np.allclose(self.states.sum(1), self.top, atol=1e-3 * self.top))

    @functools.cached_property
    def rest(self) -> np.ndarray:
        """[E] the state from which emotions rise: none; for shares, "neutral" or all alike."""
        names = [name.lower() for name in self.emotions]
        if "neutral" in names:
            return self.top * np.eye(len(names), dtype=np.float32)[names.index("neutral")]
        none = np.zeros(len(names), np.float32)
        return none + np.float32(self.top / len(names)) if self.are_shares else none

    @property
    def rest_name(self) -> str:
        """What the state of rest is called on the map."""
        return "all alike" if self.rest.any() and np.ptp(self.rest) == 0 else "neutral"

    @property
    def rising(self) -> tuple[int, ...]:
        """Columns of the emotions that have a path: all but "neutral"."""
        return tuple(k for k, name in enumerate(self.emotions) if name.lower() != "neutral")

    def pure(self, emotion: int, levels: Float[np.ndarray, " n"]) -> Float[np.ndarray, "n e"]:
        """States on the straight way from rest (level 0) to one emotion at its highest (level 1)."""
        end = self.top * np.eye(len(self.emotions), dtype=np.float32)[emotion]
        return self.rest + np.asarray(levels, np.float32)[:, None] * (end - self.rest)

    @functools.cached_property
    def kinds(self) -> tuple[Kind, ...]:
        """The emotions, then two or more alike, then neutral (where it is no emotion of its own)."""
        own = colours(self.emotions)
        kinds = [Kind(k, name, own[name]) for k, name in enumerate(self.emotions)]
        kinds.append(Kind(MIXED, "two or more alike", MIXED_COLOUR))
        if len(self.rising) == len(self.emotions):
            kinds.append(Kind(NEUTRAL, "neutral, no emotion", FLOOR))
        return tuple(kinds)

    def dominant(self, states: Float[np.ndarray, "n e"]) -> Int[np.ndarray, " n"]:
        """The column of the strongest emotion; `MIXED` where the strongest are alike, `NEUTRAL`
        where none reaches a twentieth of the highest intensity."""
        ordered = np.sort(states, axis=1)
        strongest = np.argmax(states, axis=1)
        if states.shape[1] > 1:
            strongest = np.where(ordered[:, -1] - ordered[:, -2] < 1e-3 * self.top, MIXED, strongest)
        return np.where(ordered[:, -1] < WEAK * self.top, NEUTRAL, strongest)
