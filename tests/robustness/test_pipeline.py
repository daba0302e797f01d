"""Corruption and repair of whole corpora, as training, floors and predictions see them."""

import dataclasses

import numpy as np
import pytest

from mer_jax.data.corpus import Corpus
from mer_jax.data.examples import View, make_examples
from mer_jax.data.schema import CorpusSpec, Modality, Utterance
from mer_jax.errors import InputError
from mer_jax.robustness.corruption import Corruption
from mer_jax.robustness.modality_check import CheckConfig
from mer_jax.robustness.pipeline import (
    Repair,
    RobustnessConfig,
    augmented,
    corrupted,
    without_modalities,
)
from mer_jax.robustness.proxy import ProxyConfig
from tests.robustness.planted import fold_of, shared_factors

NAMES = ("a", "b", "c")
NOISE = Corruption("noise", ("a", "b"), share=0.5, snr_db=-5.0)
CONFIG = RobustnessConfig(repair="proxies", check=CheckConfig(steps=4), proxies=ProxyConfig(neighbours=30))


def corpus_of(samples=150, missing=0.0):
    examples = shared_factors(samples=samples, missing=missing)
    dims = {name: xs[0].shape[1] for name, xs in examples.features.items()}
    utterances = tuple(
        Utterance(
            id=f"u{i}",
            speaker="s",
            dialogue=f"d{i}",
            features={name: xs[i] for name, xs in examples.features.items() if len(xs[i])},
        )
        for i in range(samples)
    )
    spec = CorpusSpec("factors", tuple(Modality(name, dim) for name, dim in dims.items()))
    return Corpus(spec, "0" * 64, utterances, np.full(samples, "train"))


@pytest.fixture(scope="module")
def clean():
    return corpus_of()


@pytest.fixture(scope="module")
def fold():
    return fold_of(np.arange(100), 150)


def differs(one, other):
    """[utterances, modalities] whether the features are not the same."""
    return np.array(
        [
            [not np.array_equal(a.features.get(m), b.features.get(m)) for m in NAMES]
            for a, b in zip(one.utterances, other.utterances, strict=True)
        ]
    )


def test_only_the_rows_named_are_corrupted_and_where_is_told(clean):
    rows = np.arange(100, 150)
    touched = corrupted(clean, rows, NAMES, NOISE, seed=3)
    changed = differs(clean, touched.corpus)
    np.testing.assert_array_equal(changed[rows], touched.where)
    assert not changed[:100].any()
    assert not changed[:, 2].any()
    assert 0.3 < touched.where.any(axis=1).mean() < 0.7
    fewer = corrupted(clean, rows[::2], NAMES, NOISE, seed=3)
    np.testing.assert_array_equal(fewer.where, touched.where[::2])


def test_a_dropped_modality_is_missing(clean):
    dropped = corrupted(clean, np.arange(150), NAMES, Corruption("drop", ("a",), share=1.0), seed=0).corpus
    assert not any(u.has("a") for u in dropped.utterances)
    assert all(u.has("b") for u in dropped.utterances)
    same = without_modalities(clean, ("a",))
    assert not differs(dropped, same).any()
    some = without_modalities(clean, ("a",), np.array([2, 5]))
    assert np.flatnonzero(differs(clean, some).any(axis=1)).tolist() == [2, 5]


def test_repair_brings_back_what_noise_buried(clean, fold):
    noisy = corrupted(clean, fold.test, NAMES, NOISE, seed=1)
    repair = Repair.fit(noisy.corpus, fold, NAMES, CONFIG)
    repaired = repair(noisy.corpus, fold.test)
    assert (repaired.where == noisy.where).mean() > 0.9
    found = repaired.where & noisy.where

    def distance(corpus):
        pairs = zip(*np.nonzero(found), strict=True)
        rows = [(fold.test[i], NAMES[k]) for i, k in pairs]
        off = [corpus.utterances[r].features[m] - clean.utterances[r].features[m] for r, m in rows]
        return np.mean([np.square(x).mean() for x in off])

    assert distance(repaired.corpus) < 0.2 * distance(noisy.corpus)
    untouched = np.setdiff1d(np.arange(150), fold.test)
    assert not differs(noisy.corpus, repaired.corpus)[untouched].any()
    assert set(repair.rows) == {"modality check", "proxies"}
    for rows in repair.rows.values():
        assert np.isin(rows, fold.train).all()


def test_the_check_alone_leaves_out_what_it_rejects(clean, fold):
    noisy = corrupted(clean, fold.test, NAMES, NOISE, seed=1)
    repair = Repair.fit(noisy.corpus, fold, NAMES, dataclasses.replace(CONFIG, repair="check"))
    assert repair.proxies is None
    repaired = repair(noisy.corpus)
    gone = np.array([[not u.has(m) for m in NAMES] for u in repaired.corpus.utterances])
    everything = repaired.where.all(axis=1)
    np.testing.assert_array_equal(gone[~everything], repaired.where[~everything])
    assert not gone[everything].any()
    assert gone[fold.test].any()


def test_what_is_missing_is_regenerated_too(fold):
    corpus = corpus_of(missing=0.1)
    repair = Repair.fit(corpus, fold, NAMES, CONFIG)
    repaired = repair(corpus).corpus
    lacking = [u for u in corpus.utterances if not u.has("a") and (u.has("b") or u.has("c"))]
    names = {u.id: u for u in repaired.utterances}
    assert lacking
    assert all(names[u.id].has("a") for u in lacking)


def test_what_is_saved_repairs_alike(tmp_path, clean, fold):
    noisy = corrupted(clean, fold.test, NAMES, NOISE, seed=1).corpus
    for kind in ("check", "proxies"):
        repair = Repair.fit(noisy, fold, NAMES, dataclasses.replace(CONFIG, repair=kind))
        repair.save(tmp_path / kind)
        loaded = Repair.load(tmp_path / kind)
        assert loaded.modalities == NAMES
        assert not differs(loaded(noisy).corpus, repair(noisy).corpus).any()
    with pytest.raises(InputError, match="does not exist"):
        Repair.load(tmp_path / "nowhere")


def test_copies_of_what_an_augmentation_befalls_stand_behind_the_examples(clean):
    rows = np.arange(20)
    targets = np.arange(150, dtype=np.int32)
    examples = make_examples(clean, rows, View(NAMES), targets)
    ids = [f"u{i}" for i in rows]
    more = augmented(examples, ids, Corruption("drop", share=0.5), seed=0)
    copies = len(more) - 20
    assert 4 < copies < 16
    for name in NAMES:
        for i in range(20):
            np.testing.assert_array_equal(more.features[name][i], examples.features[name][i])
    for k in range(20, len(more)):
        assert more.targets[k] == more.rows[k]
        assert sum(len(more.features[name][k]) == 0 for name in NAMES) == 1
    assert augmented(examples, ids, Corruption("drop", share=0.0), seed=0) is examples


def test_what_is_part_of_the_protocol():
    noise = Corruption(share=0.2)
    assert not RobustnessConfig().corrupts
    assert RobustnessConfig(noise, splits=("train",)).corrupts
    assert not RobustnessConfig(noise, splits=("train",)).corrupts_scores
    assert RobustnessConfig(noise, splits=("test",)).corrupts_scores
    with pytest.raises(InputError, match="did you mean 'test'"):
        RobustnessConfig(splits=("tests",))
