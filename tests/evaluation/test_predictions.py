import dataclasses

import numpy as np
import pytest

from mer_jax.errors import InputError
from mer_jax.evaluation.predictions import Predictions
from tests.evaluation.corpora import bound, classified, corpus, predicted


@pytest.mark.parametrize("intensities", [False, True])
def test_saved_predictions_come_back(tmp_path, intensities):
    data = corpus(dialogues=12, per_dialogue=2, intensities=intensities)
    before = predicted(data, bound(data))
    before.save(tmp_path / "predictions.npz")
    after = Predictions.load(tmp_path / "predictions.npz")
    for field in dataclasses.fields(Predictions):
        np.testing.assert_array_equal(getattr(before, field.name), getattr(after, field.name))
    keys = {"ids", "splits", "folds", "dialogues", "speakers", "labels"}
    extra = {"intensities", "predicted_intensities"} if intensities else {"probabilities"}
    with np.load(tmp_path / "predictions.npz") as file:
        assert set(file.files) == keys | extra


def test_the_same_predictions_are_the_same_bytes(tmp_path):
    data = corpus(dialogues=12, per_dialogue=2)
    rows = predicted(data, bound(data))
    rows.save(tmp_path / "a.npz")
    rows.save(tmp_path / "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.npz", "b.npz"]


def test_logits_and_nan_are_refused():
    with pytest.raises(InputError, match="pass softmax outputs"):
        classified([0, 1], np.array([[2.0, 1.0], [0.0, 1.0]]))
    with pytest.raises(InputError, match="diverged"):
        classified([0, 1], np.array([[np.nan, 1.0], [0.0, 1.0]]))


def test_a_missing_or_damaged_file_says_so(tmp_path):
    with pytest.raises(InputError, match="not finished"):
        Predictions.load(tmp_path / "predictions.npz")
    (tmp_path / "predictions.npz").write_bytes(b"PK\x03\x04 cut off")
    with pytest.raises(InputError, match="damaged"):
        Predictions.load(tmp_path / "predictions.npz")


def test_columns_of_unequal_length_are_refused():
    rows = classified([0, 1], np.eye(2))
    with pytest.raises(InputError, match="labels has 1 rows"):
        dataclasses.replace(rows, labels=rows.labels[:1])
