"""Batches of several seeds at once: each seed sees what it would see alone."""

import jax
import numpy as np
import pytest

from mer_jax.data.batching import Buckets, batches, largest_batch, plan, stacked_batches
from mer_jax.data.examples import View, make_examples
from tests.tiny import DIMS, tiny_corpus

SEEDS = (3, 0, 11)


def examples_of(unit="utterance", soft=False):
    corpus = tiny_corpus()
    targets = np.array([corpus.spec.classes.index(u.label) for u in corpus.utterances], np.int32)
    votes = np.random.default_rng(1).dirichlet(np.ones(3), len(corpus)).astype(np.float32)
    rows = np.flatnonzero(corpus.splits == "train")
    return make_examples(corpus, rows, View(tuple(DIMS), unit), targets, votes if soft else None)


CASES = {
    "utterances": ({}, 3, 1.0, {"batch_size": 7}),
    "one bucket": ({}, 1, 1.0, {"batch_size": 16}),
    "cut, weighted": ({}, 4, 0.8, {"batch_size": 5, "class_weights": np.array([1.0, 2.0, 0.5])}),
    "dialogues": ({"unit": "dialogue"}, 2, 1.0, {"batch_size": 3}),
    "votes": ({"soft": True}, 2, 1.0, {"batch_size": 8}),
    "one batch": ({}, 2, 1.0, {"batch_size": 500}),
}


@pytest.fixture(params=CASES)
def case(request):
    which, count, quantile, options = CASES[request.param]
    examples = examples_of(**which)
    return examples, Buckets.fit(examples, count, quantile), options


@pytest.mark.parametrize("epoch", [0, 1, 7])
def test_every_seed_gets_the_bytes_it_would_get_alone(case, epoch):
    examples, buckets, options = case
    stacked = list(stacked_batches(examples, buckets, **options, seeds=SEEDS, epoch=epoch))
    for place, seed in enumerate(SEEDS):
        alone = list(batches(examples, buckets, **options, order=(seed, epoch)))
        assert len(stacked) == len(alone) >= 1
        for together, one in zip(stacked, alone, strict=True):
            assert jax.tree.structure(together) == jax.tree.structure(one)
            for a, b in zip(jax.tree.leaves(together), jax.tree.leaves(one), strict=True):
                assert (a.dtype, a.shape[1:]) == (b.dtype, b.shape)
                assert a[place].tobytes() == b.tobytes()


def test_every_seed_sees_every_example_once(case):
    examples, buckets, options = case
    stacked = list(stacked_batches(examples, buckets, **options, seeds=SEEDS, epoch=2))
    expected = np.sort(np.concatenate(list(examples.rows)))
    for place in range(len(SEEDS)):
        seen = np.concatenate([batch.rows[place].ravel() for batch in stacked])
        np.testing.assert_array_equal(np.sort(seen[seen >= 0]), expected)


def test_the_sequence_of_buckets_is_the_epochs_and_the_order_the_seeds():
    examples = examples_of()
    buckets = Buckets.fit(examples, 4)
    plans = {(s, e): plan(examples, buckets, 4, (s, e)) for s in range(6) for e in range(4)}
    shapes = {key: tuple(bucket for bucket, _ in entries) for key, entries in plans.items()}
    for epoch in range(4):
        assert len({shapes[seed, epoch] for seed in range(6)}) == 1
    assert len({shapes[0, epoch] for epoch in range(4)}) == 4, "the buckets come in another order each epoch"
    orders = {key: tuple(np.concatenate([m for _, m in entries])) for key, entries in plans.items()}
    assert len(set(orders.values())) == len(plans)


def test_the_same_seed_twice_gives_the_same_batches_twice():
    examples = examples_of()
    for batch in stacked_batches(examples, Buckets.fit(examples, 2), 8, seeds=(5, 5), epoch=1):
        for x in jax.tree.leaves(batch):
            np.testing.assert_array_equal(x[0], x[1])


def test_the_largest_batch_has_the_largest_shape_of_an_epoch(case):
    examples, buckets, options = case
    size = options["batch_size"]

    def shapes(batch):
        return tuple(batch.features[modality].shape for modality in buckets.lengths)

    seen = {shapes(batch) for batch in batches(examples, buckets, size, order=(0, 0))}
    assert shapes(largest_batch(examples, buckets, size)) == max(seen)
    assert np.array_equal(np.max(list(seen), axis=0), max(seen)), "largest in every modality"
