"""Feature files of the Multimodal Transformer: MOSI, MOSEI and IEMOCAP, aligned to words or not.

Raw: one pickle (`mosei_senti_data.pkl`, `mosi_data_noalign.pkl`, `iemocap_data.pkl` ...): split ->
{text, audio, vision [n, time, dim], labels, id}, zeros before what is spoken.
Source: Tsai et al. 2019, arXiv 1906.00295; yaohungt/Multimodal-Transformer, src/dataset.py.
"""

import collections
import math

import numpy as np

from mer_jax.data.builders.feature_pickle import FeaturePickle, Fields, Part, filled_frames, text_of
from mer_jax.data.builders.sentiment import INTENSITIES, SENTIMENT, SIGN_NOTE, STORED
from mer_jax.errors import InputError

IEMOCAP = ("neutral", "happy", "sad", "anger")
NOTES = (
    "Frames of zeros before and after what is spoken are padding and were cut; a modality of zeros throughout is "
    "missing.",
    "MulT reads values of -inf in the audio as 0: --nan zero does so.",
    SIGN_NOTE,
    "The speaker is the video; a file without ids names neither, so leakage can't be checked.",
    "IEMOCAP's four emotions are marked present or absent each, not one of four.",
)


class Mult(FeaturePickle, skip_registration=True):
    """Any of its feature files."""

    folder = "mult"
    made_by = "Multimodal-Transformer"
    notes = NOTES

    def part(self, fields: Fields, split: str) -> Part:
        """One split of the file."""
        features = fields.streams()
        count = len(features["text"])
        return Part(
            who=_names(fields) if "id" in fields else tuple(_unnamed(split, count)),
            features=features,
            filled={name: filled_frames(values) for name, values in features.items()},
            levels=_levels(fields),
            transcripts=("",) * count,
        )


def _unnamed(split: str, count: int):
    for index in range(count):
        name = f"{split}[{index}]"
        yield name, name, math.nan, math.nan


def _names(fields: Fields) -> tuple[tuple[str, str, float, float], ...]:
    """Of rows (video or video[segment], start, end), of which the times may be missing."""
    seen: collections.Counter[str] = collections.Counter()
    names = []
    for row in fields.array("id"):
        first, *times = (text_of(value) for value in np.ravel(row))
        video, segment, _ = first.partition("[")
        names.append(
            (
                first if segment else f"{video}[{seen[video]}]",
                video,
                *((_seconds(times[0]), _seconds(times[1])) if len(times) == 2 else (math.nan, math.nan)),
            )
        )
        seen[video] += 1
    return tuple(names)


def _seconds(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _levels(fields: Fields) -> dict[str, np.ndarray]:
    """Sentiment [n, 1, 1]; MOSEI's seven labels [n, 1, 7]; IEMOCAP's four emotions [n, 4, 2], absent or present."""
    labels = fields.array("labels")
    if labels.dtype.kind in "fiub" and labels.shape[1:] == (len(IEMOCAP), 2):
        return dict(zip(IEMOCAP, np.argmax(labels, axis=2).T.astype(np.float32), strict=True))
    flat = labels.reshape(len(labels), -1)
    if labels.dtype.kind in "fiu" and flat.shape[1] == 1:
        return {SENTIMENT: flat[:, 0]}
    if labels.dtype.kind in "fiu" and flat.shape[1] == len(STORED):
        return {name: flat[:, STORED.index(stored)] for stored, name in INTENSITIES.items()}
    raise InputError(
        f"{fields.path}: {fields.key} has labels of shape {list(labels.shape)} and type {labels.dtype}; expected "
        "[n, 1, 1] sentiment, [n, 1, 7] of MOSEI or [n, 4, 2] of IEMOCAP"
    )
