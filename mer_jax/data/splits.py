"""Who trains, who selects, who is tested: every split rule, as index arrays."""

import dataclasses
from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
import scipy.sparse.csgraph

from mer_jax.data.corpus import Corpus
from mer_jax.data.schema import UNSPLIT
from mer_jax.errors import InputError

SplitRule = Literal[
    "official",
    "speaker",
    "dialogue",
    "leave_one_speaker_out",
    "leave_one_session_out",
    "cross_validation",
    "random",
]
RULES: tuple[str, ...] = get_args(SplitRule)


@dataclasses.dataclass(frozen=True)
class Fold:
    """Utterance numbers of one train / dev / test division."""

    name: str
    train: np.ndarray
    dev: np.ndarray
    test: np.ndarray


def make_folds(
    corpus: Corpus,
    rule: SplitRule,
    *,
    rows: np.ndarray,
    fractions: tuple[float, float, float] = (0.7, 0.1, 0.2),
    seed: int = 0,
) -> tuple[Fold, ...]:
    """Divides the utterances `rows` (those the protocol admits) by `rule`.

    official: the stored split; where it has no dev part, `fractions[1]` of train's
        dialogues become dev.
    speaker, dialogue: whole speakers or dialogues, by `fractions` of train, dev, test.
    leave_one_speaker_out: one fold per speaker; the next speaker in order is dev.
    leave_one_session_out: one fold per session, the speakers who share dialogues however
        indirectly (IEMOCAP's five pairs of actors); the next session in order is dev. A
        session is named for its first speaker.
    cross_validation: whole dialogues in 1 / `fractions[2]` parts of about equally many utterances;
        one fold per part, the next part is dev.
    random: single utterances, as older papers did; speakers and dialogues are shared.
        fractions (.8, .15, .05) are the 8 : 1.5 : .5 of the lexico-acoustic models on IEMOCAP.

    Raises InputError where the corpus cannot be divided so.
    """
    if rule == "official":
        folds = [_official(corpus, rows, fractions[1], seed)]
    elif rule == "leave_one_speaker_out":
        folds = _leave_one_out(rows, corpus.column("speaker")[rows], "speaker")
    elif rule == "leave_one_session_out":
        folds = _leave_one_out(rows, _sessions(corpus)[rows], "session")
    elif rule == "cross_validation":
        folds = _cross_validation(rows, corpus.column("dialogue")[rows], fractions[2], seed)
    else:
        keys = {"speaker": "speaker", "dialogue": "dialogue", "random": "id"}
        groups = corpus.column(keys[rule])[rows]
        train, dev, test = _by_group(rows, groups, fractions, seed)
        folds = [Fold(rule, train, dev, test)]
    for fold in folds:
        _check(fold, corpus.spec.name, rule)
    return tuple(folds)


def _official(corpus: Corpus, rows: np.ndarray, dev_fraction: float, seed: int) -> Fold:
    stored = corpus.splits[rows]
    if (stored == UNSPLIT).any():
        raise InputError(
            f"corpus {corpus.spec.name!r} has no official split; choose --protocol.split speaker, "
            "dialogue, leave_one_speaker_out, leave_one_session_out or random"
        )
    train, dev, test = (rows[stored == name] for name in ("train", "dev", "test"))
    if len(dev) == 0:
        dialogues = corpus.column("dialogue")[train]
        train, dev, _ = _by_group(train, dialogues, (1 - dev_fraction, dev_fraction, 0.0), seed)
    return Fold("official", train, dev, test)


def _leave_one_out(rows: np.ndarray, groups: np.ndarray, kind: str) -> list[Fold]:
    names = sorted(set(groups.tolist()))
    if len(names) < 3:
        raise InputError(
            f"leave_one_{kind}_out needs at least 3 {kind}s, the corpus has {len(names)}; "
            "choose --protocol.split dialogue or random"
        )
    folds = []
    for number, name in enumerate(names):
        next_name = names[(number + 1) % len(names)]
        test, dev = groups == name, groups == next_name
        folds.append(Fold(f"{kind}-{name}", rows[~(test | dev)], rows[dev], rows[test]))
    return folds


def _cross_validation(rows: np.ndarray, groups: np.ndarray, test: float, seed: int) -> list[Fold]:
    count = round(1 / test) if test > 0 else 0
    if count < 3 or abs(count * test - 1) > 0.01:
        raise InputError(
            f"cross_validation makes 1 / fractions[2] folds, at least 3, and fractions[2] is {test:g}; set "
            "--protocol.fractions .8 .1 .1 for ten"
        )
    number = np.minimum(_filled(groups, seed) * count, count - 1).astype(int)
    folds = []
    for part in range(count):
        tested, dev = number == part, number == (part + 1) % count
        folds.append(Fold(f"part-{part + 1}", rows[~(tested | dev)], rows[dev], rows[tested]))
    return folds


def _sessions(corpus: Corpus) -> np.ndarray:
    """[n] the first speaker of every utterance's session: a connected part of the graph that
    joins each speaker to the dialogues they speak in."""
    speakers, speaker = np.unique(corpus.column("speaker"), return_inverse=True)
    dialogues, dialogue = np.unique(corpus.column("dialogue"), return_inverse=True)
    size = len(speakers) + len(dialogues)
    edges = (np.ones(len(corpus)), (speaker, len(speakers) + dialogue))
    graph = scipy.sparse.coo_array(edges, shape=(size, size))
    _, part = scipy.sparse.csgraph.connected_components(graph, directed=False)
    _, first, session = np.unique(part[: len(speakers)], return_index=True, return_inverse=True)
    return speakers[first[session]][speaker]


def _by_group(
    rows: np.ndarray, groups: np.ndarray, fractions: Sequence[float], seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Whole groups, shuffled, go to test, then dev, until each holds its share of rows."""
    shares = _filled(groups, seed)
    part = np.where(shares < fractions[2], 2, np.where(shares < fractions[2] + fractions[1], 1, 0))
    train, dev, test = (rows[part == k] for k in range(3))
    return train, dev, test


def _filled(groups: np.ndarray, seed: int) -> np.ndarray:
    """[n] of each row, the share of rows that lie before the middle of its group, groups shuffled."""
    names, inverse, counts = np.unique(groups, return_inverse=True, return_counts=True)
    order = np.random.default_rng(seed).permutation(len(names))
    filled = np.empty(len(names))
    filled[order] = np.cumsum(counts[order]) - counts[order] / 2
    return (filled / len(groups))[inverse]


def _check(fold: Fold, corpus: str, rule: str) -> None:
    for part in ("train", "dev", "test"):
        if len(getattr(fold, part)) == 0:
            raise InputError(
                f"split {rule!r} of corpus {corpus!r} leaves {part} of fold {fold.name!r} empty; "
                "change --protocol.fractions or --protocol.split"
            )
