"""Soft labels from votes, and metrics of distributions against scipy."""

import dataclasses

import numpy as np
import pytest
import scipy.spatial.distance
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from mer_jax.errors import InputError
from mer_jax.evaluation import soft_metrics as sm
from mer_jax.evaluation.protocol import Protocol, ProtocolConfig
from mer_jax.evaluation.votes import soft_labels, target_votes, unvoted, vote_conditions
from tests.data.corpora import corpus_of, utterance

NAMES = ("anger", "joy", "neutral")
ROWS = [("anger", (3, 1, 0)), ("joy", None), ("neutral", (0, 0, 0)), ("", (1, 1, 2)), ("", None)]


def voted(rows=ROWS, **spec):
    made = [
        utterance(f"u{i}", label=label, votes=None if v is None else np.array(v, np.float32))
        for i, (label, v) in enumerate(rows)
    ]
    return corpus_of(made, modalities=(), **{"classes": NAMES, "votes": NAMES} | spec)


def bound(corpus, **config):
    return Protocol.bind(ProtocolConfig(**config), corpus)


def test_soft_labels_are_shares_of_votes_and_else_the_label():
    corpus = voted()
    made = soft_labels(corpus, bound(corpus))
    assert made.dtype == np.float32
    np.testing.assert_array_equal(
        made, np.float32([[0.75, 0.25, 0], [0, 1, 0], [0, 0, 1], [0.25, 0.25, 0.5], [0, 0, 0]])
    )
    np.testing.assert_array_equal(unvoted(corpus, bound(corpus)), [False, True, True, False, True])


def test_votes_go_to_the_targets_of_the_label_map():
    corpus = voted([("anger", (3, 1, 4)), ("neutral", (0, 1, 0)), ("anger", (0, 0, 5))])
    merged = bound(corpus, label_map=("anger=other", "neutral=other"))
    assert merged.targets == ("other", "joy")
    np.testing.assert_array_equal(target_votes(corpus, merged), [[7, 1], [0, 1], [5, 0]])
    dropped = bound(corpus, label_map=("neutral=",))
    np.testing.assert_array_equal(soft_labels(corpus, dropped), [[0.75, 0.25], [0, 1], [1, 0]])


def test_a_condition_is_chosen_by_name_and_the_first_is_the_main_one():
    names = tuple(f"{c}/{name}" for c in ("both", "voice") for name in reversed(NAMES))
    corpus = voted([("anger", (0, 1, 3, 2, 0, 0))], votes=names)
    protocol = bound(corpus)
    assert vote_conditions(corpus) == ("both", "voice")
    np.testing.assert_array_equal(target_votes(corpus, protocol), [[3, 1, 0]])
    np.testing.assert_array_equal(target_votes(corpus, protocol, "both"), [[3, 1, 0]])
    np.testing.assert_array_equal(soft_labels(corpus, protocol, "voice"), [[0, 0, 1]])
    with pytest.raises(InputError, match="no votes of condition 'voise'; did you mean 'voice'"):
        soft_labels(corpus, protocol, "voise")


def test_votes_need_classes():
    corpus = voted(votes=())
    assert vote_conditions(corpus) == ()
    with pytest.raises(InputError, match="'made' has no annotators' votes"):
        soft_labels(corpus, bound(corpus))
    felt = voted(intensities=NAMES)
    rows = tuple(dataclasses.replace(u, intensities=np.zeros(3, np.float32)) for u in felt.utterances)
    felt = dataclasses.replace(felt, utterances=rows)
    with pytest.raises(InputError, match="the protocol's task is regression"):
        soft_labels(felt, bound(felt, task="regression"))


def distributions(seed, n=6, k=4):
    rng = np.random.default_rng(seed)
    votes, guess = rng.multinomial(7, rng.dirichlet(np.ones(k)), n) / 7, rng.dirichlet(np.ones(k), n)
    return votes, guess


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000))
def test_soft_metrics_equal_scipys(seed):
    votes, guess = distributions(seed)
    expected = scipy.stats.entropy(votes, axis=1) + scipy.stats.entropy(votes, guess, axis=1)
    np.testing.assert_allclose(sm.soft_cross_entropy(votes, guess), expected, rtol=1e-6)
    expected = [scipy.spatial.distance.cityblock(v, p) / 2 for v, p in zip(votes, guess, strict=True)]
    np.testing.assert_allclose(sm.total_variation(votes, guess), expected)
    expected = scipy.spatial.distance.jensenshannon(votes, guess, base=2, axis=1)
    np.testing.assert_allclose(sm.jensen_shannon(votes, guess), expected, rtol=1e-9)


def test_bounds_of_the_distances():
    a, b = np.array([[1.0, 0, 0]]), np.array([[0, 0.5, 0.5]])
    for distance in (sm.total_variation, sm.jensen_shannon):
        assert distance(a, b) == pytest.approx(1)
        assert distance(b, b) == pytest.approx(0)
    assert sm.soft_cross_entropy(b, b) == pytest.approx(np.log(2))


def test_means_over_rows_with_votes_and_the_entropy_below_them():
    votes, guess = distributions(0)
    counts = np.concatenate([7 * votes, np.zeros((2, 4))])
    found = sm.soft_metrics(counts, np.concatenate([guess, np.full((2, 4), 0.25)]))
    assert found["n"] == 6
    assert found["soft_cross_entropy"] == pytest.approx(sm.soft_cross_entropy(votes, guess).mean())
    assert found["votes_entropy"] == pytest.approx(scipy.stats.entropy(votes, axis=1).mean())
    assert found["soft_cross_entropy"] > found["votes_entropy"]
    assert found["total_variation"] == pytest.approx(sm.total_variation(votes, guess).mean())
    with pytest.raises(InputError, match=r"votes \(3, 4\) and probabilities \(3, 5\)"):
        sm.soft_metrics(np.ones((3, 4)), np.ones((3, 5)))
    with pytest.raises(InputError, match="some row must have votes"):
        sm.soft_metrics(np.zeros((3, 4)), np.ones((3, 4)))
