"""The course of an utterance: what systems say of it after every word or step, beside the truth of the whole."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from mer_jax.emotion_space.mapping import Map
from mer_jax.emotion_space.overlay import Overlay, state_columns
from mer_jax.emotion_space.trajectories import SECONDS, Trajectory, TrajectoryGroup
from mer_jax.errors import InputError
from mer_jax.evaluation.timeline import Timeline

STEPS = "step"
FEWEST, MOST = 4, 24  # steps of an utterance that is chosen
NOTE = "After each step, what a system says of all that it has heard so far; the truth is of the whole utterance."


@dataclasses.dataclass(frozen=True)
class Spoken:
    """What one system says of utterances after every step.

    name: of the system. timeline: its steps. states: [steps, E] in the order of the map's emotions.
    """

    name: str
    timeline: Timeline
    states: np.ndarray

    @classmethod
    def on(
        cls, space: Map, name: str, timeline: Timeline, emotions: Sequence[str], classes: Sequence[str] = ()
    ) -> "Spoken":
        """The timeline's intensities, or its class probabilities, as states of `space`.

        emotions, classes: what they are called; see `Overlay.from_predictions`. Raises InputError where
        neither are the space's emotions.
        """
        direct, columns = state_columns(space, name, emotions, classes)
        given = timeline.predicted_intensities if direct else np.float32(space.top) * timeline.probabilities
        return cls(name, timeline, given[:, columns])

    def course(self, utterance: str, timed: bool) -> Trajectory:
        """Its states of one utterance, in seconds or by the number of the step."""
        steps = self.timeline.of(utterance)
        states = self.states[steps]
        times = self.timeline.times[steps] if timed else np.arange(1.0, len(states) + 1)
        heard = tuple(self.timeline.heard[steps].tolist())
        return Trajectory(self.name, times, states, heard, SECONDS if timed else STEPS)

    def timed(self, utterance: str) -> bool:
        """Whether it is known when the steps of an utterance end."""
        clock = self.timeline.clocks[self.timeline.ids == utterance][0]
        return clock != "steps" and bool(
            (np.diff(self.timeline.times[self.timeline.of(utterance)]) > 0).all()
        )


def of_utterances(
    systems: Sequence[Spoken], truth: Overlay, utterances: Sequence[str] = (), most: int = 3
) -> list[TrajectoryGroup]:
    """The truth and every system's course over utterances.

    truth: holds the true states of the utterances. utterances: their ids; where none is named, the `most` whose
    predicted states move most from step to step, of 4 to 24 steps, among those that all systems have.
    Raises InputError where no system has a named one.
    """
    known = set(truth.ids.tolist())
    for utterance in utterances:
        if utterance not in known or not any(utterance in one.timeline.ids for one in systems):
            raise InputError(
                f"trajectories: no run says step by step what it hears in {utterance!r}; name an utterance of "
                "its timeline.npz"
            )
    return [_group(one, systems, truth) for one in utterances or _most_moving(systems, known, most)]


def _group(utterance: str, systems: Sequence[Spoken], truth: Overlay) -> TrajectoryGroup:
    own = [one for one in systems if utterance in one.timeline.ids]
    timed = all(one.timed(utterance) for one in own)
    courses = [one.course(utterance, timed) for one in own]
    ends = sorted({min(one.times[0] for one in courses), max(one.times[-1] for one in courses)})
    row = int(np.flatnonzero(truth.ids == utterance)[0])
    states = np.repeat(truth.truth[[row]], len(ends), axis=0)
    whole = Trajectory(
        "Truth", np.array(ends), states, (str(truth.transcripts[row]),) * len(ends), courses[0].clock
    )
    by = "word by word" if any(label for one in courses for label in one.labels) else "step by step"
    return TrajectoryGroup(f"{utterance}, {by}", (whole, *courses), NOTE)


def _most_moving(systems: Sequence[Spoken], known: set[str], most: int) -> list[str]:
    """Ids by the mean over systems of the mean length of a step in emotion space."""
    shared = known.intersection(*(one.timeline.ids.tolist() for one in systems))
    moved = {}
    for utterance in shared:
        courses = [one.states[one.timeline.of(utterance)] for one in systems]
        if all(FEWEST <= len(course) <= MOST for course in courses):
            lengths = [np.linalg.norm(np.diff(course, axis=0), axis=1).mean() for course in courses]
            moved[utterance] = float(np.mean(lengths))
    return sorted(moved, key=lambda utterance: (-moved[utterance], utterance))[:most]
