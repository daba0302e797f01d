"""Columns of the FACET face analyser, among them another system's opinion on the emotion.

Names and order: CMU-MultimodalSDK, issues 239 (4.2) and 172 (4.1), and the `dimension names` of its files.
"""

import dataclasses
import re

_ACTION_UNITS_41 = (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 18, 20, 23, 24, 25, 26, 28)
_CHANNELS_41 = (
    *("anger", "contempt", "disgust", "joy", "fear", "negative", "neutral", "positive"),
    *("sadness", "surprise", "confusion", "frustration"),
)
FACET_42 = (
    *("Anger", "Contempt", "Disgust", "Joy", "Fear", "Baseline", "Sadness", "Surprise"),
    *("Confusion", "Frustration"),
    *(f"AU{number}" for number in (*_ACTION_UNITS_41, 43)),
    *("Has_Glasses", "Is_Male", "Pitch", "Yaw", "Roll"),
)
FACET_41 = (
    *("Face X", "Face Y", "Face Width", "Face Height"),
    *(f"{name}{kind}" for kind in ("Evidence", "Intensity") for name in _CHANNELS_41),
    *(f"AU{number}Evidence" for number in _ACTION_UNITS_41),
)
FACET_41_SELECTED = 20  # columns of FACET 4.1 that MOSI's processed files keep, emotion scores among them
EMOTIONS = frozenset({*_CHANNELS_41, "happiness"})


@dataclasses.dataclass(frozen=True)
class FaceColumns:
    """names: of the columns to keep, or empty. kept: their places. notes: what was found and done."""

    names: tuple[str, ...]
    kept: tuple[int, ...]
    notes: tuple[str, ...] = ()


def without_emotion_scores(
    dim: int, names: tuple[str, ...] = (), *, facet: bool, keep: bool = False
) -> FaceColumns:
    """The columns of a face stream that are not emotion scores.

    names: of the columns, where the file tells. facet: whether the stream is known to be, or taken
        for, FACET's, so that 35 or 47 unnamed columns are FACET 4.2's or 4.1's by their place.
    keep: keep the scores, named, for the leakage audit to warn of.
    """
    by_place = {len(FACET_42): FACET_42, len(FACET_41): FACET_41}.get(dim, ()) if facet else ()
    found = names or by_place
    scores = tuple(place for place, name in enumerate(found) if _words(name) & EMOTIONS)
    everything = tuple(range(dim))
    if facet and not found:
        unknown = f"The {dim} video columns seem FACET's and have no names: emotion scores may be among them."
        return FaceColumns((), everything, (unknown,))
    if keep or not scores:
        return FaceColumns(found, everything)
    kept = tuple(place for place in everything if place not in scores)
    how = "by name" if names else f"by place, taking the {dim} columns for FACET's"
    dropped = (
        f"WARNING: {len(scores)} of {dim} video columns were dropped, as they are another system's emotion "
        f"scores (recognised {how}): {', '.join(found[place] for place in scores)}; "
        "--options.keep-emotion-scores keeps them."
    )
    return FaceColumns(tuple(found[place] for place in kept), kept, (dropped,))


def _words(name: str) -> set[str]:
    return {word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)}
