import dataclasses

import numpy as np
import pytest

from mer_jax.errors import InputError
from mer_jax.evaluation.floors import fit_floors, pool_floors
from mer_jax.evaluation.metrics import classification_metrics
from mer_jax.evaluation.protocol import Protocol, ProtocolConfig
from mer_jax.evaluation.summaries import design, summarise
from tests.evaluation.corpora import CLASSES, bound, corpus, floors_of, mosi
from tests.tiny import spoken_corpus


def test_summaries_are_mean_and_sd_over_time():
    data = corpus(dialogues=4, per_dialogue=2)
    audio, text = summarise(data, "audio"), summarise(data, "text")
    sequence = data.utterances[3].features["audio"]
    np.testing.assert_allclose(audio.values[3], [*sequence.mean(0), *sequence.std(0)], rtol=1e-6)
    assert text.values.shape == (8, 4)


def test_a_missing_modality_is_zeros_and_an_indicator():
    data = corpus(dialogues=20, missing=0.3)
    summary = summarise(data, "text")
    train = np.arange(80)
    table = design({"text": summary}, ["text"], train)
    absent = ~summary.present
    assert absent.any()
    np.testing.assert_array_equal(table[absent], np.tile([0, 0, 0, 0, 1], (absent.sum(), 1)))
    present = table[train][summary.present[train]]
    np.testing.assert_allclose(present[:, :4].mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(present[:, :4].std(0), 1, atol=1e-4)


def test_constant_floors_by_counting():
    data = corpus()
    protocol = bound(data)
    fold = protocol.folds(data)[0]
    floors = fit_floors(data, fold, protocol, data.spec.modality_names)
    labels = protocol.labels(data)
    shares = np.bincount(labels[fold.train], minlength=3) / len(fold.train)
    assert floors["majority"].detail == f"always {CLASSES[int(shares.argmax())]!r}"
    np.testing.assert_array_equal(floors["majority"].test[0], np.eye(3)[shares.argmax()])
    np.testing.assert_allclose(floors["prior"].dev, np.tile(shares, (len(fold.dev), 1)))


def test_every_floor_is_there_and_learned_ones_learn():
    data = corpus(missing=0.1)
    protocol = bound(data)
    floors = floors_of(data, protocol)
    assert list(floors) == ["majority", "prior", "linear", "best_single_modality", "tfidf"]
    scores = {}
    for name, floor in floors.items():
        test = floor.predictions.part("test")
        scores[name] = classification_metrics(test.labels, test.probabilities, CLASSES)["balanced_accuracy"]
    assert scores["majority"] == pytest.approx(1 / 3)
    assert min(scores["linear"], scores["best_single_modality"]) > 0.6
    assert scores["tfidf"] > 0.55
    assert "of audio," in floors["best_single_modality"].detail


def test_floors_see_neither_test_targets_nor_test_inputs_before_predicting():
    """Other test labels and other test inputs leave the dev predictions as they were."""
    data = corpus(dialogues=30)
    protocol = bound(data)
    fold = protocol.folds(data)[0]
    hidden = set(fold.test.tolist())
    changed = [
        dataclasses.replace(u, label=CLASSES[0], features={k: v * 50 + 9 for k, v in u.features.items()})
        if row in hidden
        else u
        for row, u in enumerate(data.utterances)
    ]
    other = dataclasses.replace(data, utterances=tuple(changed))
    before = fit_floors(data, fold, protocol, ["audio", "text"])
    after = fit_floors(other, fold, protocol, ["audio", "text"])
    for name in before:
        np.testing.assert_array_equal(before[name].dev, after[name].dev)
        assert before[name].detail == after[name].detail


def test_regression_floors():
    data = corpus(intensities=True)
    protocol = bound(data)
    fold = protocol.folds(data)[0]
    floors = fit_floors(data, fold, protocol, ["audio", "text"])
    truth = protocol.intensities(data)
    np.testing.assert_allclose(floors["mean"].test[0], truth[fold.train].mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(floors["median"].dev[0], np.median(truth[fold.train], axis=0), rtol=1e-6)
    error = {name: np.abs(f.test - truth[fold.test]).mean() for name, f in floors.items()}
    assert error["linear"] < 0.9 * error["mean"]
    assert error["tfidf"] < 0.9 * error["mean"]


def test_without_transcripts_there_is_no_tfidf():
    data = corpus(dialogues=20)
    silent = dataclasses.replace(
        data, utterances=tuple(dataclasses.replace(u, transcript="") for u in data.utterances)
    )
    protocol = bound(silent)
    assert "tfidf" not in fit_floors(silent, protocol.folds(silent)[0], protocol, ["audio"])


def test_folds_are_pooled_in_order():
    data = corpus(dialogues=3, per_dialogue=30, split=False)
    protocol = bound(data, split="leave_one_speaker_out")
    floors = floors_of(data, protocol)
    test = floors["linear"].predictions.part("test")
    assert sorted(test.ids.tolist()) == sorted(data.column("id").tolist())
    assert sorted(set(test.folds.tolist())) == [0, 1, 2]
    with pytest.raises(InputError, match="fit each fold once"):
        pool_floors(data, protocol.folds(data), protocol, [{}])


def test_bad_input_is_refused():
    data = corpus(dialogues=20)
    protocol = bound(data)
    fold = protocol.folds(data)[0]
    with pytest.raises(InputError, match="did you mean 'audio'"):
        fit_floors(data, fold, protocol, ["adio"])
    data.utterances[5].features["audio"][0, 0] = np.nan
    with pytest.raises(InputError, match="'d000u05', is not finite"):
        fit_floors(data, fold, protocol, ["audio"])


@pytest.fixture(scope="session")
def real_mosi(data_dir):
    return mosi(data_dir)


@pytest.mark.parametrize(
    ("modalities", "expected"),
    [(("text",), 0.757), (("audio",), 0.557), (("video",), 0.515), (("text", "audio", "video"), 0.767)],
)
def test_logistic_regression_on_real_mosi(real_mosi, modalities, expected):
    """The data folder's README gives these scores, measured with scikit-learn."""
    protocol = bound(real_mosi)
    fold = protocol.folds(real_mosi)[0]
    floors = fit_floors(real_mosi, fold, protocol, modalities)
    labels = protocol.labels(real_mosi)[fold.test]
    linear = classification_metrics(labels, floors["linear"].test, protocol.targets)["accuracy"]
    assert linear == pytest.approx(expected, abs=0.015)
    majority = classification_metrics(labels, floors["majority"].test, protocol.targets)["accuracy"]
    assert majority == pytest.approx(0.621, abs=0.001)


def test_of_words_the_linear_model_is_tfidf_and_it_may_be_the_best_single_modality():
    spoken = spoken_corpus()
    protocol = Protocol.bind(ProtocolConfig(), spoken)
    (fold,) = protocol.folds(spoken)
    alone = fit_floors(spoken, fold, protocol, ("words",))
    for name in ("linear", "best_single_modality"):
        np.testing.assert_array_equal(alone[name].test, alone["tfidf"].test)
    both = fit_floors(spoken, fold, protocol, ("words", "waveform"))
    assert "waveform" in both["linear"].detail
    assert both["best_single_modality"].detail == both["tfidf"].detail  # the transcripts name their class
