import csv
import dataclasses
import json
import time

import numpy as np
import pytest

from mer_jax.data.corpus import Corpus
from mer_jax.data.schema import CorpusSpec, Utterance
from mer_jax.data.splits import Fold
from mer_jax.errors import InputError
from mer_jax.evaluation.duplicates import nearly_repeated, normalised, sequence_digest
from mer_jax.evaluation.floors import fit_floors, pool_floors
from mer_jax.evaluation.leakage import Fitted, audit
from mer_jax.evaluation.learned_features import score_gap
from tests.evaluation.corpora import bound, classified, corpus, mosi


def findings(data, fitted=(), **config):
    protocol = bound(data, **config)
    found = audit(data, protocol.folds(data), protocol, fitted)
    json.dumps([f.to_json() for f in found], allow_nan=False)
    return {f.check: f for f in found}


def changed(data, row, **fields):
    utterances = list(data.utterances)
    utterances[row] = dataclasses.replace(utterances[row], **fields)
    return dataclasses.replace(data, utterances=tuple(utterances))


def test_a_clean_corpus_is_clean():
    found = findings(corpus())
    assert {f.severity for f in found.values()} <= {"ok", "note"}
    assert found["shared_speakers"].severity == "ok"
    assert found["fitted_statistics"].severity == "note"


def test_shared_speakers_and_dialogues_are_counted():
    data = corpus(dialogues=20, per_dialogue=5)
    last = len(data) - 1
    found = findings(changed(data, last, speaker="s0", dialogue="d000"))
    share = 1 / (data.splits == "test").sum()
    for check in ("shared_speakers", "shared_dialogues"):
        assert found[check].severity == "warning"
        assert found[check].numbers["test_share"] == pytest.approx(share)
        assert found[check].numbers["dev_share"] == 0


def test_random_division_shares_everyone():
    found = findings(corpus(split=False, dialogues=20), split="random")
    assert found["shared_speakers"].numbers["test_share"] > 0.9
    assert found["shared_dialogues"].severity == "warning"


def test_folds_are_summarised():
    found = findings(corpus(split=False, dialogues=6, per_dialogue=10), split="leave_one_speaker_out")
    assert found["shared_speakers"].numbers["test_share_max"] == 0


def test_statistics_fitted_outside_train_stop_the_training():
    data = corpus(dialogues=20)
    protocol = bound(data)
    folds = protocol.folds(data)
    scaler = Fitted("scaler", np.arange(len(data)))
    with pytest.raises(InputError, match=r"scaler .fold official.: 64 rows"):
        audit(data, folds, protocol, [scaler])
    found = audit(data, folds, protocol, [scaler], strict=False)
    assert found[0].severity == "error"
    fine = audit(data, folds, protocol, [Fitted("scaler", folds[0].train)])
    assert {f.check: f.severity for f in fine}["fitted_statistics"] == "ok"


def test_overlapping_parts_stop_the_training():
    data = corpus(dialogues=20)
    protocol = bound(data)
    fold = protocol.folds(data)[0]
    bad = Fold("bad", fold.train, fold.dev, np.append(fold.test, fold.train[0]))
    with pytest.raises(InputError, match="1 rows are in two parts"):
        audit(data, [bad], protocol)


def test_repeated_features_are_found():
    data = corpus(dialogues=20, per_dialogue=5)
    data = changed(data, len(data) - 1, features=dict(data.utterances[0].features))
    found = findings(data)
    assert found["repeated_features/audio"].numbers["test_share"] == pytest.approx(1 / 25)
    assert found["repeated_features/audio"].severity == "warning"
    assert sequence_digest(np.zeros((3, 2), np.float32)) is None


def test_emotion_scores_among_the_inputs_are_found():
    data = corpus(dialogues=20)
    audio = dataclasses.replace(
        data.spec.modality("audio"), columns=("AU01_r", "Joy", "angerEvidence", "yaw", "f0", "e")
    )
    spec = dataclasses.replace(data.spec, modalities=(audio, data.spec.modality("text")))
    finding = findings(dataclasses.replace(data, spec=spec))["emotion_scores"]
    assert finding.severity == "warning"
    assert finding.numbers["columns"] == {"audio": ["Joy", "angerEvidence"]}


def test_normalised_text():
    assert normalised("Oh, I  don\u2019t KNOW!") == "oh i don't know"


def test_near_duplicates_are_those_of_the_definition():
    """Every pair by plain sets, against the filtered search."""
    rng = np.random.default_rng(0)
    vocabulary = [f"word{i}" for i in range(40)]
    known = [" ".join(rng.choice(vocabulary, rng.integers(3, 9))) for _ in range(150)]
    asked = []
    for text in known[:80]:
        words = text.split()
        words[rng.integers(len(words))] = str(rng.choice(vocabulary))
        asked.append(" ".join(words))

    def grams(text):
        return {text[i : i + 5] for i in range(len(text) - 4)}

    def jaccard(a, b):
        return len(grams(a) & grams(b)) / len(grams(a) | grams(b))

    long = [t for t in known if len(t.split()) >= 5]
    expected = [len(t.split()) >= 5 and any(jaccard(t, k) >= 0.7 for k in long) for t in asked]
    found = nearly_repeated(known, asked).tolist()
    assert found == expected
    assert 0 < sum(found) < len(found)


