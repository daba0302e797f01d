"""The human ceiling against counts done by hand, scikit-learn and CREMA-D's own tables."""

import dataclasses

import numpy as np
import pytest
import sklearn.metrics as skm

from mer_jax.data.builders.crema_d_media import CONDITIONS, votes_by_clip
from mer_jax.data.builders.crema_d_votes import CLASSES, VOTES, clip_parts
from mer_jax.data.builders.raw_files import read_table
from mer_jax.errors import InputError
from mer_jax.evaluation.ceiling import ceilings, human_ceiling
from mer_jax.evaluation.protocol import Protocol, ProtocolConfig
from tests.data.corpora import corpus_of, read_corpus, utterance

NAMES = ("anger", "joy", "neutral")


def voted(rows, votes=NAMES, classes=NAMES):
    """A corpus of (label, votes), all in test but one train and one dev utterance."""
    made = [
        utterance(f"u{i}", label=label, votes=None if v is None else np.array(v, np.float32))
        for i, (label, v) in enumerate([("anger", None), ("joy", None), *rows])
    ]
    splits = ["train", "dev"] + ["test"] * len(rows)
    return corpus_of(made, splits, modalities=(), classes=classes, votes=votes)


def bound(corpus, **config):
    return Protocol.bind(ProtocolConfig(**config), corpus)


ROWS = [
    ("anger", (3, 1, 0)),
    ("anger", (0, 2, 2)),
    ("joy", (2, 2, 0)),  # a tie: the first target, anger
    ("joy", (0, 9, 1)),
    ("neutral", (0, 1, 4)),
    ("neutral", None),
]


def test_agreement_counted_by_hand():
    corpus = voted(ROWS)
    (found,) = human_ceiling(corpus, bound(corpus)).values()
    assert (found["n"], found["annotators"]) == (5, pytest.approx((4 + 4 + 4 + 10 + 5) / 5))
    assert found["majority_vote"]["accuracy"] == pytest.approx(3 / 5)
    assert found["majority_vote"]["balanced_accuracy"] == pytest.approx((1 / 2 + 1 / 2 + 1) / 3)
    truth, majority = [0, 0, 1, 1, 2], [0, 1, 0, 1, 2]
    expected = skm.f1_score(truth, majority, average="macro")
    assert found["majority_vote"]["macro_f1"] == pytest.approx(expected)
    single = [3 / 4, 0, 2 / 4, 9 / 10, 4 / 5]
    assert found["one_annotator"]["accuracy"] == pytest.approx(np.mean(single))
    by_class = [np.mean(single[:2]), np.mean(single[2:4]), single[4]]
    assert found["one_annotator"]["balanced_accuracy"] == pytest.approx(np.mean(by_class))


def test_one_annotator_is_the_mean_of_annotators_drawn_at_random():
    corpus = voted(ROWS)
    (found,) = human_ceiling(corpus, bound(corpus)).values()
    rng = np.random.default_rng(0)
    rows = [(NAMES.index(label), np.array(v) / sum(v)) for label, v in ROWS if v is not None]
    drawn = [[rng.choice(3, p=p) == y for y, p in rows] for _ in range(4000)]
    assert np.mean(drawn) == pytest.approx(found["one_annotator"]["accuracy"], abs=4 * 0.5 / np.sqrt(20000))


def test_every_condition_has_a_ceiling_of_its_own():
    names = tuple(f"{c}/{name}" for c in ("both", "voice") for name in NAMES)
    corpus = voted([("anger", (5, 0, 0, 1, 4, 0)), ("joy", (0, 5, 0, 1, 4, 0))], votes=names)
    found = human_ceiling(corpus, bound(corpus))
    assert list(found) == ["both", "voice"]
    assert [found[c]["majority_vote"]["accuracy"] for c in found] == [1.0, 0.5]
    assert ceilings(found, "accuracy") == {
        "majority vote, both": 1.0,
        "one annotator, both": 1.0,
        "majority vote, voice": 0.5,
        "one annotator, voice": 0.5,
    }
    assert list(ceilings(found, "macro_f1")) == ["majority vote, both", "majority vote, voice"]


def test_only_test_utterances_count_unless_rows_are_named():
    corpus = voted(ROWS)
    wrong = dataclasses.replace(corpus.utterances[0], votes=np.array([0, 5, 0], np.float32))
    changed = dataclasses.replace(corpus, utterances=(wrong, *corpus.utterances[1:]))
    assert human_ceiling(changed, bound(changed)) == human_ceiling(corpus, bound(corpus))
    named = human_ceiling(changed, bound(changed), rows=np.array([0]))
    assert named["votes"]["majority_vote"]["accuracy"] == 0


