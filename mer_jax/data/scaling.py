"""Feature scaling, fitted on training examples only."""

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from mer_jax.data.corpus import Corpus
from mer_jax.data.examples import ExampleSet
from mer_jax.data.schema import WAVEFORM
from mer_jax.data.vocabulary import WORDS

Scaling = Literal["train", "speaker", "none"]
UNSCALED = (WORDS, WAVEFORM)  # names; and samples, which a system standardises by clip


@dataclasses.dataclass(frozen=True)
class Scaler:
    """x -> clip((x - mean) / sd, -limit, limit) for each feature of each modality.

    mean, sd: modality -> [dim]; a constant feature has sd 1.
    limit: standard deviations beyond which a value is an outlier.

    NaN marks a vector that is missing: it is left out of the fit and becomes 0, the mean.
    Words and waveforms stay as they are.
    """

    mean: Mapping[str, np.ndarray]
    sd: Mapping[str, np.ndarray]
    limit: float

    @classmethod
    def fit(cls, examples: ExampleSet, limit: float) -> "Scaler":
        """Means and standard deviations over the frames of `examples`."""
        stacked = {
            m: np.concatenate([*x, np.zeros((0, x[0].shape[1]))]) for m, x in _scaled(examples).items()
        }
        return cls(*_moments(stacked), limit)

    @classmethod
    def identity(cls, examples: ExampleSet) -> "Scaler":
        """Leaves features as they are (missing ones become 0)."""
        dims = {m: x[0].shape[1] for m, x in _scaled(examples).items()}
        return cls(
            {m: np.zeros(d) for m, d in dims.items()}, {m: np.ones(d) for m, d in dims.items()}, np.inf
        )

    def __call__(self, examples: ExampleSet) -> ExampleSet:
        scaled = {m: [self._scale(m, x) for x in xs] for m, xs in _scaled(examples).items()}
        return dataclasses.replace(examples, features={**examples.features, **scaled})

    def _scale(self, modality: str, frames: np.ndarray) -> np.ndarray:
        scaled = (frames - self.mean[modality]) / self.sd[modality]
        return np.nan_to_num(np.clip(scaled, -self.limit, self.limit)).astype(np.float32)


def _scaled(examples: ExampleSet) -> dict[str, Sequence[np.ndarray]]:
    return {m: x for m, x in examples.features.items() if m not in UNSCALED}


def scale_by_speaker(corpus: Corpus, modalities: tuple[str, ...]) -> Corpus:
    """Standardises each speaker's features by that speaker's own frames.

    Uses no label, but does use the inputs of test speakers: other data, with a content hash,
    and so a protocol, of their own; the leakage audit names it. Waveforms stay as they are.
    """
    modalities = tuple(m for m in modalities if m not in UNSCALED)
    speakers = corpus.column("speaker")
    utterances = list(corpus.utterances)
    for speaker in sorted(set(speakers.tolist())):
        rows = np.flatnonzero(speakers == speaker)
        have = {m: [utterances[i].features[m] for i in rows if utterances[i].has(m)] for m in modalities}
        mean, sd = _moments({m: np.concatenate(x) for m, x in have.items() if x})
        for row in rows:
            old = utterances[row].features
            new = {m: ((old[m] - mean[m]) / sd[m]).astype(np.float32) for m in modalities if m in old}
            utterances[row] = dataclasses.replace(utterances[row], features={**old, **new})
    content = hashlib.sha256(f"{corpus.content_hash} scaled by speaker".encode()).hexdigest()
    return dataclasses.replace(corpus, utterances=tuple(utterances), content_hash=content)


def _moments(frames: Mapping[str, np.ndarray]) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    mean, sd = {}, {}
    for name, x in frames.items():
        x = x[~np.isnan(x).any(axis=1)].astype(np.float64)
        x = x if len(x) else np.zeros((1, x.shape[1]))
        mean[name] = x.mean(axis=0)
        spread = x.std(axis=0)
        sd[name] = np.where(spread > 1e-6 * (1 + np.abs(mean[name])), spread, 1.0)
    return mean, sd
