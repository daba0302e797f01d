"""What is planted in the generated corpus, as linear probes find it (scikit-learn; means and deviations over time)."""

import dataclasses

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mer_jax.data.simulation import Options, resolve
from mer_jax.data.simulation.emotion import CLASSES
from mer_jax.data.simulation.options import MODALITIES
from tests.data.generated import CALM, everything, made


def probabilities(train, test, labels):
    probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.05, max_iter=500)).fit(train, labels)
    return probe.predict_proba(test), probe.classes_


def pooled(utterances, modality):
    return np.array([[*u.features[modality].mean(0), *u.features[modality].std(0)] for u in utterances])


def fusion_scores(options):
    """Accuracy of each modality, of late and of early fusion, of the words, of the commonest class."""
    splits = made(options)
    train, test = splits["train"], splits["dev"] + splits["test"]
    labels, truth = [u.label for u in train], np.array([u.label for u in test])
    data = {m: (pooled(train, m), pooled(test, m)) for m in MODALITIES}
    found, scores = [], {}
    for m in MODALITIES:
        p, classes = probabilities(*data[m], labels)
        found.append(p)
        scores[m] = np.mean(classes[p.argmax(1)] == truth)
    scores["late"] = np.mean(classes[np.mean(found, axis=0).argmax(1)] == truth)
    both = [np.hstack([data[m][i] for m in MODALITIES]) for i in (0, 1)]
    p, _ = probabilities(*both, labels)
    scores["early"] = np.mean(classes[p.argmax(1)] == truth)
    words = make_pipeline(TfidfVectorizer(), LogisticRegression(max_iter=500))
    scores["words"] = words.fit([u.transcript for u in train], labels).score(
        [u.transcript for u in test], truth
    )
    scores["majority"] = max(np.mean(truth == name) for name in CLASSES)
    return scores


def mean_scores(preset, seeds=(0, 1)):
    runs = [fusion_scores(Options(preset=preset, seed=seed)) for seed in seeds]
    return {name: np.mean([run[name] for run in runs]) for name in runs[0]}


@pytest.fixture(scope="module")
def default_scores():
    return mean_scores("default")


def test_by_default_early_beats_late_beats_the_best_single_modality(default_scores):
    s = default_scores
    assert s["early"] > s["late"] + 0.04
    assert s["late"] > max(s[m] for m in MODALITIES) + 0.04


def test_by_default_there_is_neither_a_ceiling_nor_a_modality_at_chance(default_scores):
    s = default_scores
    assert 0.15 < s["majority"] < 0.3
    assert 0.55 < s["early"] < 0.72
    assert all(s["majority"] + 0.06 < s[m] < 0.55 for m in MODALITIES)
    assert s["majority"] + 0.06 < s["words"] < 0.5


def test_the_complementary_preset_widens_the_gap(default_scores):
    s = mean_scores("complementary", seeds=(0,))
    assert s["early"] > s["late"] + 0.06
    assert s["late"] > max(s[m] for m in MODALITIES) + 0.04


def test_in_the_redundant_preset_fusing_early_gains_nothing():
    s = mean_scores("redundant", seeds=(0,))
    assert s["early"] < s["late"] + 0.01
    assert all(s[m] > s["majority"] + 0.1 for m in MODALITIES)


def test_irony_turns_the_audio_round():
    """A probe of the audio fitted where there is no irony is misled where there is."""
    rows = everything(dataclasses.replace(CALM, dialogues=40, interaction=1.0))
    plain, ironic = ([u for u in rows if bool(u.truth["ironic"]) == want] for want in (False, True))
    half = len(plain) // 2
    labels = [u.label for u in plain[:half]]

    def accuracy(modality, rows):
        p, classes = probabilities(pooled(plain[:half], modality), pooled(rows, modality), labels)
        return np.mean(classes[p.argmax(1)] == [u.label for u in rows])

    assert len(ironic) == pytest.approx(len(rows) / 2, rel=0.15)
    assert accuracy("audio", plain[half:]) > 0.7
    assert accuracy("audio", ironic) < 0.35
    assert accuracy("face", ironic) > 0.7


def test_in_the_lagged_preset_only_the_aligned_words_tell():
    options = resolve(Options(preset="lagged"))
    splits = made(options)
    train, test = splits["train"], splits["dev"] + splits["test"]
    labels, truth = [u.label for u in train], np.array([u.label for u in test])

    def within(u, spans):
        clock = (np.arange(len(u.features["audio"])) + 0.5) / options.audio_rate
        spans = spans[u.truth["emphasised"] > 0]
        inside = np.any([(a <= clock) & (clock < b) for a, b in spans], axis=0)
        return u.features["audio"][inside].mean(axis=0)

    def accuracy(look):
        train_x, test_x = (np.array([look(u) for u in rows]) for rows in (train, test))
        p, classes = probabilities(train_x, test_x, labels)
        return np.mean(classes[p.argmax(1)] == truth)

    aligned = accuracy(lambda u: within(u, u.truth["alignment"]))
    assert aligned > 0.55
    assert aligned > accuracy(lambda u: within(u, u.word_spans)) + 0.25
    assert aligned > fusion_scores(options)["early"] + 0.2
    marked = [u.features["text"][:, 0] - u.truth["emphasised"] for u in train]
    live = [np.abs(x)[(u.features["text"] != 0).any(axis=1)] for x, u in zip(marked, train, strict=True)]
    assert np.concatenate(live).max() < 0.6, "the first text column marks the emphasised words"


def test_in_the_bad_modality_preset_the_others_tell_what_is_missing():
    """Frames of a modality, predicted linearly from the others, are 5 times nearer than at 0 dB."""
    options = resolve(Options(preset="bad_modality", dialogues=40))
    splits = made(options)

    def on_word_clock(u, modality):
        features = u.truth[f"clean_{modality}"] if u.truth[f"bad_{modality}"] else u.features[modality]
        if modality == "text":
            return features
        rate = getattr(options, f"{modality}_rate")
        clock = (np.arange(len(features)) + 0.5) / rate
        return np.stack([np.interp(u.word_spans.mean(axis=1), clock, x) for x in features.T], axis=1)

    train, test = (
        {m: np.vstack([on_word_clock(u, m) for u in splits[s]]) for m in MODALITIES}
        for s in ("train", "test")
    )
    for modality in MODALITIES:
        others = [m for m in MODALITIES if m != modality]
        source, wanted = (np.hstack([part[m] for m in others]) for part in (train, test))
        weights = np.linalg.lstsq(source, train[modality], rcond=None)[0]
        off = np.linalg.norm(wanted @ weights - test[modality]) / np.linalg.norm(test[modality])
        assert off < 0.25, modality
