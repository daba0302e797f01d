"""What is laid over a map: a run's predictions beside the truth, as states of the map's space."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

from mer_jax.emotion_space.mapping import Map
from mer_jax.errors import InputError
from mer_jax.evaluation.predictions import Predictions

NO_EMOTIONS = ("sentiment", "valence", "arousal", "activation", "dominance")


@dataclasses.dataclass(frozen=True)
class Overlay:
    """One system's predictions on a map.

    name: of the system. ids, transcripts, splits, groups: [n] str; a group is the dialogue, video
    or song of a row. truth, predicted: [n, E] states in the order of the map's emotions.
    times: [n] seconds at which a row starts; NaN where unknown.
    Raises InputError where lengths or widths differ, or a state is not finite.
    """

    name: str
    ids: np.ndarray
    truth: np.ndarray
    predicted: np.ndarray
    transcripts: np.ndarray
    splits: np.ndarray
    groups: np.ndarray
    times: np.ndarray

    def __post_init__(self) -> None:
        if self.truth.shape != self.predicted.shape or self.truth.ndim != 2:
            raise InputError(
                f"overlay {self.name!r}: truth {self.truth.shape} and predicted {self.predicted.shape} must "
                "both be [rows, emotions]"
            )
        for name in ("ids", "transcripts", "splits", "groups", "times"):
            if len(getattr(self, name)) != len(self.truth):
                raise InputError(
                    f"overlay {self.name!r}: {name} has {len(getattr(self, name))} rows, truth has "
                    f"{len(self.truth)}; give one per row"
                )
        bad = ~(np.isfinite(self.truth) & np.isfinite(self.predicted)).all(axis=1)
        if bad.any():
            raise InputError(
                f"overlay {self.name!r}: {int(bad.sum())} states, first of {str(self.ids[bad][0])!r}, are not "
                "finite; leave these rows out"
            )

    def __len__(self) -> int:
        return len(self.ids)

    def where(self, keep: Bool[np.ndarray, " n"] | Int[np.ndarray, " k"]) -> "Overlay":
        """The rows that a mask or numbers select."""
        arrays = {f.name: getattr(self, f.name)[keep] for f in dataclasses.fields(self) if f.name != "name"}
        return Overlay(self.name, **arrays)

    def part(self, split: str) -> "Overlay":
        """The rows of one split."""
        return self.where(self.splits == split)

    @classmethod
    def from_predictions(
        cls,
        name: str,
        predictions: Predictions,
        space: Map,
        *,
        emotions: Sequence[str] = (),
        classes: Sequence[str] = (),
        transcripts: Mapping[str, str] | None = None,
        times: Mapping[str, float] | None = None,
    ) -> "Overlay":
        """A run's predicted intensities, or a classifier's class probabilities, on `space`.

        emotions, classes: what the run's intensities and classes are called. Intensities are
        taken where they are the space's emotions (in any order; sentiment and the like beside
        them are left out), else probabilities times `space.top`, the truth being one-hot; the
        class "neutral" is left out where the space does not have it, so that it is the state of
        no emotion. transcripts, times (seconds): by id. Rows without a truth are left out.
        Raises InputError, naming both, where neither are the space's emotions.
        """
        wide, there = predictions.intensities.shape[1] > 0, predictions.probabilities.shape[1] > 0
        direct, picked = state_columns(space, name, emotions if wide else (), classes if there else ())
        if direct:
            truth, predicted = predictions.intensities, predictions.predicted_intensities
        else:
            truth, predicted = _of_classes(predictions, space.top)
        known = np.flatnonzero(np.isfinite(truth[:, picked]).all(axis=1))
        rows = predictions.where(known)
        texts, starts = transcripts or {}, times or {}
        return cls(
            name=name,
            ids=rows.ids,
            truth=truth[known][:, picked],
            predicted=predicted[known][:, picked],
            transcripts=np.array([texts.get(i, "") for i in rows.ids.tolist()], dtype=np.str_),
            splits=rows.splits,
            groups=rows.dialogues,
            times=np.array([starts.get(i, np.nan) for i in rows.ids.tolist()], np.float64),
        )


def state_columns(
    space: Map, name: str, emotions: Sequence[str], classes: Sequence[str]
) -> tuple[bool, list[int]]:
    """Whether a run's intensities are the space's emotions, else its classes are; and the column of each.

    Raises InputError, naming both, where neither are.
    """
    picked = _columns(space.emotions, emotions, NO_EMOTIONS)
    if picked is not None:
        return True, picked
    picked = _columns(space.emotions, classes, ("neutral",))
    if picked is None:
        raise InputError(_other_emotions(name, space, emotions, classes))
    return False, picked


def _columns(wanted: Sequence[str], given: Sequence[str], beside: Sequence[str]) -> list[int] | None:
    """Where each wanted name stands among the given; None where one is missing or one that is not
    `beside` is too much."""
    places = {name.lower(): k for k, name in enumerate(given)}
    names = [name.lower() for name in wanted]
    if not set(names) <= set(places) or set(places) - set(names) - set(beside):
        return None
    return [places[name] for name in names]


def _of_classes(
    predictions: Predictions, top: float
) -> tuple[Float[np.ndarray, "n k"], Float[np.ndarray, "n k"]]:
    """One-hot truth, NaN where there is no label, and probabilities, both times `top`."""
    count = predictions.probabilities.shape[1]
    truth = np.full((len(predictions), count), np.nan, np.float32)
    labelled = predictions.labels >= 0
    truth[labelled] = np.eye(count, dtype=np.float32)[predictions.labels[labelled]]
    scale = np.float32(top)
    return scale * truth, scale * predictions.probabilities


def _other_emotions(name: str, space: Map, emotions: Sequence[str], classes: Sequence[str]) -> str:
    has = [f"{what} {', '.join(names)}" for what, names in (("intensities", emotions), ("classes", classes))
           if names]  # fmt: skip
    return (
        f"run {name!r} has {' and '.join(has) or 'neither intensities nor classes'}; the space has the emotions "
        f"{', '.join(space.emotions)}: overlay it on a space of its own emotions"
    )
