"""Emotion states of a corpus: its intensities, or its annotators' votes as shares."""

import dataclasses
from typing import Literal

import numpy as np

from mer_jax.data.corpus import Corpus
from mer_jax.data.randomness import stream
from mer_jax.data.schema import UNSPLIT
from mer_jax.emotion_space.overlay import NO_EMOTIONS, Overlay
from mer_jax.errors import InputError

Kind = Literal["auto", "intensities", "votes"]
HELD_OUT = 0.2  # share of the dialogues of a corpus without a split


@dataclasses.dataclass(frozen=True)
class CorpusStates:
    """What a space is fitted to and judged by.

    kind: intensities or votes. emotions: [E] names in the corpus' order. top: the highest intensity; 1 for shares of votes.
    train, held_out: [n, E] float32 of the utterances of the train split, and of all others; in a corpus
    without a split a fifth of the dialogues, drawn with a fixed seed, is held out.
    rule: in words, what is held out.
    """

    kind: str
    emotions: tuple[str, ...]
    top: float
    train: np.ndarray
    held_out: np.ndarray
    rule: str


def corpus_states(corpus: Corpus, kind: Kind = "auto") -> CorpusStates:
    """States of a corpus' utterances; sentiment, valence and the like are no emotions and left out.

    kind: "auto": intensities where there are any, else votes. Raises InputError where there are none of
    that kind, fewer than two emotions, or negative intensities.
    """
    spec = corpus.spec
    kind = kind if kind != "auto" else ("intensities" if spec.intensities else "votes")
    names = spec.votes if kind == "votes" else spec.intensities
    kept = [i for i, name in enumerate(names) if name.lower() not in NO_EMOTIONS]
    if len(kept) < 2:
        has = ", ".join((*spec.intensities, *(f"votes of {name}" for name in spec.votes))) or "none"
        raise InputError(
            f"corpus {spec.name!r} has no {kind} of two or more emotions (it has: {has}); "
            "an emotion space needs a corpus with intensities or votes"
        )
    values, there = _values(corpus, kind, kept)
    low = values.min(initial=0)
    if low < 0:
        raise InputError(
            f"corpus {spec.name!r}: intensities reach {low:g}; 0 must mean that an emotion is absent"
        )
    train, rule = _train(corpus)
    return CorpusStates(
        kind,
        tuple(names[i] for i in kept),
        1.0 if kind == "votes" else float(values.max(initial=0)),
        values[train & there],
        values[~train & there],
        rule,
    )


def perceived(corpus: Corpus, states: CorpusStates) -> list[Overlay]:
    """What people perceived in each condition (voice, face, both) beside what the speaker was asked for.

    For states of votes, in corpora whose ids end in `/condition`; else nothing. Truth is the intended emotion,
    one-hot, the prediction the shares of votes; ids are those of the clips, so that conditions can be paired.
    """
    conditions = [u.id.rpartition("/")[2] if "/" in u.id else "" for u in corpus.utterances]
    names = [name for name in dict.fromkeys(conditions) if name]
    known = set(corpus.spec.classes) <= set(states.emotions)
    if states.kind != "votes" or not known or not names or len(names) > 12:
        return []
    values, there = _values(corpus, "votes", range(len(corpus.spec.votes)))
    intended = corpus.column("label")[:, None] == np.array(states.emotions)[None, :]
    made = []
    for name in names:
        rows = np.flatnonzero((np.array(conditions) == name) & there & intended.any(axis=1))
        chosen = [corpus.utterances[row] for row in rows]
        made.append(
            Overlay(
                name=name,
                ids=np.array([u.id.rpartition("/")[0] for u in chosen]),
                truth=intended[rows].astype(np.float32),
                predicted=values[rows],
                transcripts=np.array([u.transcript for u in chosen]),
                splits=corpus.splits[rows],
                groups=np.array([u.speaker for u in chosen]),
                times=np.full(len(rows), np.nan),
            )
        )
    return made


def _values(corpus: Corpus, kind: str, columns: object) -> tuple[np.ndarray, np.ndarray]:
    """[n, E] states, and which utterances have one."""
    found = [getattr(u, kind) for u in corpus.utterances]
    width = len(getattr(corpus.spec, kind))
    values = np.array([np.full(width, np.nan) if one is None else one for one in found], np.float32)
    values = values[:, list(columns)]  # type: ignore[call-overload]
    if kind == "votes":
        total = values.sum(axis=1, keepdims=True)
        values = np.divide(values, total, out=np.full_like(values, np.nan), where=total > 0)
    there = np.isfinite(values).all(axis=1)
    return np.where(there[:, None], values, 0), there


def _train(corpus: Corpus) -> tuple[np.ndarray, str]:
    if UNSPLIT not in corpus.spec.splits:
        return corpus.splits == "train", "the utterances outside the train split"
    dialogues = corpus.column("dialogue")
    names = np.unique(dialogues)
    count = max(1, round(HELD_OUT * len(names)))
    held = names[stream(0, "held out dialogues").permutation(len(names))[:count]]
    return ~np.isin(dialogues, held), f"{count} of {len(names)} dialogues, drawn with a fixed seed"
