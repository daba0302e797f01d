"""Face-analysis CSVs as frames of features: OpenFace FeatureExtraction and py-feat Detector.

Both name their columns; readers take them in any order and with any spaces around them
(OpenFace before 2.1 writes one in front of each), and return them in a fixed order. Their
output differs: OpenFace's action units are intensities 0..5 (`_r`) and presences (`_c`),
py-feat's are scores 0..1 of a set that depends on its detector (20, 12 with `jaanet`).

py-feat also writes seven emotion *scores*: the output of an emotion classifier, which is
the task itself and no feature. They are never read; `FaceTrack.emotion_scores` names them.
"""

import dataclasses
import itertools
import re
from pathlib import Path
from typing import Literal

import numpy as np

from mer_jax.errors import InputError
from mer_jax.features.face_table import FaceTable, read_face_table

Group = Literal["au_intensity", "au_presence", "gaze", "gaze_angle", "pose", "landmarks"]
PyfeatGroup = Literal["au", "gaze", "pose", "landmarks"]
Failed = Literal["interpolate", "drop", "zero"]

INTENSITIES = (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 23, 25, 26, 45)
PRESENCES = (*INTENSITIES[:-1], 28, 45)
LANDMARKS = tuple(f"{axis}_{i}" for axis in "xy" for i in range(68))
OPENFACE: dict[str, tuple[str, ...]] = {
    "au_intensity": tuple(f"AU{i:02d}_r" for i in INTENSITIES),
    "au_presence": tuple(f"AU{i:02d}_c" for i in PRESENCES),
    "gaze": tuple(f"gaze_{eye}_{axis}" for eye in "01" for axis in "xyz"),
    "gaze_angle": ("gaze_angle_x", "gaze_angle_y"),
    "pose": tuple(f"pose_{kind}{axis}" for kind in "TR" for axis in "xyz"),
    "landmarks": LANDMARKS,
}
PYFEAT: dict[str, tuple[str, ...]] = {
    "gaze": ("gaze_pitch", "gaze_yaw"),
    "pose": ("Pitch", "Roll", "Yaw"),
    "landmarks": LANDMARKS,
}
EMOTION_SCORES = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")
OPENFACE_CONFIDENCE = 0.75
PYFEAT_CONFIDENCE = 0.5


@dataclasses.dataclass(frozen=True)
class FaceTrack:
    """One face through a video, a row per frame.

    times: [frames] seconds. values: [frames, dim] float32, NaN in frames that failed.
    columns: [dim] names. confidence: [frames], the tool's own, 0..1.
    valid: [frames] bool, false where no face was found or it was not trusted.
    other_faces: rows left out because the frame has a more confident face.
    emotion_scores: columns of the file that are emotion scores, never among `columns`.
    """

    times: np.ndarray
    values: np.ndarray
    columns: tuple[str, ...]
    confidence: np.ndarray
    valid: np.ndarray
    other_faces: int = 0
    emotion_scores: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.times)


def read_openface(
    path: Path,
    groups: tuple[Group, ...] = ("au_intensity",),
    *,
    rate: float | None = None,
    min_confidence: float = OPENFACE_CONFIDENCE,
) -> FaceTrack:
    """The output of OpenFace's FeatureExtraction (Baltrusaitis et al., FG 2018) on one video.

    groups: which columns: 17 action-unit intensities (0..5), 18 presences, gaze (two unit
        vectors), gaze_angle (radians), pose (mm, radians), 68 landmarks (pixels).
    rate: frames per second of the video; None takes the file's timestamps, which count
        milliseconds instead of frames where OpenFace misread the video's header.
    A frame failed where `success` is 0, `confidence` is below `min_confidence`, or a value
    is no number. Raises InputError where the file is damaged or lacks a column.
    """
    table = read_face_table(path)
    columns = _named(table, OPENFACE, groups, "run FeatureExtraction with -aus -pose -gaze -2Dfp")
    confidence = table.numbers("confidence")
    trusted = (table.numbers("success") > 0) & (confidence >= min_confidence)
    times = table.numbers("timestamp") if rate is None else (table.numbers("frame") - 1) / rate
    return _track(table, columns, times, confidence, trusted)


