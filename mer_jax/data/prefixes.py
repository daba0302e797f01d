"""Utterances as far as they have been heard: for what a system says after each step."""

import dataclasses

import numpy as np

from mer_jax.data.examples import ExampleSet
from mer_jax.errors import InputError

MOST_STEPS = 64


@dataclasses.dataclass(frozen=True)
class Prefixes:
    """examples: one per prefix, prefix after prefix, without targets; `rows` are their numbers.

    offsets: [n + 1] the prefixes of example i are offsets[i] : offsets[i + 1].
    steps: [prefixes] frames of the first modality that each has.
    lengths: [n] frames of the first modality that the whole example has.
    """

    examples: ExampleSet
    offsets: np.ndarray
    steps: np.ndarray
    lengths: np.ndarray


def prefixes(examples: ExampleSet, most: int = MOST_STEPS) -> Prefixes:
    """The beginnings of every example, the whole one last.

    A step of the first modality that an example has is a step of its clock; other modalities are cut at the
    same share of their length, rounded up. Of more than `most` steps so many are kept, evenly
    spaced. Raises InputError where an example is a dialogue: its steps are utterances already.
    """
    if examples.unit == "dialogue":
        raise InputError("prefixes: with data.unit='dialogue' every step has a prediction of its own already")
    if most < 1:
        raise InputError(f"prefixes: most={most} must be at least 1")
    counts = np.stack([examples.lengths(name) for name in examples.features], axis=1)
    clock = (counts > 0).argmax(axis=1)
    lengths = counts[np.arange(len(counts)), clock]
    kept = [_steps(length, most) for length in lengths.tolist()]
    owner = np.repeat(np.arange(len(kept)), [len(steps) for steps in kept])
    steps = np.concatenate([*kept, np.zeros(0, int)])
    shares = steps / np.maximum(lengths[owner], 1)
    features = {
        name: [
            sequences[i][: int(np.ceil(len(sequences[i]) * share - 1e-9))]
            for i, share in zip(owner.tolist(), shares.tolist(), strict=True)
        ]
        for name, sequences in examples.features.items()
    }
    spans = None
    if examples.spans is not None:
        spans = [
            examples.spans[i][: len(cut)]
            for i, cut in zip(owner.tolist(), features[examples.timed], strict=True)
        ]
    rows = list(np.arange(len(steps))[:, None])
    made = ExampleSet(features, rows, None, examples.unit, None, spans, examples.timed)
    offsets = np.concatenate([[0], np.cumsum([len(steps) for steps in kept])]).astype(int)
    return Prefixes(made, offsets, steps, lengths)


def _steps(length: int, most: int) -> np.ndarray:
    """1 .. length, or `most` of them with the last; none of an empty example."""
    return np.unique(np.ceil(np.linspace(0, length, min(length, most) + 1)[1:] - 1e-9).astype(int))
