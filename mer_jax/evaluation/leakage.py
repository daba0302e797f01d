"""The leakage audit: what of dev and test a model could know from its training data.

Runs before training and reads inputs, groups and train targets only. One finding per
check; with several folds its numbers are the mean and the largest over the folds.
"""

import dataclasses
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from mer_jax.data.corpus import Corpus
from mer_jax.data.splits import Fold
from mer_jax.evaluation.duplicates import is_long, nearly_repeated, normalised, repeated, sequence_digest
from mer_jax.evaluation.findings import Finding, by_severity, stop_on_error
from mer_jax.evaluation.learned_features import learned_features
from mer_jax.evaluation.protocol import Protocol

DUPLICATE_WARNING = 0.01
EMOTION_WORDS = frozenset(
    {
        "amusement",
        "anger",
        "angry",
        "anxiety",
        "awe",
        "boredom",
        "bored",
        "calm",
        "confusion",
        "confused",
        "contempt",
        "disgust",
        "disgusted",
        "embarrassment",
        "excited",
        "excitement",
        "fear",
        "fearful",
        "frustration",
        "frustrated",
        "happiness",
        "happy",
        "joy",
        "neutral",
        "pride",
        "relief",
        "sad",
        "sadness",
        "shame",
        "surprise",
        "surprised",
        "valence",
        "arousal",
        "dominance",
        "sentiment",
    }
)


@dataclasses.dataclass(frozen=True)
class Fitted:
    """A statistic fitted on data: a scaler, length quantiles, a vocabulary, a CCA ...

    rows: utterance numbers it was fitted on. fold: the fold it is used in.
    """

    name: str
    rows: np.ndarray
    fold: int = 0


def audit(
    corpus: Corpus,
    folds: Sequence[Fold],
    protocol: Protocol,
    fitted: Iterable[Fitted] = (),
    modalities: Sequence[str] | None = None,
    *,
    strict: bool = True,
) -> tuple[Finding, ...]:
    """Every check, the gravest finding first.

    fitted: the statistics the training uses. modalities: those the model is given (None:
    all). strict: raise InputError where a finding is an error (a statistic fitted outside
    train, rows in two parts of one fold) instead of returning it.
    """
    names = corpus.spec.modality_names if modalities is None else tuple(modalities)
    findings = [
        _overlapping_rows(folds),
        check_fitted(folds, fitted),
        _shared_groups(corpus, folds, "speaker"),
        _shared_groups(corpus, folds, "dialogue"),
        _repeated_text(corpus, folds),
        *(_repeated_features(corpus, folds, name) for name in names),
        _emotion_scores(corpus, names),
        *learned_features(corpus, folds[0], protocol, names),
    ]
    if strict:
        stop_on_error(findings)
    return by_severity(findings)


def check_fitted(folds: Sequence[Fold], fitted: Iterable[Fitted]) -> Finding:
    """An error where a statistic was fitted on a row outside its fold's train."""
    fitted = tuple(fitted)
    outside = {}
    for item in fitted:
        extra = int((~np.isin(item.rows, folds[item.fold].train)).sum())
        if extra:
            outside[f"{item.name} (fold {folds[item.fold].name})"] = extra
    if outside:
        counts = ", ".join(f"{name}: {count} rows" for name, count in outside.items())
        message = f"fitted on rows outside train ({counts}); fit on the fold's train rows only"
        return Finding("fitted_statistics", "error", message, outside)
    names = ", ".join(dict.fromkeys(item.name for item in fitted))
    message = f"fitted on train rows only: {names}" if fitted else "none were handed to this audit"
    return Finding("fitted_statistics", "ok" if fitted else "note", message, {"checked": len(fitted)})


def _overlapping_rows(folds: Sequence[Fold]) -> Finding:
    shared = sum(
        len(np.intersect1d(a, b))
        for fold in folds
        for a, b in ((fold.train, fold.dev), (fold.train, fold.test), (fold.dev, fold.test))
    )
    if shared:
        message = f"{shared} rows are in two parts of one fold; divide the corpus anew"
        return Finding("overlapping_rows", "error", message, {"rows": shared})
    return Finding("overlapping_rows", "ok", "train, dev and test share no utterance", {"rows": 0})


