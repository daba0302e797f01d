"""Split rules keep apart what they say they keep apart."""

import dataclasses

import numpy as np
import pytest

from mer_jax.data.splits import RULES, make_folds
from mer_jax.errors import InputError
from tests.data.corpora import corpus_of, utterance
from tests.tiny import tiny_corpus

ROWS = np.arange(96)


def folds(rule, **options):
    return make_folds(tiny_corpus(splits=rule == "official"), rule, rows=ROWS, **options)


@pytest.mark.parametrize("rule", RULES)
def test_parts_are_disjoint_and_not_empty(rule):
    for fold in folds(rule):
        parts = [set(fold.train), set(fold.dev), set(fold.test)]
        assert all(parts)
        assert sum(map(len, parts)) == len(set.union(*parts)) == len(ROWS)


@pytest.mark.parametrize(
    ("rule", "unit"),
    [
        ("speaker", "speaker"),
        ("dialogue", "dialogue"),
        ("leave_one_speaker_out", "speaker"),
        ("cross_validation", "dialogue"),
    ],
)
def test_groups_are_not_shared(rule, unit):
    groups = tiny_corpus().column(unit)
    for fold in folds(rule):
        train, dev, test = (set(groups[getattr(fold, part)]) for part in ("train", "dev", "test"))
        assert [train & dev, train & test, dev & test] == [set(), set(), set()]


def test_leave_one_speaker_out_tests_every_utterance_once():
    found = folds("leave_one_speaker_out")
    assert len(found) == 5
    assert sorted(np.concatenate([fold.test for fold in found])) == ROWS.tolist()


def test_cross_validation_tests_every_utterance_once_in_parts_of_like_size():
    found = folds("cross_validation", fractions=(0.5, 0.25, 0.25))
    assert len(found) == 4
    assert sorted(np.concatenate([fold.test for fold in found])) == ROWS.tolist()
    assert max(len(fold.test) for fold in found) - min(len(fold.test) for fold in found) <= 24
    assert [fold.dev.tolist() for fold in found] == [fold.test.tolist() for fold in [*found[1:], found[0]]]


@pytest.mark.parametrize("test", [0.0, 0.3, 0.5])
def test_cross_validation_says_how_many_folds_it_can_make(test):
    with pytest.raises(InputError, match=r"fractions\[2\] is .* for ten"):
        folds("cross_validation", fractions=(1 - test, 0.0, test))


def test_a_session_is_the_speakers_who_share_dialogues_however_indirectly():
    talks = {"a": "ann ben", "b": "ben cid", "c": "dora", "d": "eve fay", "e": "fay", "f": "dora", "g": "gus"}
    corpus = corpus_of([
        utterance(f"{talk}-{name}", speaker=name, dialogue=talk) for talk, said in talks.items() for name in said.split()
    ])  # fmt: skip
    found = make_folds(corpus, "leave_one_session_out", rows=np.arange(len(corpus)))
    speakers = corpus.column("speaker")
    assert {fold.name: set(speakers[fold.test]) for fold in found} == {
        "session-ann": {"ann", "ben", "cid"},
        "session-dora": {"dora"},
        "session-eve": {"eve", "fay"},
        "session-gus": {"gus"},
    }
    assert [set(speakers[fold.dev]) for fold in found] == [
        {"dora"},
        {"eve", "fay"},
        {"gus"},
        {"ann", "ben", "cid"},
    ]
    dialogues = corpus.column("dialogue")
    for fold in found:
        assert not set(dialogues[fold.test]) & set(dialogues[np.concatenate([fold.train, fold.dev])])


def test_sessions_join_through_utterances_the_protocol_leaves_out():
    talks = [("x", "ann"), ("x", "ben"), ("y", "ann"), ("z", "ben"), ("v", "cid"), ("w", "dora")]
    corpus = corpus_of([utterance(f"{t}-{s}", speaker=s, dialogue=t) for t, s in talks])
    found = make_folds(corpus, "leave_one_session_out", rows=np.arange(2, 6))
    assert [fold.test.tolist() for fold in found] == [[2, 3], [4], [5]]


def test_fewer_than_three_sessions_are_refused():
    corpus = corpus_of([utterance(f"u{k}", speaker=f"s{k}", dialogue=f"d{k % 2}") for k in range(6)])
    with pytest.raises(InputError, match="needs at least 3 sessions, the corpus has 2; choose"):
        make_folds(corpus, "leave_one_session_out", rows=np.arange(6))


def test_fractions_are_met():
    (fold,) = folds("dialogue", fractions=(0.5, 0.25, 0.25))
    assert (len(fold.train), len(fold.dev), len(fold.test)) == (48, 24, 24)


def test_the_seed_decides():
    def test_rows(seed):
        return folds("random", seed=seed)[0].test.tolist()

    assert test_rows(0) == test_rows(0) != test_rows(1)


def test_a_missing_dev_part_comes_out_of_train_by_dialogue():
    corpus = tiny_corpus()
    stored = np.where(corpus.splits == "dev", "train", corpus.splits)
    corpus = dataclasses.replace(corpus, splits=stored)
    (fold,) = make_folds(corpus, "official", rows=ROWS, fractions=(0.75, 0.25, 0.0))
    assert set(fold.test) == set(np.flatnonzero(stored == "test"))
    dialogues = corpus.column("dialogue")
    assert not set(dialogues[fold.train]) & set(dialogues[fold.dev])
    assert len(fold.dev) == 18


def test_a_corpus_without_split_says_what_to_choose():
    with pytest.raises(InputError, match="no official split; choose"):
        make_folds(tiny_corpus(splits=False), "official", rows=ROWS)


def test_an_empty_part_is_refused():
    with pytest.raises(InputError, match="leaves test of fold 'random' empty"):
        make_folds(tiny_corpus(splits=False), "random", rows=ROWS, fractions=(0.9, 0.1, 0.0))
