import dataclasses
import json

import numpy as np
import pytest

from mer_jax.errors import InputError
from mer_jax.evaluation.findings import Finding
from mer_jax.evaluation.predictions import Predictions
from mer_jax.evaluation.scoring import headline, score
from tests.evaluation.corpora import CLASSES, bound, corpus, floors_of, predicted


@pytest.fixture(scope="module")
def case():
    data = corpus()
    protocol = bound(data)
    return data, protocol, floors_of(data, protocol)


def says(predictions: Predictions, probabilities: np.ndarray) -> Predictions:
    return dataclasses.replace(predictions, probabilities=probabilities.astype(np.float32))


def test_the_contract_of_metrics_json(case):
    data, protocol, floors = case
    m = score(protocol, predicted(data, protocol), floors, [Finding("x", "note", "y")])
    keys = (
        "protocol corpus generated task targets test dev floors intervals collapsed collapsed_reasons leakage"
    )
    assert set(keys.split()) <= set(m)
    assert m["protocol"] == protocol.hash
    assert m["generated"] is True
    assert m["targets"] == list(CLASSES)
    for name in ("majority", "linear", "best_single_modality", "prior", "tfidf"):
        assert {"accuracy", "balanced_accuracy", "macro_f1", "weighted_f1", "detail", "dev"} <= set(
            m["floors"][name]
        )
    assert m["collapsed"] is False
    low, high = m["intervals"]["accuracy"]
    assert low < m["test"]["accuracy"] < high
    assert {"x", "dev_above_test/model", "dev_above_test/linear"} <= {f["check"] for f in m["leakage"]}
    json.dumps(m, allow_nan=False)


def test_the_same_input_gives_the_same_bytes_in_any_row_order(case):
    data, protocol, floors = case
    rows = predicted(data, protocol)
    shuffled = rows.where(np.random.default_rng(0).permutation(len(rows)))
    first, second = (json.dumps(score(protocol, p, floors, resamples=50)) for p in (rows, shuffled))
    assert first == second


def test_a_constant_model_has_collapsed(case):
    data, protocol, floors = case
    rows = predicted(data, protocol)
    m = score(protocol, says(rows, np.tile([0.6, 0.3, 0.1], (len(rows), 1))), floors, resamples=50)
    assert m["collapsed"] is True
    assert len(m["collapsed_reasons"]) == 2
    assert any("'majority'" in sentence for sentence in m["not_above"])


def test_one_class_other_than_the_majority_has_collapsed_too(case):
    data, protocol, floors = case
    rows = predicted(data, protocol)
    m = score(protocol, says(rows, np.tile([0.1, 0.8, 0.1], (len(rows), 1))), floors, resamples=50)
    assert m["collapsed_reasons"] == ["'joy' is predicted for 100.0% of the test rows"]


def test_a_good_model_is_above_weak_floors_and_a_weak_one_is_not(case):
    data, protocol, floors = case
    good = score(protocol, predicted(data, protocol, strength=6), floors, resamples=300)
    assert good["differences"]["majority"]["above"] is True
    assert good["not_above"] == []
    weak = score(protocol, predicted(data, protocol, strength=0.3), floors, resamples=300)
    assert any("'linear'" in sentence for sentence in weak["not_above"])
    assert weak["collapsed"] is False


def test_scores_are_of_test_rows_alone(case):
    data, protocol, floors = case
    rows = predicted(data, protocol)
    broken = rows.probabilities.copy()
    broken[rows.splits != "test"] = [0, 0, 1]
    a, b = (
        score(protocol, rows, floors, resamples=50),
        score(protocol, says(rows, broken), floors, resamples=50),
    )
    assert a["test"] == b["test"]
    assert a["intervals"] == b["intervals"]
    assert a["dev"] != b["dev"]


def test_regression():
    data = corpus(intensities=True)
    protocol = bound(data)
    floors = floors_of(data, protocol)
    rows = predicted(data, protocol, strength=4)
    m = score(protocol, rows, floors, resamples=100)
    assert m["collapsed"] is False
    assert m["headline"] == "mae"
    assert m["differences"]["mean"]["gain"] > 0
    assert m["differences"]["mean"]["above"] is True
    assert m["floors"]["mean"]["pearson"] is None
    assert m["floors"]["mean"]["intervals"]["pearson"] is None
    flat = dataclasses.replace(rows, predicted_intensities=0 * rows.predicted_intensities + 1)
    assert "hardly vary" in score(protocol, flat, floors, resamples=50)["collapsed_reasons"][0]


def test_folds_are_pooled():
    data = corpus(dialogues=3, per_dialogue=30, split=False)
    protocol = bound(data, split="leave_one_speaker_out", resample_by="speaker")
    m = score(protocol, predicted(data, protocol), floors_of(data, protocol), resamples=50)
    assert m["test"]["n"] == len(data)
    assert m["notes"] == ["test has only 3 speakers, so the intervals are too narrow"]


def test_a_test_part_with_another_majority_is_noted(case):
    data, protocol, _ = case
    utterances = [
        dataclasses.replace(u, label="joy") if s == "test" else u
        for u, s in zip(data.utterances, data.splits, strict=True)
    ]
    other = dataclasses.replace(data, utterances=tuple(utterances))
    m = score(protocol, predicted(other, protocol), floors_of(other, protocol), resamples=50)
    assert m["floors"]["majority"]["accuracy"] == 0
    assert any("largest class of test, 'joy'" in note for note in m["notes"])


def test_headline():
    data = corpus(dialogues=12)
    assert headline(bound(data)) == "accuracy"
    assert headline(bound(data, select="weighted_f1")) == "weighted_f1"


def test_other_rows_than_the_floors_are_refused(case):
    data, protocol, floors = case
    rows = predicted(data, protocol)
    with pytest.raises(InputError, match="not the same utterances"):
        score(protocol, rows.where(np.arange(len(rows) - 1)), floors)
    with pytest.raises(InputError, match="no test rows"):
        score(protocol, rows.part("train"), floors)
