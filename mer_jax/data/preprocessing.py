"""What is fitted on a fold's train examples before any network: scaling, padded lengths, vocabulary."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from mer_jax.data.batching import Buckets, Masks
from mer_jax.data.examples import ExampleSet
from mer_jax.data.scaling import Scaler
from mer_jax.data.vocabulary import WORDS, Vocabulary


@dataclasses.dataclass(frozen=True)
class Preprocessing:
    """A fold's scaler, buckets and vocabulary, saved with the run so that new data meet the same ones.

    rows: numbers of the utterances they were fitted on, for the leakage audit; not saved.
    vocabulary: where words are among the modalities.
    unseen: modalities that no train example has: nothing has learned to read them, so that they
        count as missing everywhere.
    """

    scaler: Scaler
    buckets: Buckets
    rows: np.ndarray
    vocabulary: Vocabulary | None = None
    unseen: tuple[str, ...] = ()

    @classmethod
    def fit(
        cls,
        train: ExampleSet,
        *,
        scale: bool,
        outlier_limit: float,
        buckets: int,
        length_quantile: float,
        masks: Masks = "true",
        vocabulary: int = 2,
    ) -> "Preprocessing":
        """Fits on `train` alone; vocabulary: its size, unknown words included."""
        scaler = Scaler.fit(train, outlier_limit) if scale else Scaler.identity(train)
        fitted = Buckets.fit(train, buckets, length_quantile, masks=masks)
        words = None
        if WORDS in train.features:
            words = Vocabulary.fit([x[:, 0].tolist() for x in train.features[WORDS]], vocabulary)
        rows = np.concatenate(list(train.rows))
        return cls(scaler, fitted, rows, words, tuple(m for m in train.features if not _seen(train, m)))

    def __call__(self, examples: ExampleSet) -> ExampleSet:
        """Scaled features, and ids (as float32, [time, 1]) in place of words."""
        scaled = self.scaler(examples)
        missing = 0 if examples.unit == "utterance" else None
        gone = {m: [np.zeros_like(x[:missing]) for x in scaled.features[m]] for m in self.unseen}
        scaled = dataclasses.replace(scaled, features={**scaled.features, **gone})
        if self.vocabulary is None:
            return scaled
        ids = [self.vocabulary.encode(x[:, 0].tolist()) for x in examples.features[WORDS]]
        features = {**scaled.features, WORDS: [x.astype(np.float32)[:, None] for x in ids]}
        return dataclasses.replace(scaled, features=features)

    def to_json(self) -> dict[str, Any]:
        return {
            "mean": {m: x.tolist() for m, x in self.scaler.mean.items()},
            "sd": {m: x.tolist() for m, x in self.scaler.sd.items()},
            "limit": self.scaler.limit if np.isfinite(self.scaler.limit) else None,
            "lengths": dict(self.buckets.lengths),
            "truncate": self.buckets.truncate,
            "masks": self.buckets.masks,
            "vocabulary": None if self.vocabulary is None else self.vocabulary.to_json(),
            "unseen": list(self.unseen),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Preprocessing":
        """The inverse of `to_json`."""
        mean, sd = ({m: np.array(x) for m, x in data[name].items()} for name in ("mean", "sd"))
        limit = np.inf if data["limit"] is None else data["limit"]
        lengths = {m: tuple(x) for m, x in data["lengths"].items()}
        buckets = Buckets(lengths, data["truncate"], data.get("masks", "true"))
        words = data.get("vocabulary")
        vocabulary = None if words is None else Vocabulary.from_json(words)
        unseen = tuple(data.get("unseen", ()))
        return cls(Scaler(mean, sd, limit), buckets, np.zeros(0, int), vocabulary, unseen)


def _seen(examples: ExampleSet, modality: str) -> bool:
    """Whether any example has it: a frame, or in a dialogue the mean of one utterance's frames."""
    if examples.unit == "utterance":
        return bool(examples.lengths(modality).any())
    return any(not np.isnan(x).all() for x in examples.features[modality])


def balanced_weights(targets: np.ndarray, classes: int) -> np.ndarray:
    """[classes] n / (classes present * count): every class weighs the same in the loss; 0 for
    a class that does not occur."""
    counts = np.bincount(targets, minlength=classes)
    present = counts > 0
    return np.where(present, len(targets) / (present.sum() * np.maximum(counts, 1)), 0.0)