def _shares(folds: Sequence[Fold], hits: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> dict[str, float]:
    """Mean and largest share of dev and test rows for which `hits(train, rows)` holds."""
    out = {}
    for part in ("dev", "test"):
        values = [float(hits(fold.train, getattr(fold, part)).mean()) for fold in folds]
        out |= {f"{part}_share": float(np.mean(values)), f"{part}_share_max": max(values)}
    return out


def _of_both(numbers: dict[str, float]) -> str:
    return f"{numbers['test_share']:.1%} of test and {numbers['dev_share']:.1%} of dev"


def _shared_groups(corpus: Corpus, folds: Sequence[Fold], unit: str) -> Finding:
    groups = corpus.column(unit)
    check = f"shared_{unit}s"
    if not groups.astype(bool).any():
        return Finding(check, "note", f"the corpus names no {unit}s, so this can't be checked")
    numbers = _shares(folds, lambda train, rows: repeated(groups[train], groups[rows]))
    if numbers["test_share_max"] == numbers["dev_share_max"] == 0:
        return Finding(check, "ok", f"no {unit} of dev or test occurs in train", numbers)
    message = (
        f"{_of_both(numbers)} utterances belong to {unit}s that also occur in train: scores say little "
        f"about new {unit}s"
    )
    return Finding(check, "warning", message, numbers)


def _repeated_text(corpus: Corpus, folds: Sequence[Fold]) -> Finding:
    texts = np.array([normalised(u.transcript) for u in corpus.utterances], dtype=object)
    if not any(texts):
        return Finding("repeated_text", "note", "the corpus has no transcripts, so this can't be checked")
    long = np.array([is_long(text) for text in texts], bool)
    verbatim = _shares(folds, lambda train, rows: repeated(texts[train], texts[rows]))
    same = _shares(folds, lambda train, rows: repeated(texts[train], texts[rows]) & long[rows])
    near = _shares(folds, lambda train, rows: nearly_repeated(texts[train], texts[rows]))
    numbers = {f"verbatim_{k}": v for k, v in verbatim.items()}
    numbers |= {f"verbatim_long_{k}": v for k, v in same.items()}
    numbers |= {f"near_long_{k}": v for k, v in near.items()}
    message = (
        f"{verbatim['test_share']:.1%} of test transcripts are verbatim in train (letter case and "
        f"punctuation aside); {same['test_share']:.1%} are so with five words or more, and "
        f"{near['test_share']:.1%} of that length are there verbatim or nearly so"
    )
    worst = max(near["test_share_max"], verbatim["test_share_max"])
    severity = "warning" if worst > DUPLICATE_WARNING else "note" if worst > 0 else "ok"
    return Finding("repeated_text", severity, message, numbers)


def _repeated_features(corpus: Corpus, folds: Sequence[Fold], modality: str) -> Finding:
    digests = np.array([sequence_digest(u.features.get(modality)) for u in corpus.utterances], dtype=object)
    numbers = _shares(folds, lambda train, rows: repeated(digests[train], digests[rows]))
    check = f"repeated_features/{modality}"
    if numbers["test_share_max"] == numbers["dev_share_max"] == 0:
        return Finding(check, "ok", f"no {modality} sequence of dev or test occurs in train", numbers)
    message = f"{_of_both(numbers)} {modality} sequences are byte for byte in train; drop the copies"
    worst = max(numbers["test_share_max"], numbers["dev_share_max"])
    return Finding(check, "warning" if worst > DUPLICATE_WARNING else "note", message, numbers)


def _emotion_scores(corpus: Corpus, modalities: Sequence[str]) -> Finding:
    columns = {name: corpus.spec.modality(name).columns for name in modalities}
    found = {name: [c for c in named if _words(c) & EMOTION_WORDS] for name, named in columns.items()}
    unnamed = [name for name, named in columns.items() if not named]
    numbers: dict[str, Any] = {"columns": {name: hits for name, hits in found.items() if hits}}
    rest = f"; the features of {', '.join(unnamed)} have no names to check" if unnamed else ""
    if not numbers["columns"]:
        message = "no named feature is called after an emotion" + rest
        return Finding("emotion_scores", "note" if unnamed else "ok", message, numbers)
    hits = "; ".join(f"{name}: {', '.join(h)}" for name, h in numbers["columns"].items())
    message = f"inputs look like another system's emotion scores ({hits}); drop them or say so{rest}"
    return Finding("emotion_scores", "warning", message, numbers)


def _words(name: str) -> set[str]:
    return {word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)}