def read_pyfeat(
    path: Path,
    groups: tuple[PyfeatGroup, ...] = ("au",),
    *,
    rate: float,
    min_confidence: float = PYFEAT_CONFIDENCE,
) -> FaceTrack:
    """The output of py-feat's Detector (Cheong et al., Affective Science 2023) on one video.

    groups: which columns: au (all action units there are, named AU01 ... whether or not the
        file pads their numbers), gaze and pose (radians; degrees in older versions), 68
        landmarks (pixels).
    rate: frames per second of the video, which the file does not hold: times are frame / rate.
    A frame failed where `FaceScore` is below `min_confidence` or a value is empty or no
    number. Raises InputError where the file is damaged or lacks a column.
    """
    table = _padded_numbers(read_face_table(path))
    known = PYFEAT | {"au": tuple(sorted(name for name in table.header if re.fullmatch(r"AU\d\d", name)))}
    if "au" in groups and not known["au"]:
        raise InputError(f"{path}: there is no action unit (AU01 ...); save the output of py-feat's Detector")
    columns = _named(table, known, groups, "save the whole output of py-feat's Detector")
    confidence = table.numbers("FaceScore")
    track = _track(table, columns, table.numbers("frame") / rate, confidence, confidence >= min_confidence)
    scores = tuple(name for name in EMOTION_SCORES if name in table.header)
    return dataclasses.replace(track, emotion_scores=scores)


def without_failed(track: FaceTrack, how: Failed = "interpolate", longest_gap: int = 5) -> FaceTrack:
    """The track with every frame valid.

    drop: failed frames are taken out.
    interpolate: at most `longest_gap` failed frames in a row between two valid ones become
        the line in time between these; failed frames elsewhere are taken out.
    zero: failed frames become 0, as OpenFace itself writes them. The only one that always
        keeps the clock, and the one that can't be told from a face at rest.
    """
    if how == "zero":
        values = np.where(track.valid[:, None], track.values, np.float32(0))
        return dataclasses.replace(track, values=values, valid=np.ones(len(track), bool))
    keep, values = track.valid, track.values
    if how == "interpolate" and keep.any():
        keep = keep | _short_gaps(keep, longest_gap)
        columns = [np.interp(track.times, track.times[track.valid], x[track.valid]) for x in values.T]
        values = np.stack(columns, axis=1).astype(np.float32)
    cut = {name: getattr(track, name)[keep] for name in ("times", "confidence")}
    return dataclasses.replace(track, values=values[keep], valid=np.ones(int(keep.sum()), bool), **cut)


def _short_gaps(valid: np.ndarray, longest: int) -> np.ndarray:
    """[frames] true in runs of at most `longest` failed frames between valid ones."""
    places = np.flatnonzero(valid)
    out = np.zeros(len(valid), bool)
    for left, right in itertools.pairwise(places):
        out[left + 1 : right] = right - left - 1 <= longest
    return out


def _named(
    table: FaceTable, known: dict[str, tuple[str, ...]], groups: tuple[str, ...], remedy: str
) -> tuple[str, ...]:
    columns = tuple(name for group in groups for name in known[group])
    for name in columns:
        if name not in table.header:
            raise InputError(f"{table.path}: there is no column {name!r}; {remedy}")
    return columns


def _padded_numbers(table: FaceTable) -> FaceTable:
    """The table with AU1 called AU01."""
    header = {re.sub(r"^AU(\d)$", r"AU0\1", name): place for name, place in table.header.items()}
    return dataclasses.replace(table, header=header)


def _track(
    table: FaceTable, columns: tuple[str, ...], times: np.ndarray, confidence: np.ndarray, trusted: np.ndarray
) -> FaceTrack:
    """The most confident face of every frame, in order of frames."""
    values = np.stack([table.numbers(name) for name in columns], axis=1).astype(np.float32)
    valid = trusted & np.isfinite(values).all(axis=1)
    frames = table.frames()
    ranked = np.lexsort((-np.nan_to_num(confidence, nan=-1), ~valid, frames))
    first = np.concatenate([[True], np.diff(frames[ranked]) > 0])
    best = ranked[first]
    if not (np.isfinite(times[best]).all() and (np.diff(times[best]) > 0).all()):
        raise InputError(
            f"{table.path}: the timestamps do not rise from frame to frame; pass the video's rate"
        )
    return FaceTrack(
        times[best],
        np.where(valid[best, None], values[best], np.float32(np.nan)),
        columns,
        confidence[best],
        valid[best],
        other_faces=len(frames) - len(best),
    )