@pytest.mark.parametrize("seed", range(6))
def test_the_probe_is_silent_on_clean_features(seed):
    """Also where every speaker has a mean of their own, so that utterances are alike."""
    for sd in (0.0, 1.0):
        found = findings(corpus(seed=seed, speaker_sd=sd))
        assert found["learned_features/audio"].severity == "ok", (sd, found["learned_features/audio"])
        assert found["learned_features/text"].severity == "ok"


def test_the_probe_finds_features_learned_with_the_train_labels():
    found = findings(corpus(signal=0.3, learned=3.0))
    assert found["learned_features/audio"].severity == "warning"
    assert "learned with the training labels" in found["learned_features/audio"].message
    assert found["learned_features/text"].severity == "ok"


def test_the_probe_does_not_read_test_labels():
    data = corpus(signal=0.3, learned=3.0, dialogues=40)
    other = dataclasses.replace(
        data,
        utterances=tuple(
            dataclasses.replace(u, label="neutral") if s == "test" else u
            for u, s in zip(data.utterances, data.splits, strict=True)
        ),
    )
    check = "learned_features/audio"
    assert findings(data)[check].numbers == findings(other)[check].numbers


def gap(dev_accuracy, test_accuracy, groups=40, seed=0):
    rng = np.random.default_rng(seed)
    parts = []
    for accuracy in (dev_accuracy, test_accuracy):
        wrong = (rng.random(groups * 10) >= accuracy).astype(int)
        dialogues = np.repeat([f"d{i}" for i in range(groups)], 10)
        parts.append(classified(wrong, np.tile([1.0, 0.0], (groups * 10, 1)), dialogues))
    return score_gap("model", *parts, "dialogue")


def test_score_gap():
    assert gap(0.98, 0.78).severity == "warning"
    assert gap(0.70, 0.95).severity == "ok"
    assert gap(0.98, 0.78, groups=2).severity == "note"
    assert sum(gap(0.8, 0.8, seed=s).severity == "warning" for s in range(40)) <= 1


def test_a_perfect_small_dev_part_proves_nothing():
    dev = classified([0] * 12, np.tile([1.0, 0.0], (12, 1)), np.repeat(["a", "b", "c"], 4))
    wrong = (np.arange(300) % 10 == 0).astype(int)
    test = classified(wrong, np.tile([1.0, 0.0], (300, 1)), [f"d{i}" for i in np.arange(300) // 10])
    assert score_gap("model", dev, test, "dialogue").severity == "ok"


def test_real_mosi_is_caught(data_dir):
    """Text and video were learned with train labels, audio was not (the data's README)."""
    data = mosi(data_dir)
    protocol = bound(data)
    folds = protocol.folds(data)
    severity = {f.check: f.severity for f in audit(data, folds, protocol)}
    assert severity["learned_features/text"] == "warning"
    assert severity["learned_features/video"] == "warning"
    assert severity["learned_features/audio"] == "ok"
    assert severity["shared_speakers"] == "ok"
    floors = pool_floors(data, folds, protocol, [fit_floors(data, folds[0], protocol, ["text"])])
    rows = floors["linear"].predictions
    finding = score_gap("linear", rows.part("dev"), rows.part("test"), "dialogue")
    assert finding.severity == "warning"
    assert finding.numbers["dev"] > 0.95


def test_real_meld_is_measured_in_seconds(data_dir):
    """The data folder's README: 95.8 % of test by speakers in train; 12.6 % of texts
    verbatim there, more once letter case and punctuation are set aside."""
    utterances, splits = [], []
    for split in ("train", "dev", "test"):
        with open(data_dir / "meld" / f"{split}_sent_emo.csv", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                dialogue = f"{split}{row['Dialogue_ID']}"
                identifier = f"{dialogue}_{row['Utterance_ID']}"
                utterances.append(
                    Utterance(
                        identifier,
                        row["Speaker"],
                        dialogue,
                        transcript=row["Utterance"],
                        label=row["Emotion"],
                    )
                )
                splits.append(split)
    spec = CorpusSpec("meld", classes=tuple(sorted({u.label for u in utterances})))
    data = Corpus(spec, "0" * 64, tuple(utterances), np.array(splits))
    started = time.perf_counter()
    found = findings(data)
    assert time.perf_counter() - started < 10
    assert found["shared_speakers"].numbers["test_share"] == pytest.approx(0.958, abs=0.001)
    assert 0.126 <= found["repeated_text"].numbers["verbatim_test_share"] < 0.17
    assert found["repeated_text"].severity == "warning"
