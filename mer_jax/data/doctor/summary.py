"""Counts and lengths of a corpus, by split and by modality."""

import collections
import dataclasses
from collections.abc import Mapping

import numpy as np

from mer_jax.data.corpus import Corpus
from mer_jax.data.doctor.frames import FrameStatistics
from mer_jax.data.schema import Modality

QUANTILES = (0.0, 0.25, 0.5, 0.75, 1.0)
UNLABELLED = "(none)"


@dataclasses.dataclass(frozen=True)
class SplitSummary:
    """classes: utterances of each class, those without a label under `(none)`."""

    split: str
    utterances: int
    dialogues: int
    speakers: int
    transcripts: int
    classes: Mapping[str, int]


@dataclasses.dataclass(frozen=True)
class ModalitySummary:
    """One modality over the whole corpus.

    present: utterances that have it, by split.
    frames: 0, 25, 50, 75 and 100 % quantiles of the length; seconds: the same, or None
    where the rate is not known. Both are None where the modality is nowhere present.
    low, high: extremes of its finite values.
    """

    name: str
    dim: int
    rate: float | None
    present: Mapping[str, int]
    frames: tuple[float, ...] | None
    seconds: tuple[float, ...] | None
    low: float | None
    high: float | None
    nan: int
    infinite: int


def split_summaries(corpus: Corpus) -> tuple[SplitSummary, ...]:
    """One summary per split that the corpus declares."""
    return tuple(_split_summary(corpus, split) for split in corpus.spec.splits)


def _split_summary(corpus: Corpus, split: str) -> SplitSummary:
    rows = [u for u, s in zip(corpus.utterances, corpus.splits, strict=True) if s == split]
    counts = collections.Counter(u.label or UNLABELLED for u in rows)
    classes = {name: counts[name] for name in corpus.spec.classes}
    classes |= {name: counts[name] for name in sorted(counts.keys() - classes.keys())}
    return SplitSummary(
        split=split,
        utterances=len(rows),
        dialogues=len({u.dialogue for u in rows}),
        speakers=len({u.speaker for u in rows}),
        transcripts=sum(bool(u.transcript) for u in rows),
        classes=classes if corpus.spec.classes or set(counts) != {UNLABELLED} else {},
    )


def modality_summary(corpus: Corpus, modality: Modality, statistics: FrameStatistics) -> ModalitySummary:
    """Presence and lengths of one modality; extremes from its frame statistics."""
    present = dict.fromkeys(corpus.spec.splits, 0)
    lengths = []
    for utterance, split in zip(corpus.utterances, corpus.splits, strict=True):
        if utterance.has(modality.name):
            present[str(split)] += 1
            lengths.append(len(utterance.features[modality.name]))
    frames = tuple(float(q) for q in np.quantile(lengths, QUANTILES)) if lengths else None
    seconds = tuple(q / modality.rate for q in frames) if frames and modality.rate else None
    finite = np.isfinite(statistics.low)
    return ModalitySummary(
        name=modality.name,
        dim=modality.dim,
        rate=modality.rate,
        present=present,
        frames=frames,
        seconds=seconds,
        low=float(statistics.low[finite].min()) if finite.any() else None,
        high=float(statistics.high[finite].max()) if finite.any() else None,
        nan=statistics.nan,
        infinite=statistics.infinite,
    )
