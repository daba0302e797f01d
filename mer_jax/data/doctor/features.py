"""What can be wrong with feature streams."""

import collections
import hashlib
from collections.abc import Iterator, Mapping

import numpy as np

from mer_jax.data.corpus import Corpus
from mer_jax.data.doctor.finding import Finding, examples, in_splits, plural, share
from mer_jax.data.doctor.frames import FrameStatistics, constant_features, equal_features
from mer_jax.data.schema import Modality

OUTLIER_SDS = 50.0
NORMAL_SD_PER_QUARTILE_RANGE = 0.7413
SCALE_RATIO = 100.0
UNSCALED = 10.0


def feature_findings(corpus: Corpus, statistics: Mapping[str, FrameStatistics]) -> Iterator[Finding]:
    """Findings on every modality; `statistics` are over the whole corpus."""
    for modality in corpus.spec.modalities:
        over_all = statistics[modality.name]
        if not over_all.frames:
            yield Finding("warning", "missing modality", f"{modality.name} is in no utterance.")
            continue
        yield from _non_finite(corpus, modality, over_all)
        yield from _constant(corpus, modality, over_all)
        yield from _equal(corpus, modality, over_all)
        yield from _outliers(modality, over_all)
        yield from _scale(modality, over_all)
        yield from _zero_frames(modality, over_all)
        yield from _missing(corpus, modality)
        yield from _duplicates(corpus, modality)


def _column(modality: Modality, index: int) -> str:
    return modality.columns[index] if modality.columns else str(index)


def _columns(modality: Modality, which: np.ndarray) -> str:
    return examples(_column(modality, int(i)) for i in which.nonzero()[0])


def _non_finite(corpus: Corpus, modality: Modality, over_all: FrameStatistics) -> Iterator[Finding]:
    if not over_all.nan + over_all.infinite:
        return
    bad = [
        utterance.id
        for utterance in corpus.utterances
        if utterance.has(modality.name) and not np.isfinite(utterance.features[modality.name]).all()
    ]
    yield Finding(
        "error",
        "non-finite features",
        f"{modality.name} holds {over_all.nan} NaN and {over_all.infinite} infinite values in "
        f"{plural(len(bad), 'utterance')}, the first {bad[0]!r}; correct them, or store 0 with --nan zero.",
    )


def _constant(corpus: Corpus, modality: Modality, over_all: FrameStatistics) -> Iterator[Finding]:
    if over_all.constant.any():
        yield Finding(
            "warning",
            "constant features",
            f"{modality.name}: {over_all.constant.sum()} of {modality.dim} features never vary "
            f"({_columns(modality, over_all.constant)}); dividing by their standard deviation gives NaN.",
        )
    if len(corpus.spec.splits) < 2 or corpus.spec.splits[0] != "train":
        return
    train = [u for u, s in zip(corpus.utterances, corpus.splits, strict=True) if s == "train"]
    only_train = constant_features(train, modality.name, modality.dim) & ~over_all.constant
    if only_train.any():
        yield Finding(
            "warning",
            "constant features",
            f"{modality.name}: constant in train but not elsewhere: "
            f"{plural(int(only_train.sum()), 'feature')} ({_columns(modality, only_train)}).",
        )


def _equal(corpus: Corpus, modality: Modality, over_all: FrameStatistics) -> Iterator[Finding]:
    groups = equal_features(corpus.utterances, modality.name, over_all)
    if groups:
        shown = examples("=".join(_column(modality, i) for i in group) for group in groups)
        message = f"{modality.name}: features equal in every frame: {shown}."
        yield Finding("warning", "equal features", message)


def _outliers(modality: Modality, over_all: FrameStatistics) -> Iterator[Finding]:
    robust_sd = NORMAL_SD_PER_QUARTILE_RANGE * over_all.quartile_range
    distance = np.maximum(over_all.high - over_all.median, over_all.median - over_all.low)
    far = (robust_sd > 0) & (distance > OUTLIER_SDS * robust_sd)
    if far.any():
        worst = int(np.argmax(np.where(far, distance / np.where(robust_sd > 0, robust_sd, 1), 0)))
        low, high = over_all.low[worst], over_all.high[worst]
        yield Finding(
            "warning",
            "outliers",
            f"{modality.name}: {far.sum()} of {modality.dim} features reach beyond {OUTLIER_SDS:.0f} robust "
            f"standard deviations; the worst, feature {_column(modality, worst)}, spans {low:.4g} to {high:.4g} "
            f"where its middle half spans {over_all.quartile_range[worst]:.3g}.",
        )
    stuck = (over_all.quartile_range == 0) & ~over_all.constant
    if stuck.any():
        yield Finding(
            "note",
            "sparse features",
            f"{modality.name}: {stuck.sum()} of {modality.dim} features hold one value in at least half of "
            f"the frames ({_columns(modality, stuck)}).",
        )


def _scale(modality: Modality, over_all: FrameStatistics) -> Iterator[Finding]:
    sds = over_all.sd[~over_all.constant]
    if not len(sds) or (sds.max() <= SCALE_RATIO * sds.min() and sds.max() <= UNSCALED):
        return
    low = over_all.low[np.isfinite(over_all.low)].min()
    high = over_all.high[np.isfinite(over_all.high)].max()
    yield Finding(
        "warning",
        "unscaled features",
        f"{modality.name} is unscaled: values span {low:.4g} to {high:.4g}, and the standard deviations of "
        f"its features {sds.min():.2g} to {sds.max():.2g}; standardise, fitted on train.",
    )


def _zero_frames(modality: Modality, over_all: FrameStatistics) -> Iterator[Finding]:
    if over_all.zero_frames and modality.dim > 1:
        counted = share(over_all.zero_frames, over_all.frames)
        message = f"{modality.name}: {counted} frames are zero throughout: padding, or nothing detected."
        yield Finding("note", "zero frames", message)


def _missing(corpus: Corpus, modality: Modality) -> Iterator[Finding]:
    has = np.array([u.has(modality.name) for u in corpus.utterances])
    for split in corpus.spec.splits:
        here = has[corpus.splits == split]
        if not len(here) or here.all():
            continue
        if not here.any():
            message = f"{modality.name} is missing in all of {split} ({plural(len(here), 'utterance')})."
            yield Finding("warning", "missing modality", message)
        else:
            counted = share(int((~here).sum()), len(here))
            yield Finding("note", "missing modality", f"{modality.name} is missing in {counted} of {split}.")


def _duplicates(corpus: Corpus, modality: Modality) -> Iterator[Finding]:
    groups: dict[bytes, list[int]] = collections.defaultdict(list)
    for index, utterance in enumerate(corpus.utterances):
        if utterance.has(modality.name) and utterance.features[modality.name].any():
            sequence = np.ascontiguousarray(utterance.features[modality.name])
            groups[hashlib.blake2b(sequence.tobytes(), digest_size=16).digest()].append(index)
    repeated = [group for group in groups.values() if len(group) > 1]
    if not repeated:
        return
    across = [group for group in repeated if len(set(corpus.splits[group])) > 1]
    found = across or repeated
    splits = in_splits([s for s in corpus.spec.splits if s in set(corpus.splits[found[0]])])
    yield Finding(
        "warning" if across else "note",
        "duplicate features",
        f"{modality.name}: {plural(len(found), 'feature sequence')} found more than once"
        f"{' and in several splits' if across else ''}, as "
        f"{examples(corpus.utterances[i].id for i in found[0])} ({splits}).",
    )
