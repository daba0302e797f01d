"""Sequences as paired vectors: what the modality check and the proxies see of an utterance."""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float

from mer_jax.data.examples import ExampleSet
from mer_jax.data.scaling import UNSCALED
from mer_jax.data.splits import Fold
from mer_jax.errors import InputError


@dataclasses.dataclass(frozen=True)
class TrainingExamples:
    """Examples of a fold's train and of nothing else: all that checks and proxies may be fitted on.

    Raises InputError where an example's utterance is not in `fold.train`, an example is a whole
    dialogue, or a modality has no feature vectors (words, waveforms).
    """

    examples: ExampleSet
    fold: Fold

    def __post_init__(self) -> None:
        outside = np.setdiff1d(self.rows, self.fold.train)
        if len(outside):
            raise InputError(
                f"robustness: {len(outside)} utterances, first row {outside[0]}, are not in train of fold "
                f"{self.fold.name!r}; fit on the fold's train examples only"
            )
        check_examples(self.examples)

    @property
    def rows(self) -> np.ndarray:
        """[examples] utterance numbers."""
        return np.array([row for rows in self.examples.rows for row in rows], int)


def check_examples(examples: ExampleSet) -> None:
    """Raises InputError where these examples have no vectors to compare."""
    if examples.unit != "utterance":
        raise InputError("robustness: an example is one dialogue; use data.unit='utterance'")
    for name, sequences in examples.features.items():
        if name in UNSCALED:
            raise InputError(f"robustness: {name!r} has no feature vectors; leave this modality out")
        bad = [i for i, x in enumerate(sequences) if not np.isfinite(x).all()]
        if bad:
            raise InputError(
                f"robustness: {name!r} of {len(bad)} examples, first number {bad[0]}, is not finite; "
                "prepare the corpus again without NaN and infinity"
            )


def availability(examples: ExampleSet) -> Bool[np.ndarray, "samples modalities"]:
    """Which modality of which example has at least one frame."""
    return np.stack([examples.lengths(name) > 0 for name in examples.features], axis=1)


def resample(frames: Float[np.ndarray, "time dim"], steps: int) -> Float[np.ndarray, "{steps} dim"]:
    """Linear interpolation at the centres of `steps` equal stretches of the sequence.

        s_i = (i + 1/2) time / steps - 1/2,   clipped to [0, time - 1]

    Frames themselves where steps = time. Means over stretches would average white noise away,
    which is what the check has to see. Zeros for an empty sequence.
    """
    time = len(frames)
    if time in (0, steps):
        return frames.astype(np.float32) if time else np.zeros((steps, frames.shape[1]), np.float32)
    place = np.clip((np.arange(steps) + 0.5) * time / steps - 0.5, 0, time - 1)
    left = np.floor(place).astype(int)
    share = (place - left)[:, None]
    return ((1 - share) * frames[left] + share * frames[np.minimum(left + 1, time - 1)]).astype(np.float32)


def example_vectors(examples: ExampleSet, steps: int) -> dict[str, Float[np.ndarray, "samples {steps} _dim"]]:
    """modality -> every example's `steps` vectors (`resample`); zeros where it is missing."""
    return {name: np.stack([resample(x, steps) for x in xs]) for name, xs in examples.features.items()}
