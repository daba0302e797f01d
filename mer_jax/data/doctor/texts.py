"""What can be wrong with transcripts: absence, and repeats within and across splits."""

import collections
import re
from collections.abc import Callable, Iterator

from mer_jax.data.corpus import Corpus
from mer_jax.data.doctor.finding import Finding, examples, plural, share

LONG_TEXT_WORDS = 5
SHOWN_CHARACTERS = 40


def text_findings(corpus: Corpus) -> Iterator[Finding]:
    """Findings on transcripts; a single note where the corpus has none."""
    texts: dict[str, list[str]] = {split: [] for split in corpus.spec.splits}
    for utterance, split in zip(corpus.utterances, corpus.splits, strict=True):
        texts[str(split)].append(utterance.transcript.strip())
    if not any(any(here) for here in texts.values()):
        yield Finding("note", "missing transcripts", "There are no transcripts.")
        return
    train = [text for text in texts.get("train", ()) if text]
    for split, here in texts.items():
        if without := here.count(""):
            severity = "note" if without < len(here) else "warning"
            message = f"{share(without, len(here))} utterances of {split} have no transcript."
            yield Finding(severity, "missing transcripts", message)
        written = [text for text in here if text]
        if split != "train":
            yield from _shared(split, written, train)
        yield from _repeated(split, written)


def same_words(text: str) -> str:
    """`text` without case, punctuation and spacing: equal for near-duplicates."""
    return " ".join(re.findall(r"\w+", text.casefold()))


def _shared(split: str, here: list[str], train: list[str]) -> Iterator[Finding]:
    verbatim, near = _seen(here, train, str), _seen(here, train, same_words)
    if not near:
        return
    long = [text for text in verbatim if len(text.split()) >= LONG_TEXT_WORDS]
    shown = examples(repr(_short(text)) for text in dict.fromkeys(long))
    yield Finding(
        "warning",
        "shared transcripts",
        f"{share(len(verbatim), len(here))} texts of {split} are verbatim in train, "
        f"{share(len(near), len(here))} but for case and punctuation; {len(long)} verbatim ones have "
        f"{LONG_TEXT_WORDS} words or more{': ' if long else ''}{shown}.",
    )


def _seen(here: list[str], train: list[str], key: Callable[[str], str]) -> list[str]:
    known = {key(text) for text in train} - {""}
    return [text for text in here if key(text) in known]


def _repeated(split: str, here: list[str]) -> Iterator[Finding]:
    counts = collections.Counter(same_words(text) for text in here)
    repeated = [(text, count) for text, count in counts.most_common() if count > 1]
    if repeated:
        shown = examples(f"{_short(text)!r} {count} times" for text, count in repeated)
        total = sum(count for _, count in repeated)
        message = f"{share(total, len(here))} texts of {split} occur more than once; "
        message += f"{plural(len(counts), 'distinct text')} in all: {shown}."
        yield Finding("note", "repeated transcripts", message)


def _short(text: str) -> str:
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS].rstrip()} ..."
