"""What is fitted on a fold's train examples before any network: scaling and padded lengths."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from mer_jax.data.batching import Buckets, Masks
from mer_jax.data.examples import ExampleSet
from mer_jax.data.scaling import Scaler


@dataclasses.dataclass(frozen=True)
class Preprocessing:
    """A fold's scaler and buckets, saved with the run so that new data meet the same ones.

    rows: numbers of the utterances both were fitted on, for the leakage audit; not saved.
    """

    scaler: Scaler
    buckets: Buckets
    rows: np.ndarray

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
    ) -> "Preprocessing":
        """Fits on `train` alone."""
        scaler = Scaler.fit(train, outlier_limit) if scale else Scaler.identity(train)
        fitted = Buckets.fit(train, buckets, length_quantile, masks=masks)
        return cls(scaler, fitted, np.concatenate(list(train.rows)))

    def to_json(self) -> dict[str, Any]:
        return {
            "mean": {m: x.tolist() for m, x in self.scaler.mean.items()},
            "sd": {m: x.tolist() for m, x in self.scaler.sd.items()},
            "limit": self.scaler.limit if np.isfinite(self.scaler.limit) else None,
            "lengths": dict(self.buckets.lengths),
            "truncate": self.buckets.truncate,
            "masks": self.buckets.masks,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Preprocessing":
        """The inverse of `to_json`."""
        mean, sd = ({m: np.array(x) for m, x in data[name].items()} for name in ("mean", "sd"))
        limit = np.inf if data["limit"] is None else data["limit"]
        lengths = {m: tuple(x) for m, x in data["lengths"].items()}
        buckets = Buckets(lengths, data["truncate"], data.get("masks", "true"))
        return cls(Scaler(mean, sd, limit), buckets, np.zeros(0, int))


def balanced_weights(targets: np.ndarray, classes: int) -> np.ndarray:
    """[classes] n / (classes present * count): every class weighs the same in the loss; 0 for
    a class that does not occur."""
    counts = np.bincount(targets, minlength=classes)
    present = counts > 0
    return np.where(present, len(targets) / (present.sum() * np.maximum(counts, 1)), 0.0)
