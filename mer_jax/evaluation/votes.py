"""Annotators' votes as the protocol sees them: counts per target, and soft labels.

A corpus may hold votes of several conditions (CREMA-D: both, voice, face); they are named
`condition/class`. The first condition named is the main one.
"""

import dataclasses

import numpy as np

from mer_jax.data.corpus import Corpus
from mer_jax.data.schema import Utterance
from mer_jax.errors import InputError, nearest
from mer_jax.evaluation.protocol import Protocol

UNNAMED = "votes"


def vote_conditions(corpus: Corpus) -> tuple[str, ...]:
    """The conditions annotators judged under, the main one first; `votes` where they have no name."""
    return tuple(dict.fromkeys(name.rpartition("/")[0] or UNNAMED for name in corpus.spec.votes))


def target_votes(corpus: Corpus, protocol: Protocol, condition: str = "") -> np.ndarray:
    """[n, K] votes for each target of the protocol; a row of zeros where an utterance has none.

    The protocol's label map holds for votes too: those of merged classes add up, those of
    dropped classes go. condition: "" is the main one. Raises InputError where the corpus has
    no such votes, or they are for something that is no class.
    """
    named = _columns(corpus, condition)
    place = _target_of_class(protocol, corpus)
    out = np.zeros((len(corpus), len(protocol.targets)))
    for column, name in named.items():
        if place[name] >= 0:
            votes = [0.0 if u.votes is None else float(u.votes[column]) for u in corpus.utterances]
            out[:, place[name]] += votes
    return out


def soft_labels(corpus: Corpus, protocol: Protocol, condition: str = "") -> np.ndarray:
    """[n, K] float32 distributions to train on: p_k = votes_k / sum_j votes_j.

    An utterance without votes gets the one-hot of its label (`unvoted` finds them), one
    without a target either gets zeros. Peterson et al., ICCV 2019.
    """
    votes, labels = target_votes(corpus, protocol, condition), protocol.labels(corpus)
    hard = np.eye(len(protocol.targets))[labels] * (labels >= 0)[:, None]
    total = votes.sum(axis=1, keepdims=True)
    return np.where(total > 0, votes / np.maximum(total, 1), hard).astype(np.float32)


def unvoted(corpus: Corpus, protocol: Protocol, condition: str = "") -> np.ndarray:
    """[n] bool, true where an utterance has no vote for any target."""
    return target_votes(corpus, protocol, condition).sum(axis=1) == 0


def _columns(corpus: Corpus, condition: str) -> dict[int, str]:
    """Place among the corpus' votes -> class, for one condition."""
    spec, known = corpus.spec, vote_conditions(corpus)
    if not known:
        raise InputError(f"corpus {spec.name!r} has no annotators' votes; train on its labels")
    wanted = condition or known[0]
    if wanted not in known:
        raise InputError(
            f"corpus {spec.name!r} has no votes of condition {condition!r}; {nearest(wanted, known)}"
        )
    split = [name.rpartition("/") for name in spec.votes]
    found = {place: name for place, (of, _, name) in enumerate(split) if (of or UNNAMED) == wanted}
    for name in found.values():
        if name not in spec.classes:
            raise InputError(
                f"corpus {spec.name!r} has votes for {name!r}, which is none of its classes "
                f"{list(spec.classes)}; name votes as the classes they are for"
            )
    return found


def _target_of_class(protocol: Protocol, corpus: Corpus) -> dict[str, int]:
    """Class -> place among the targets, -1 for a dropped class."""
    if protocol.config.task != "classification":
        raise InputError("votes are for classes; the protocol's task is regression")
    classes = corpus.spec.classes
    one_each = tuple(Utterance(name, speaker="", dialogue="", label=name) for name in classes)
    places = protocol.labels(dataclasses.replace(corpus, utterances=one_each))
    return dict(zip(classes, places.tolist(), strict=True))
