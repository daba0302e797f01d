"""A sequence as one vector, for linear models: what floors and audits look at."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from sklearn.preprocessing import StandardScaler

from mer_jax.data.corpus import Corpus
from mer_jax.errors import InputError, nearest


@dataclasses.dataclass(frozen=True)
class Summary:
    """One modality of every utterance: time-mean and time-standard-deviation per feature.

    values: [n, 2 dim] float32, or [n, dim] (the mean) where no sequence has a second
        frame; zero where the modality is missing.
    present: [n] bool.
    """

    values: np.ndarray
    present: np.ndarray


def summarise(corpus: Corpus, modality: str) -> Summary:
    """The summary of a modality. Raises InputError where it is unknown or not finite."""
    if modality not in corpus.spec.modality_names:
        raise InputError(
            f"corpus {corpus.spec.name!r} has no modality {modality!r}; "
            f"{nearest(modality, corpus.spec.modality_names)}"
        )
    dim = corpus.spec.modality(modality).dim
    present = np.array([u.has(modality) for u in corpus.utterances], bool)
    values = np.zeros((len(corpus), 2 * dim), np.float32)
    frames = 0
    for row in np.flatnonzero(present):
        sequence = corpus.utterances[row].features[modality]
        frames = max(frames, len(sequence))
        values[row, :dim] = sequence.mean(axis=0)
        values[row, dim:] = sequence.std(axis=0)
    finite = np.isfinite(values).all(axis=1)
    if not finite.all():
        first = corpus.utterances[int(np.flatnonzero(~finite)[0])].id
        raise InputError(
            f"corpus {corpus.spec.name!r}: {modality!r} of {int((~finite).sum())} utterances, first "
            f"{first!r}, is not finite; prepare the corpus again without NaN and infinity"
        )
    return Summary(values if frames > 1 else values[:, :dim], present)


def design(summaries: Mapping[str, Summary], modalities: Sequence[str], train: np.ndarray) -> np.ndarray:
    """[n, columns] scaled summaries of several modalities, scaled by the rows `train`.

    Scaling uses the train rows that have the modality; a missing one is zeros after
    scaling, and a column says so where any row misses it. A modality that no train row
    has is left out.
    """
    columns = []
    for name in modalities:
        values, present = summaries[name].values, summaries[name].present
        if not present[train].any():
            continue
        scaler = StandardScaler().fit(values[train][present[train]])
        columns.append(np.where(present[:, None], scaler.transform(values), 0).astype(np.float32))
        if not present.all():
            columns.append(np.where(present, -1, 1)[:, None].astype(np.float32))
    if not columns:
        return np.zeros((len(next(iter(summaries.values())).present), 0), np.float32)
    return np.concatenate(columns, axis=1)
