"""Run folders as they are laid over an emotion space: predictions, their course over time, names of both."""

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

from experiments.run_names import run_names
from mer_jax.data.corpus import Corpus
from mer_jax.emotion_space.mapping import Map
from mer_jax.emotion_space.overlay import Overlay
from mer_jax.emotion_space.trajectories import TrajectoryGroup, of_groups
from mer_jax.emotion_space.utterances import Spoken, of_utterances
from mer_jax.errors import InputError
from mer_jax.evaluation.predictions import Predictions
from mer_jax.evaluation.timeline import Timeline
from mer_jax.training.run_folder import RunFolder

MAKE_ONE = "python -m experiments.timeline RUN makes its timeline.npz"


@dataclasses.dataclass(frozen=True)
class Run:
    """A finished run: what it is called, its predictions, and over time (None where nobody made them), what its
    intensities and its classes are called."""

    name: str
    path: Path
    predictions: Predictions
    timeline: Timeline | None
    emotions: tuple[str, ...]
    classes: tuple[str, ...]


def read_runs(paths: Sequence[Path], corpus: Corpus, split: str) -> list[Run]:
    """Finished runs by names that tell them apart."""
    names = run_names(paths)
    return [read_run(name, path, corpus, split) for name, path in zip(names, paths, strict=True)]


def check_courses(runs: Sequence[Run], groups: Sequence[str], utterances: Sequence[str]) -> None:
    """Raises InputError where a course is asked for that no run has."""
    if (groups or utterances) and not runs:
        raise InputError("--groups and --utterances show the course of runs' predictions; name a run folder")
    if utterances and all(one.timeline is None for one in runs):
        raise InputError(f"--utterances needs a run with a timeline.npz; {MAKE_ONE}")


def read_run(name: str, path: Path, corpus: Corpus, split: str) -> Run:
    """A finished run's predictions of one split, which must be of this corpus' utterances."""
    folder = RunFolder(path)
    if not folder.finished:
        raise InputError(f"{path} is no finished run (it has no metrics.json); train or resume it")
    predictions = Predictions.load(path / "predictions.npz").part(split)
    unknown = sorted(set(predictions.ids.tolist()) - set(corpus.column("id").tolist()))
    if unknown and len(unknown) == len(set(predictions.ids.tolist())):
        raise InputError(
            f"{path} is of another corpus: {corpus.spec.name!r} has no utterance {unknown[0]!r}; "
            "name the corpus that the run was trained on"
        )
    timeline = Timeline.load(path / "timeline.npz") if (path / "timeline.npz").exists() else None
    protocol = folder.read("protocol.json")
    targets, regression = tuple(protocol["targets"]), protocol["config"]["task"] == "regression"
    return Run(
        name, path, predictions, timeline, targets if regression else (), () if regression else targets
    )


def overlay(one: Run, space: Map, corpus: Corpus, split: str) -> Overlay:
    """A run's predictions as states of the space."""
    made = Overlay.from_predictions(
        one.name,
        one.predictions,
        space,
        emotions=one.emotions,
        classes=one.classes,
        transcripts={u.id: u.transcript for u in corpus.utterances},
        times={u.id: float(u.start) for u in corpus.utterances},
    )
    if not len(made):
        raise InputError(f"{one.path} has no {split} utterance with a truth; choose another --split")
    return made


def trajectories(
    space: Map,
    overlays: Sequence[Overlay],
    runs: Sequence[Run],
    groups: Sequence[str],
    utterances: Sequence[str],
    most: int,
) -> list[TrajectoryGroup]:
    """The course of dialogues, and of utterances where runs say what they predict as they go on.

    groups, utterances: which; `most` of each where none is named.
    """
    if not overlays:
        return []
    spoken = [
        Spoken.on(space, one.name, one.timeline, one.emotions, one.classes)
        for one in runs
        if one.timeline is not None
    ]
    missing = [str(one.path) for one in runs if one.timeline is None]
    if missing:
        print(f"without its course within utterances: {', '.join(missing)}; {MAKE_ONE}", file=sys.stderr)
    within = of_utterances(spoken, overlays[0], utterances, most) if spoken else []
    return [*of_groups(overlays, groups, most), *within]
