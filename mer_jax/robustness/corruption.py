"""Ineffectual modalities made on purpose: the same suite for augmentation and for tests."""

import dataclasses
from collections.abc import Sequence
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float

from mer_jax.data.examples import ExampleSet
from mer_jax.data.randomness import stream
from mer_jax.errors import InputError, nearest
from mer_jax.robustness.vectors import availability, check_examples

Kind = Literal["noise", "burst", "frame_drop", "drop", "shift"]


@dataclasses.dataclass(frozen=True)
class Corruption:
    """What happens to which samples.

    Attributes:
        kind: noise, white Gaussian on every frame; burst, the same on one stretch of frames;
            frame_drop, single frames set to zero; drop, the whole modality missing; shift, later in
            time, with zeros before (and nothing after).
        modalities: those that may be corrupted; none named: any.
        share: of samples that are; a sample corrupted at one share is so at any larger one.
        per_sample: one of these modalities, drawn among those the sample has; or all of them.
        snr_db: power of the frames hit over that of their noise, in decibels; exact.
        frame_share: of frames hit by a burst or dropped, at least one frame.
        shift: of the sequence's length; negative: earlier.

    Raises:
        InputError: where a field is out of range.
    """

    kind: Kind = "noise"
    modalities: tuple[str, ...] = ()
    share: float = 0.3
    per_sample: Literal["one", "all"] = "one"
    snr_db: float = 0.0
    frame_share: float = 0.3
    shift: float = 0.25

    def __post_init__(self) -> None:
        if len(set(self.modalities)) != len(self.modalities):
            raise InputError(f"corruption: modalities={self.modalities}; name each once")
        for name, low in (("share", 0.0), ("frame_share", 0.0), ("shift", -1.0)):
            if not low <= getattr(self, name) <= 1:
                raise InputError(f"corruption: {name}={getattr(self, name)} must be a share of {low:g} to 1")
        if not -100 <= self.snr_db <= 100:
            raise InputError(f"corruption: snr_db={self.snr_db}; give a number of decibels from -100 to 100")


@dataclasses.dataclass(frozen=True)
class Corrupted:
    """Examples after a corruption, and what it did.

    where: [samples, modalities] in the examples' order.
    """

    examples: ExampleSet
    where: np.ndarray


def corrupt(examples: ExampleSet, ids: Sequence[str], corruption: Corruption, seed: int = 0) -> Corrupted:
    """Corrupts what `corruption` says; give another seed for each epoch of an augmentation.

    ids: one per example. What happens to a sample depends on seed, its id and its own features
    alone, not on which samples stand beside it or in which order. A missing modality stays so; a
    sequence of zeros has no power that noise could be compared with and is left alone; the last
    modality a sample has is never dropped.

    Raises InputError where a modality is unknown or ids are not one per example.
    """
    check_examples(examples)
    names = tuple(examples.features)
    for name in corruption.modalities:
        if name not in names:
            raise InputError(f"corruption: no modality {name!r}; {nearest(name, names)}")
    if len(ids) != len(examples):
        raise InputError(f"corruption: {len(ids)} ids for {len(examples)} examples; give one each")
    where = _targets(ids, availability(examples), names, corruption, seed)
    features = {}
    for k, name in enumerate(names):
        sequences = list(examples.features[name])
        for i in np.flatnonzero(where[:, k]).tolist():
            sequences[i], where[i, k] = _hit(sequences[i], corruption, stream(seed, f"{ids[i]} {name}"))
        features[name] = sequences
    return Corrupted(dataclasses.replace(examples, features=features), where)


def white_noise(
    frames: Float[np.ndarray, "time dim"], snr_db: float, random: np.random.Generator
) -> Float[np.ndarray, "time dim"]:
    """White Gaussian noise, rescaled as a whole, so that exactly

        10 log10(sum frames^2 / sum noise^2) = snr_db

    over these frames. float64.
    """
    noise = random.standard_normal(frames.shape)
    power = np.sum(frames.astype(np.float64) ** 2)
    return noise * np.sqrt(power / np.sum(noise**2) * 10 ** (-snr_db / 10))


def _targets(
    ids: Sequence[str], there: np.ndarray, names: tuple[str, ...], corruption: Corruption, seed: int
) -> Bool[np.ndarray, "samples modalities"]:
    candidates = [k for k, name in enumerate(names) if name in (corruption.modalities or names)]
    where = np.zeros_like(there)
    for i, name in enumerate(ids):
        present = [k for k in candidates if there[i, k]]
        draw, which = stream(seed, name).random(2)
        if draw >= corruption.share or not present:
            continue
        chosen = present if corruption.per_sample == "all" else [present[int(which * len(present))]]
        if corruption.kind == "drop" and len(chosen) == there[i].sum():
            chosen = [k for k in chosen if k != present[int(which * len(present))]]
        where[i, chosen] = True
    return where


def _hit(frames: np.ndarray, corruption: Corruption, random: np.random.Generator) -> tuple[np.ndarray, bool]:
    """One sequence after the corruption, and whether it changed."""
    time = len(frames)
    if corruption.kind == "drop":
        return frames[:0], True
    if corruption.kind == "shift":
        shifted = _shifted(frames, round(corruption.shift * time))
        return shifted, not np.array_equal(shifted, frames)
    out = frames.astype(np.float64)
    count = time if corruption.kind == "noise" else max(1, round(corruption.frame_share * time))
    if corruption.kind == "frame_drop":
        out[random.permutation(time)[:count]] = 0
    else:
        start = int(random.integers(time - count + 1))
        stretch = slice(start, start + count)
        out[stretch] += white_noise(frames[stretch], corruption.snr_db, random)
    out = out.astype(np.float32)
    return out, not np.array_equal(out, frames)


def _shifted(frames: np.ndarray, by: int) -> np.ndarray:
    """[time, dim] y_t = x_(t - by), zeros where x has no such frame."""
    out = np.zeros_like(frames)
    if by >= 0:
        out[by:] = frames[: len(frames) - by]
    else:
        out[:by] = frames[-by:]
    return out
