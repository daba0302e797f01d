"""What can be wrong with ids, labels, times, votes, intensities and speakers."""

import collections
from collections.abc import Iterator

import numpy as np

from mer_jax.data.corpus import Corpus
from mer_jax.data.doctor.finding import Finding, examples, plural, share

LONGEST_SECONDS = 60.0
RARE = 0.05


def record_findings(corpus: Corpus) -> Iterator[Finding]:
    """Findings on everything but features and texts."""
    yield from _ids(corpus)
    yield from _labels(corpus)
    yield from _class_counts(corpus)
    yield from _times(corpus)
    yield from _votes(corpus)
    yield from _intensities(corpus)
    for attribute in ("dialogue", "speaker"):
        yield from _shared(corpus, attribute)


def _ids(corpus: Corpus) -> Iterator[Finding]:
    counts = collections.Counter(u.id for u in corpus.utterances)
    if repeated := [repr(name) for name, count in counts.items() if count > 1]:
        message = f"Not unique: {plural(len(repeated), 'id')}, {examples(repeated)}; rename them."
        yield Finding("error", "duplicate ids", message)
    if counts[""]:
        yield Finding("error", "empty ids", f"{plural(counts[''], 'utterance')} without an id; name them.")


def _labels(corpus: Corpus) -> Iterator[Finding]:
    known = {"", *corpus.spec.classes}
    unknown = collections.Counter(u.label for u in corpus.utterances if u.label not in known)
    if unknown:
        first = next(u for u in corpus.utterances if u.label in unknown)
        yield Finding(
            "error",
            "unknown labels",
            f"{plural(unknown.total(), 'utterance')} with labels outside the classes "
            f"({examples(map(repr, unknown))}), the first {first.id!r}; correct them, or add the classes.",
        )
    without = sum(not u.label for u in corpus.utterances)
    if corpus.spec.classes and without:
        message = f"{share(without, len(corpus))} utterances have no label."
        yield Finding("note", "missing labels", message)


def _class_counts(corpus: Corpus) -> Iterator[Finding]:
    labels, classes = corpus.column("label"), corpus.spec.classes
    for split in corpus.spec.splits:
        here = collections.Counter(labels[(corpus.splits == split) & (labels != "")].tolist())
        if not here:
            continue
        if absent := [name for name in classes if not here[name]]:
            yield Finding("warning", "absent classes", f"{split} has no {examples(absent)}.")
        if rare := [f"{name} {here[name]}" for name in classes if 0 < here[name] < RARE * here.total()]:
            message = f"{len(rare)} of {len(classes)} classes hold less than {100 * RARE:.0f} % of {split}: "
            yield Finding("note", "rare classes", f"{message}{examples(rare)}.")


def _times(corpus: Corpus) -> Iterator[Finding]:
    start, end = corpus.column("start"), corpus.column("end")
    known = ~(np.isnan(start) | np.isnan(end))
    if not known.all():
        who = f"{share(int((~known).sum()), len(known))} utterances" if known.any() else "All utterances"
        yield Finding("note", "unknown times", f"{who} lack a start or end time.")
    seconds = np.where(known, end - start, 1.0)
    yield from _odd_durations(corpus, seconds, seconds <= 0, "No duration, or an end before the start")
    long = f"Longer than {LONGEST_SECONDS:.0f} s"
    yield from _odd_durations(corpus, seconds, seconds > LONGEST_SECONDS, long)
    if (start < 0).any():
        first = int(np.nanargmin(start))
        message = f"A start before 0 s: {plural(int((start < 0).sum()), 'utterance')}, "
        message += f"the earliest {corpus.utterances[first].id} at {start[first]:.2f} s."
        yield Finding("warning", "bad times", message)


def _odd_durations(corpus: Corpus, seconds: np.ndarray, odd: np.ndarray, what: str) -> Iterator[Finding]:
    if odd.any():
        order = odd.nonzero()[0][np.argsort(-np.abs(seconds[odd]), kind="stable")]
        shown = examples(f"{corpus.utterances[i].id} {seconds[i]:.1f} s" for i in order)
        message = f"{what}: {plural(int(odd.sum()), 'utterance')}, {shown}."
        yield Finding("warning", "bad times", message)


def _votes(corpus: Corpus) -> Iterator[Finding]:
    yield from _wrong_lengths(corpus, "votes")
    counted = [(u.id, u.votes) for u in corpus.utterances if u.votes is not None]
    if bad := [name for name, votes in counted if not np.isfinite(votes).all() or (votes < 0).any()]:
        message = f"Negative or non-finite votes: {plural(len(bad), 'utterance')}, {examples(bad)}; "
        yield Finding("error", "bad votes", f"{message}correct them.")
    if empty := [name for name, votes in counted if not votes.any()]:
        message = f"{plural(len(empty), 'utterance')} without a single vote: {examples(empty)}."
        yield Finding("warning", "empty votes", message)


def _intensities(corpus: Corpus) -> Iterator[Finding]:
    yield from _wrong_lengths(corpus, "intensities")
    rows = [u.intensities for u in corpus.utterances if u.intensities is not None]
    if not rows or len({len(row) for row in rows}) > 1:
        return
    table = np.stack(rows)
    if infinite := int(np.isinf(table).any(axis=1).sum()):
        message = f"Infinite intensities: {plural(infinite, 'utterance')}; correct them."
        yield Finding("error", "bad intensities", message)
    if unknown := int(np.isnan(table).any(axis=1).sum()):
        message = f"{share(unknown, len(table))} utterances lack one of their intensities."
        yield Finding("note", "unknown intensities", message)
    values, repeats = np.unique(table, axis=0, return_counts=True)
    if table.shape[1] > 1 and len(values) < len(table):
        yield Finding(
            "note",
            "duplicate intensities",
            f"{len(table)} vectors of {table.shape[1]} intensities take {len(values)} distinct values, the "
            f"commonest {plural(int(repeats.max()), 'time')}: expect distances of 0.",
        )


def _wrong_lengths(corpus: Corpus, attribute: str) -> Iterator[Finding]:
    names = getattr(corpus.spec, attribute)
    values = [(u.id, getattr(u, attribute)) for u in corpus.utterances]
    if wrong := [name for name, value in values if value is not None and len(value) != len(names)]:
        message = f"{plural(len(wrong), 'utterance')} without exactly {len(names)} {attribute}: "
        yield Finding("error", f"bad {attribute}", f"{message}{examples(wrong)}; correct them.")


def _shared(corpus: Corpus, attribute: str) -> Iterator[Finding]:
    if "train" not in corpus.spec.splits:
        return
    values = corpus.column(attribute)
    in_train = values[corpus.splits == "train"]
    for split in corpus.spec.splits:
        here = values[corpus.splits == split]
        seen = np.isin(here, in_train)
        if split != "train" and seen.any():
            common = collections.Counter(here[seen].tolist()).most_common()
            shown = examples(repr(name) for name, _ in common)
            message = (
                f"{share(int(seen.sum()), len(here))} utterances of {split} are of {attribute}s also in "
            )
            yield Finding("warning", f"shared {attribute}s", f"{message}train: {shown}.")