def test_merged_classes_add_their_votes_and_dropped_ones_go():
    rows = [("anger", (3, 4, 2)), ("joy", (4, 3, 2)), ("neutral", (0, 0, 9))]
    corpus = voted(rows)
    merged = human_ceiling(corpus, bound(corpus, label_map=("joy=aroused", "anger=aroused")))
    assert merged["votes"]["majority_vote"]["accuracy"] == 1.0
    assert merged["votes"]["one_annotator"]["accuracy"] == pytest.approx((7 / 9 + 7 / 9 + 1) / 3)
    dropped = human_ceiling(corpus, bound(corpus, label_map=("neutral=",)))
    assert dropped["votes"]["n"] == 2
    assert dropped["votes"]["one_annotator"]["accuracy"] == pytest.approx(3 / 7)


@pytest.mark.parametrize(
    ("corpus", "message"),
    [
        (voted([("joy", None)], votes=()), "has no annotators' votes"),
        (voted([("joy", None)]), "no test utterance has votes of condition 'votes'"),
        (voted([("joy", (1, 0))], votes=("joy", "other")), "votes for 'other', which is none of its classes"),
    ],
)
def test_without_usable_votes_it_says_why(corpus, message):
    with pytest.raises(InputError, match=message):
        human_ceiling(corpus, bound(corpus))


EXPECTED = {"voice": 0.455, "face": 0.690, "both": 0.748}


@pytest.fixture(scope="module")
def crema_d(data_dir):
    """All clips of CREMA-D with the votes of the three conditions, without media."""
    votes = votes_by_clip(data_dir / "crema_d" / "tabulatedVotes.csv")
    made = [
        utterance(clip, speaker=clip_parts(clip)[0], label=clip_parts(clip)[2], votes=v)
        for clip, v in votes.items()
    ]
    names = tuple(f"{c}/{name}" for c in CONDITIONS for name in CLASSES)
    return corpus_of(made, ["all"] * len(made), modalities=(), classes=CLASSES, votes=names)


def test_real_votes_reproduce_the_known_ceiling(crema_d):
    """voice .455, face .690, both .748 of all clips: the data set's README.

    Cao et al. 2014 (abstract) print .409, .582 and .636 for the share of single responses
    that are right, from responses they had cleaned further than the published table.
    """
    found = human_ceiling(crema_d, bound(crema_d, split="speaker"), rows=np.arange(len(crema_d)))
    majority = {c: v["majority_vote"]["accuracy"] for c, v in found.items()}
    assert majority == pytest.approx(EXPECTED, abs=5e-4)
    single = {c: v["one_annotator"]["accuracy"] for c, v in found.items()}
    assert single == pytest.approx({"voice": 0.409, "face": 0.582, "both": 0.636}, abs=0.015)
    assert {v["n"] for v in found.values()} == {7442}


def test_real_majorities_are_those_of_the_summary_table(data_dir, crema_d):
    """summaryTable.csv, made by CREMA-D's authors: ties are all named, `A:D`."""
    letters = dict(zip(CLASSES, VOTES, strict=True))
    table = {
        row["FileName"]: row for row in read_table(data_dir / "crema_d" / "summaryTable.csv", ("FileName",))
    }
    columns = {"both": "MultiModalVote", "voice": "VoiceVote", "face": "FaceVote"}
    differ = 0
    for u in crema_d.utterances:
        for condition, votes in zip(CONDITIONS, u.votes.reshape(3, 6), strict=True):
            best = {letters[CLASSES[k]] for k in np.flatnonzero(votes == votes.max())}
            differ += best != set(table[u.id][columns[condition]].split(":"))
    assert differ == 0


def test_the_votes_corpus_gives_the_same_condition_by_condition(data_dir, tmp_path):
    corpus = read_corpus("crema_d_votes", data_dir / "crema_d", tmp_path)
    protocol = bound(corpus, split="speaker")
    conditions = np.array([u.id.rpartition("/")[2] for u in corpus.utterances])
    found = {
        name: human_ceiling(corpus, protocol, np.flatnonzero(conditions == name))["votes"]
        for name in EXPECTED
    }
    assert {c: v["majority_vote"]["accuracy"] for c, v in found.items()} == pytest.approx(EXPECTED, abs=5e-4)
