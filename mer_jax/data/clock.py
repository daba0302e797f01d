"""All feature streams of a corpus on the clock of one of them."""

import dataclasses
import hashlib

import numpy as np

from mer_jax.data.corpus import Corpus
from mer_jax.data.schema import WAVEFORM, Modality, Utterance
from mer_jax.data.word_alignment import collapse
from mer_jax.errors import InputError, nearest


def to_clock(corpus: Corpus, clock: str, modalities: tuple[str, ...]) -> Corpus:
    """The corpus with every one of `modalities` at the steps of `clock`: other data, with a hash of its own.

    A step is the mean of the frames spoken during its word where the times of the words and the
    stream's rate are known, and else of the frames in an equal part of the sequence. Words too
    short for a frame take the nearest one. An utterance without the clock modality stays as it is.

    Raises InputError where `clock` is none of the modalities, or a stream is sound itself.
    """
    if clock not in modalities:
        raise InputError(
            f"data.clock={clock!r} is no feature stream of the config; {nearest(clock, modalities)}"
        )
    if WAVEFORM in modalities:
        raise InputError(
            f"data.clock={clock!r}: samples of sound have no mean per word; leave out {WAVEFORM!r}"
        )
    others = [corpus.spec.modality(name) for name in modalities if name != clock]
    utterances = tuple(_aligned(utterance, clock, others) for utterance in corpus.utterances)
    streams = tuple(
        dataclasses.replace(m, rate=corpus.spec.modality(clock).rate) if m in others else m
        for m in corpus.spec.modalities
    )
    content = hashlib.sha256(f"{corpus.content_hash} on the clock of {clock}".encode()).hexdigest()
    spec = dataclasses.replace(corpus.spec, modalities=streams)
    return dataclasses.replace(corpus, spec=spec, utterances=utterances, content_hash=content)


def _aligned(utterance: Utterance, clock: str, others: list[Modality]) -> Utterance:
    if not utterance.has(clock):
        return utterance
    steps, spans = len(utterance.features[clock]), utterance.aligned_spans()
    features = dict(utterance.features)
    for modality in others:
        if not utterance.has(modality.name):
            continue
        frames = features[modality.name]
        timed = modality.rate is not None and len(spans) == steps
        places = spans * modality.rate if timed else _equal_parts(len(frames), steps)
        features[modality.name] = _means(frames, places)
    return dataclasses.replace(utterance, features=features)


def _equal_parts(frames: int, steps: int) -> np.ndarray:
    edges = np.linspace(0, frames, steps + 1)
    return np.stack([edges[:-1], edges[1:]], axis=1)


def _means(frames: np.ndarray, places: np.ndarray) -> np.ndarray:
    """[steps, dim] means of the frames i, lasting from i to i + 1, between these places."""
    ticks = np.arange(len(frames), dtype=np.float64)
    means, counts = collapse(frames, np.stack([ticks, ticks + 1], axis=1), places)
    middle = np.floor(places.mean(axis=1)).astype(int)
    lone = frames[np.clip(middle, 0, len(frames) - 1)]
    return np.where(counts[:, None] > 0, means, lone).astype(np.float32)
