"""The course of a state: over an utterance, a dialogue, a video or a song."""

import dataclasses
import itertools
import re
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from mer_jax.emotion_space.overlay import Overlay
from mer_jax.errors import InputError

FRAMES = 60  # per straight path between two points in time
SECONDS, TURNS = "seconds", "turn"


@dataclasses.dataclass(frozen=True)
class Trajectory:
    """A state at rising points in time.

    name: whose: "truth", a system, a modality. times: [T] seconds, strictly rising (`clock` says
    where they are turns or steps instead). states: [T, E]. labels: [T] what is said there: a word, a
    transcript; may be empty texts. Raises InputError where these contradict each other.
    """

    name: str
    times: np.ndarray
    states: np.ndarray
    labels: tuple[str, ...]
    clock: str = SECONDS

    def __post_init__(self) -> None:
        if self.states.ndim != 2 or not len(self.times) == len(self.states) == len(self.labels) > 0:
            raise InputError(
                f"trajectory {self.name!r}: {len(self.times)} times, states {self.states.shape} and "
                f"{len(self.labels)} labels must be as many, and at least one"
            )
        if not np.isfinite(self.times).all() or (np.diff(self.times) <= 0).any():
            raise InputError(f"trajectory {self.name!r}: times must be known and rise from point to point")
        if not np.isfinite(self.states).all():
            raise InputError(f"trajectory {self.name!r}: states must be finite; leave the others out")

    def at(self, times: Float[np.ndarray, " f"]) -> Float[np.ndarray, "f e"]:
        """States at any time: straight between points in EMOTION space, still before and after."""
        return np.stack([np.interp(times, self.times, level) for level in self.states.T], axis=1)


@dataclasses.dataclass(frozen=True)
class TrajectoryGroup:
    """Trajectories of one dialogue, video, song or utterance, shown together on one clock.

    note: how to read them, beyond what holds of all. Raises InputError where there is none, or where clocks or numbers of emotions differ.
    """

    name: str
    trajectories: tuple[Trajectory, ...]
    note: str = ""

    def __post_init__(self) -> None:
        kinds = {(one.clock, one.states.shape[1]) for one in self.trajectories}
        if len(kinds) != 1:
            raise InputError(
                f"trajectories of {self.name!r}: {len(self.trajectories)} trajectories with clocks and numbers "
                f"of emotions {sorted(kinds)}; give at least one, all of one kind"
            )

    @property
    def clock(self) -> str:
        return self.trajectories[0].clock

    @property
    def points(self) -> np.ndarray:
        """[U] every time at which some trajectory has a point."""
        return np.unique(np.concatenate([one.times for one in self.trajectories]))


def frame_times(points: Float[np.ndarray, " u"], per_path: int = FRAMES) -> Float[np.ndarray, " f"]:
    """[(U - 1) `per_path` + 1] times: every point, and between two of them equal steps."""
    way = np.arange((len(points) - 1) * per_path + 1) / per_path
    return np.interp(way, np.arange(len(points)), points)


def of_groups(
    overlays: Sequence[Overlay], groups: Sequence[str] = (), most: int = 6, fewest: int = 4
) -> list[TrajectoryGroup]:
    """The truth and each system's predictions over the course of dialogues, videos or songs.

    groups: which; where none are named, the `most` whose true states move most among those with
    `fewest` rows or more. Rows stand in the order of their times, else of the numbers in
    their ids, and count as turns then. Raises InputError where a named group is in no overlay.
    """
    first = overlays[0]
    chosen = list(groups) or _most_moving(first, most, fewest)
    for group in chosen:
        if not any((overlay.groups == group).any() for overlay in overlays):
            raise InputError(
                f"trajectories: no row belongs to {group!r}; name a dialogue of the overlaid rows"
            )
    return [_group(group, overlays) for group in chosen]


def _group(group: str, overlays: Sequence[Overlay]) -> TrajectoryGroup:
    own = [_in_order(one.where(one.groups == group)) for one in overlays if (one.groups == group).any()]
    timed = all(_rises(one.times) for one in own)
    made = [_trajectory("Truth", own[0], own[0].truth, timed)]
    made += [_trajectory(one.name, one, one.predicted, timed) for one in own]
    return TrajectoryGroup(group, tuple(made))


def _trajectory(name: str, rows: Overlay, states: np.ndarray, timed: bool) -> Trajectory:
    times = rows.times if timed else np.arange(1.0, len(rows) + 1)
    labels = [t or i for t, i in zip(rows.transcripts.tolist(), rows.ids.tolist(), strict=True)]
    return Trajectory(name, times, states, tuple(labels), SECONDS if timed else TURNS)


def _in_order(rows: Overlay) -> Overlay:
    """By time where it is known, else by id; an utterance that occurs twice (in two folds) once."""
    rows = rows.where(np.sort(np.unique(rows.ids, return_index=True)[1]))
    times = rows.times if _rises(np.sort(rows.times)) else np.zeros(len(rows))
    keys = [(time, _natural(i)) for time, i in zip(times.tolist(), rows.ids.tolist(), strict=True)]
    return rows.where(np.array(sorted(range(len(rows)), key=lambda k: keys[k])))


def _natural(text: str) -> list[tuple[int, str]]:
    """A key by which utt2 comes before utt10."""
    return [(int(digits or 0), letters) for letters, digits in re.findall(r"(\D*)(\d*)", text)]


def _rises(times: np.ndarray) -> bool:
    return bool(np.isfinite(times).all() and (np.diff(times) > 0).all())


def _most_moving(overlay: Overlay, most: int, fewest: int) -> list[str]:
    """Groups by the mean length of their steps in emotion space, with at most 24 rows."""
    moved = {}
    order = np.argsort(overlay.groups, kind="stable")
    for group, numbers in itertools.groupby(order.tolist(), key=lambda k: str(overlay.groups[k])):
        rows = _in_order(overlay.where(np.array(list(numbers))))
        if fewest <= len(rows) <= 24:
            moved[group] = float(np.linalg.norm(np.diff(rows.truth, axis=0), axis=1).mean())
    return sorted(moved, key=lambda group: (-moved[group], group))[:most]
