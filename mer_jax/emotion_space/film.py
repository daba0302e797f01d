"""What moves on a map, frame by frame, and the player below it."""

import dataclasses
from typing import Any

import numpy as np

from mer_jax.emotion_space import hover
from mer_jax.emotion_space.mapping import Map
from mer_jax.emotion_space.trajectories import FRAMES, SECONDS, TrajectoryGroup, frame_times
from mer_jax.errors import InputError
from mer_jax.evaluation.figure_style import FAINT, GRID

TAIL = 26  # frames behind the moving point
MOST_STEPS = 180  # of the slider
QUICK = {"frame": {"duration": 16, "redraw": False}, "transition": {"duration": 0}, "mode": "immediate"}
BYTES = 2.6e6  # of all frames of a figure, about


@dataclasses.dataclass(frozen=True)
class Film:
    """What moves. clock: of the times. times: [F]. states, places: of each trajectory, [F, E] and
    [F, 2]. said: [F] what is said. top: the highest intensity. digits: decimals that show a
    two-thousandth of the map's radius."""

    clock: str
    times: np.ndarray
    states: tuple[np.ndarray, ...]
    places: tuple[np.ndarray, ...]
    said: tuple[str, ...]
    top: float
    digits: int

    def tail(self, trajectory: int, frame: int) -> dict[str, Any]:
        """The last `TAIL` places up to this frame, the earliest first; the start repeated before it."""
        places = self.places[trajectory][np.clip(np.arange(frame - TAIL + 1, frame + 1), 0, None)]
        return {"x": places[:, 0].round(self.digits).tolist(), "y": places[:, 1].round(self.digits).tolist()}

    def cursor(self, frame: int) -> dict[str, Any]:
        """An upright line at the frame's time."""
        time = round(float(self.times[frame]), 3)
        return {"x": [time, time], "y": [0.0, round(1.04 * self.top, 3)]}

    def subtitle(self, frame: int) -> str:
        """When it is, and what is said."""
        return f"<b>{moment(self.times[frame], self.clock)}</b>   <i>{self.said[frame]}</i>"

    def frames(self, first: int) -> list[dict[str, Any]]:
        """Per frame, a tail and a cursor of each trajectory and the subtitle, for the figure's traces
        from number `first` on."""
        traces = list(range(first, first + 2 * len(self.places) + 1))
        made = []
        for frame in range(len(self.times)):
            moving = [
                part for k in range(len(self.places)) for part in (self.tail(k, frame), self.cursor(frame))
            ]
            data = [*moving, {"text": [self.subtitle(frame)]}]
            made.append({"name": str(frame), "data": data, "traces": traces})
        return made


def film(space: Map, group: TrajectoryGroup, per_path: int | None = None) -> Film:
    """The frames: at each, every trajectory's state, straight between its points in EMOTION space,
    and then where the map puts it.

    per_path: frames between two points in time; None: 60, fewer where the figure would grow
    beyond about 3 MB. Raises InputError where the states are not of the space's emotions.
    """
    given = group.trajectories[0].states.shape[1]
    if given != len(space.emotions):
        raise InputError(
            f"trajectories of {group.name!r} have {given} emotions, the space has {len(space.emotions)}: "
            f"{', '.join(space.emotions)}; give a column for each of these"
        )
    points = group.points
    times = frame_times(points, per_path or _frames_that_fit(len(points), len(group.trajectories)))
    states = tuple(one.at(times).astype(np.float32) for one in group.trajectories)
    longest = max(group.trajectories, key=lambda one: len(one.times))
    current = np.clip(np.searchsorted(longest.times, times + 1e-9, side="right") - 1, 0, None)
    said = [hover.shortened(label).replace("<br>", " ") for label in longest.labels]
    places = tuple(space.place(one) for one in states)
    digits = max(0, int(np.ceil(-np.log10(space.radius / 2000))))
    return Film(group.clock, times, states, places, tuple(said[k] for k in current), space.top, digits)


def _frames_that_fit(points: int, trajectories: int) -> int:
    frame = 260 + trajectories * (40 + 15 * TAIL)
    return int(np.clip(BYTES / frame / max(1, points - 1), 2, FRAMES))


def player(shown: Film) -> dict[str, Any]:
    """The layout's slider and its buttons, to play and to pause."""
    return {"sliders": [_slider(shown)], "updatemenus": [_buttons()]}


def _slider(shown: Film) -> dict[str, Any]:
    stride = max(1, -(-len(shown.times) // MOST_STEPS))
    stops = sorted({*range(0, len(shown.times), stride), len(shown.times) - 1})
    steps = [
        {"method": "animate", "label": moment(shown.times[f], shown.clock), "args": [[str(f)], QUICK]}
        for f in stops
    ]
    return {
        "steps": steps,
        "active": 0,
        "x": 0.14,
        "len": 0.85,
        "y": 0,
        "yanchor": "top",
        "pad": {"t": 18, "b": 0},
        "currentvalue": {"visible": False},
        "tickcolor": FAINT,
        "minorticklen": 0,
        "ticklen": 0,
        "bordercolor": FAINT,
        "bgcolor": GRID,
        "activebgcolor": FAINT,
        "font": {"size": 10, "color": "#5b6472"},
    }


def _buttons() -> dict[str, Any]:
    play = [None, QUICK | {"fromcurrent": True}]
    return {
        "type": "buttons",
        "direction": "left",
        "showactive": False,
        "buttons": [
            {"label": "\N{BLACK RIGHT-POINTING TRIANGLE} Play", "method": "animate", "args": play},
            {"label": "Pause", "method": "animate", "args": [[None], QUICK]},
        ],
        "x": 0,
        "xanchor": "left",
        "y": 0,
        "yanchor": "top",
        "pad": {"t": 14},
        "font": {"size": 12},
        "bgcolor": "white",
        "bordercolor": FAINT,
    }


def moment(time: float, clock: str) -> str:
    """A time as it is read: seconds, minutes and seconds, or the number of a turn."""
    if clock != SECONDS:
        return f"{clock} {round(time)}"
    minutes, seconds = divmod(round(abs(float(time)), 1), 60)
    sign = "\N{MINUS SIGN}" if time < -0.05 else ""
    return sign + (f"{minutes:.0f}:{seconds:04.1f}" if minutes else f"{seconds:.1f} s")
