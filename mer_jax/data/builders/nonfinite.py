"""What a builder that reads feature files does with NaN and infinite values."""

import collections
import dataclasses
from collections.abc import Iterable
from typing import Annotated, Literal

import numpy as np
import tyro

from mer_jax.data.builders.base import CorpusBuilder
from mer_jax.data.schema import Utterance


@dataclasses.dataclass(frozen=True)
class FeatureFileOptions:
    """nan: `error` keeps non-finite features, which the doctor refuses; `zero` stores 0."""

    nan: Annotated[Literal["error", "zero"], tyro.conf.Suppress] = "error"


class FeatureFileBuilder(CorpusBuilder, skip_registration=True):
    """A corpus whose features come from files. Values set to 0 are counted in the notes."""

    Options = FeatureFileOptions

    def _generate_examples(self, split: str, rows: Iterable[Utterance]):
        if self.options.nan == "error":
            yield from super()._generate_examples(split, rows)
            return
        zeroed: collections.Counter[str] = collections.Counter()
        yield from super()._generate_examples(split, (_finite(u, zeroed) for u in rows))
        notes = tuple(
            f"{count} non-finite values of {modality} in {split} were stored as 0 (--nan zero)."
            for modality, count in sorted(zeroed.items())
        )
        self.spec = dataclasses.replace(self.spec, notes=self.spec.notes + notes)


def _finite(utterance: Utterance, zeroed: collections.Counter[str]) -> Utterance:
    features = {}
    for modality, values in utterance.features.items():
        bad = ~np.isfinite(values)
        zeroed.update({modality: int(bad.sum())} if bad.any() else {})
        features[modality] = np.where(bad, np.float32(0), values)
    return dataclasses.replace(utterance, features=features)
