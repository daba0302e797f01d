"""On the generated corpus with bad modalities: who is found, and how near the proxies come."""

import functools

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from mer_jax.data.simulation.options import MODALITIES
from mer_jax.robustness.corruption import Corruption, corrupt
from mer_jax.robustness.modality_check import CheckConfig, ModalityCheck
from mer_jax.robustness.proxy import Proxies, ProxyConfig
from mer_jax.robustness.regeneration import ineffective, regenerate, regeneration_errors
from mer_jax.robustness.vectors import TrainingExamples
from tests.robustness.planted import bad, generated, on_words, split_examples

LATER = ("dev", "test")
NOISE = Corruption("noise", MODALITIES, share=0.3, snr_db=0.0)


def detected(train, held_out, truth, config):
    """AUC of each modality, hits, false alarms, and the verdicts."""
    verdicts, scores = ineffective(ModalityCheck.fit(train, config), held_out)
    areas = [roc_auc_score(truth[:, k], scores[:, k]) for k in range(len(MODALITIES))]
    return areas, verdicts[truth].mean(), verdicts[~truth].mean(), verdicts


def noisy(corpus, examples):
    return corrupt(examples, [corpus.utterances[rows[0]].id for rows in examples.rows], NOISE)


@functools.cache
def clean_words():
    """A corpus without bad modalities on the clock of the words, its train and the rest."""
    corpus = on_words(generated(dialogues=60, bad_splits=()))
    return corpus, *split_examples(corpus)


@pytest.mark.parametrize("align", [False, True])
@pytest.mark.parametrize("splits", [LATER, ("train", *LATER)])
def test_the_detector_finds_bad_modalities_at_0_db(align, splits):
    """On clocks of their own and on words; fitted on clean and on equally corrupted train."""
    corpus = generated(dialogues=40, bad_splits=splits)
    corpus = on_words(corpus) if align else corpus
    train, held_out = split_examples(corpus)
    areas, hits, false_alarms, _ = detected(train, held_out, bad(corpus, held_out), CheckConfig())
    assert min(areas) >= 0.95
    assert false_alarms < 0.1
    if splits == LATER:
        assert hits > 0.85


def test_in_a_corrupted_train_tau_is_a_larger_quantile():
    """Of each pair's samples a fifth hold noise: below that quantile tau lets the noise pass."""
    corpus, train, clean = clean_words()
    dirty = TrainingExamples(noisy(corpus, train.examples).examples, train.fold)
    new = noisy(corpus, clean)
    low, high = (detected(dirty, new.examples, new.where, CheckConfig(quantile=q)) for q in (0.05, 0.25))
    assert min(high[0]) >= 0.95
    assert low[1] < 0.5
    assert high[1] > 0.9
    assert high[2] < 0.15


def test_proxies_are_5_times_nearer_than_noise_at_0_db():
    corpus, train, clean = clean_words()
    new = noisy(corpus, clean)
    made, done = regenerate(Proxies.fit(train), new.examples, new.where)
    np.testing.assert_array_equal(done, new.where)
    errors = regeneration_errors(clean, new.examples, made, new.where)
    assert errors["all"].corrupted == pytest.approx(1, abs=1e-4)
    assert errors["all"].ratio >= 5
    assert min(e.ratio for e in errors.values()) > 4.5


def test_the_mean_of_sources_is_held_back_by_the_one_that_knows_least():
    """The face shows no words, so that what it says of text and audio halves what the other knows."""
    corpus, train, clean = clean_words()
    new = noisy(corpus, clean)
    made, _ = regenerate(Proxies.fit(train, ProxyConfig(combine="mean")), new.examples, new.where)
    ratio = regeneration_errors(clean, new.examples, made, new.where)["all"].ratio
    assert 2 < ratio < 3.5


def test_check_and_proxies_together_bring_the_features_back():
    corpus, train, clean = clean_words()
    new = noisy(corpus, clean)
    *_, verdicts = detected(train, new.examples, new.where, CheckConfig())
    made, done = regenerate(Proxies.fit(train), new.examples, verdicts)
    np.testing.assert_array_equal(done, verdicts & ~verdicts.all(axis=1, keepdims=True))
    assert regeneration_errors(clean, new.examples, made, new.where)["all"].ratio > 4
