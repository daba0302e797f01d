"""Feature files of MMSA: MOSI, MOSEI and CH-SIMS, aligned to word pieces or not.

Raw: one pickle (`unaligned_50.pkl`, `aligned_50.pkl` ...): split -> {raw_text, text, text_bert, audio,
vision, audio_lengths, vision_lengths, id, regression_labels ...}, padded behind what is spoken.
Source: Yu et al. 2020, ACL 2020.acl-main.343; thuiar/MMSA, README and src/MMSA/data_loader.py.
"""

import collections
import math

import numpy as np

from mer_jax.data.builders.feature_pickle import FeaturePickle, Fields, Part, filled_frames, text_of
from mer_jax.data.builders.raw_files import damaged
from mer_jax.data.builders.sentiment import SENTIMENT, SIGN_NOTE

OF_MODALITIES = {"T": "sentiment_text", "A": "sentiment_audio", "V": "sentiment_video"}
NOTES = (
    "Text is BERT's vector of every word piece, learned on other data.",
    "Padding was cut by the attention mask and the lengths the file tells, else where frames are zero; a modality "
    "of zeros throughout is missing.",
    "MMSA reads values of -inf in the audio as 0: --nan zero does so.",
    SIGN_NOTE,
    "The speaker is the video: who speaks in two videos is not known.",
)


class Mmsa(FeaturePickle, skip_registration=True):
    """Any of its feature files."""

    folder = "mmsa"
    made_by = "MMSA"
    notes = NOTES

    def part(self, fields: Fields, split: str) -> Part:
        """One split of the file."""
        del split
        features = fields.streams()
        return Part(
            who=_names(fields),
            features=features,
            filled=_filled(fields, features),
            levels=_levels(fields),
            transcripts=_transcripts(fields, len(features["text"])),
        )


def _names(fields: Fields) -> tuple[tuple[str, str, float, float], ...]:
    """Of ids `video$_$clip`."""
    names = [text_of(value) for value in fields.array("id").ravel()]
    twice = [name for name, count in collections.Counter(names).items() if count > 1]
    if twice:
        raise damaged(fields.path, f"{fields.key}: id {twice[0]!r} is there twice")
    return tuple((name, name.partition("$_$")[0], math.nan, math.nan) for name in names)


def _filled(fields: Fields, features: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """[n, time] whether a frame is no padding; on one clock for all, lengths are those of the words."""
    filled = {name: filled_frames(values) for name, values in features.items()}
    if "text_bert" in fields:
        attention = fields.numbers("text_bert", "n 3 time")[:, 1] > 0
        if attention.shape != filled["text"].shape:
            shapes = f"text_bert masks {list(attention.shape)}, text is {list(filled['text'].shape)}"
            raise damaged(fields.path, f"{fields.key}: {shapes}")
        filled["text"] &= attention
    if len({mask.shape[1] for mask in filled.values()}) > 1:
        for name, key in (("audio", "audio_lengths"), ("video", "vision_lengths")):
            if key in fields:
                steps = np.arange(filled[name].shape[1])
                filled[name] &= steps < fields.numbers(key, "n")[:, None]
    return filled


def _levels(fields: Fields) -> dict[str, np.ndarray]:
    """Sentiment, and in CH-SIMS that of each modality for itself."""
    levels = {SENTIMENT: _labels(fields, "regression_labels")}
    for letter, name in OF_MODALITIES.items():
        if f"regression_labels_{letter}" in fields:
            levels[name] = _labels(fields, f"regression_labels_{letter}")
    return levels


def _labels(fields: Fields, name: str) -> np.ndarray:
    return fields.numbers(name, "n" if fields.array(name).ndim < 2 else "n 1").reshape(-1)


def _transcripts(fields: Fields, count: int) -> tuple[str, ...]:
    if "raw_text" not in fields:
        return ("",) * count
    return tuple(text_of(value) for value in fields.array("raw_text").ravel())
