"""Planted collapses are caught, honest models are not accused; every emotion's numbers are scipy's."""

import json

import numpy as np
import pytest
import scipy.stats
from sklearn.linear_model import LinearRegression

from mer_jax.emotion_space.diagnostics import diagnose, diagnose_run
from mer_jax.emotion_space.verdicts import compare_verdicts
from mer_jax.errors import InputError
from mer_jax.evaluation.predictions import Predictions
from tests.emotion_space.intensities import EMOTIONS, predictions, true_states

SEEDS = range(4)
VIDEOS = np.arange(600) // 5
PLANTED = [
    ("train mean", "constant", "constant: predictions vary by 0.0%"),
    ("next to constant", "constant", "vary by 1."),
    ("pure noise", "noise", "separate no emotion from the rest"),
    ("one axis", "one axis", "separates happiness from the rest only: effective rank 1.0 of 4"),
    ("one axis, float32", "one axis", "separates happiness from the rest only: effective rank 1.0 of 4"),
    ("one axis, noisy", "one axis", "separates happiness from the rest only"),
    ("one axis, bent", "one axis", "separates happiness from the rest only: effective rank 1.0 of 4"),
    (
        "two emotions",
        "narrow",
        "covers two of the six emotions (happiness and sadness) along 2 of 6 axes only",
    ),
    ("two emotions, noisy", "narrow", "covers two of the six emotions (happiness and sadness)"),
    ("one axis and a little", "flat", "hardly leaves the axis of happiness: effective rank 1."),
]
COLLAPSED = {kind for kind, _, _ in PLANTED}
HONEST = [
    ("truth", "sound"),
    ("truth and noise", "sound"),
    ("truth and much noise", "sound"),
    ("shrunk", "shrunk"),
    ("shrunk and noise", "shrunk"),
    ("regression, R2 = .3", "sound"),
    ("regression, R2 = .15", "shrunk"),
    ("regression, R2 = .4 and .1", "shrunk"),
]
VERDICTS = {kind: verdict for kind, verdict, *_ in [*PLANTED, *HONEST]}


def diagnosed(kind, seed=0, rows=600, **options):
    truth = true_states(rows, seed)
    return diagnose(truth, predictions(kind, truth, seed), EMOTIONS, **options)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("kind", "verdict", "words"), PLANTED)
def test_a_planted_collapse_is_caught(kind, verdict, words, seed):
    found = diagnosed(kind, seed, groups=VIDEOS)
    assert (found.kind, found.collapsed) == (verdict, True)
    assert words.replace(" of 6 axes", f" of {found.true_dimensions} axes") in found.verdict


@pytest.mark.parametrize("seed", SEEDS)
def test_an_axis_cut_at_zero_is_caught(seed):
    """Its corners tell a little more than a line does; either way it is one axis."""
    found = diagnosed("one axis, cut at zero", seed, groups=VIDEOS)
    assert found.kind in ("one axis", "flat")
    assert "happiness" in found.verdict


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("kind", "verdict"), HONEST)
def test_an_honest_model_is_not_accused(kind, verdict, seed):
    found = diagnosed(kind, seed, groups=VIDEOS)
    assert (found.kind, found.collapsed) == (verdict, False), found.verdict
    assert len(found.told) >= 4


@pytest.mark.parametrize("kind", ["one axis", "pure noise", "truth and noise", "regression, R2 = .3"])
def test_where_no_emotion_is_ever_absent_models_are_judged_alike(kind):
    """As on a slider: no intensity is 0."""
    truth = true_states(600) + np.random.default_rng(3).uniform(0.05, 0.2, (600, 6))
    found = diagnose(truth, predictions(kind, truth), EMOTIONS, groups=VIDEOS)
    assert (found.kind, found.collapsed) == (VERDICTS[kind], kind in COLLAPSED)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_linear_regression_on_features_that_tell_is_not_accused(seed):
    truth, random = true_states(1200, seed), np.random.default_rng([seed, 2])
    features = np.concatenate([truth @ random.normal(size=(6, 20)), random.normal(size=(1200, 20))], axis=1)
    features += 2 * random.normal(size=features.shape)
    model = LinearRegression().fit(features[:600], truth[:600])
    found = diagnose(truth[600:], model.predict(features[600:]), EMOTIONS)
    assert not found.collapsed, found.verdict


@pytest.mark.parametrize("kind", ["regression, R2 = .3", "regression, R2 = .15"])
def test_sixty_rows_accuse_nobody(kind):
    kinds = {diagnosed(kind, seed, rows=60).kind for seed in range(8)}
    assert kinds <= {"unclear", "shrunk", "sound"}


def test_numbers_of_each_emotion_are_scipys():
    truth = true_states()
    predicted = predictions("regression, R2 = .3", truth)
    found = diagnose(truth, predicted, EMOTIONS)
    for one, t, p in zip(found.emotions, truth.T, predicted.T, strict=True):
        line = scipy.stats.linregress(p, t)
        assert one.pearson == pytest.approx(line.rvalue)
        assert one.slope == pytest.approx(line.slope)
        assert one.variance_ratio == pytest.approx(np.var(p) / np.var(t))
        assert one.mae == pytest.approx(np.abs(t - p).mean())
    assert found.mse == pytest.approx(np.square(truth - predicted).mean())
    assert [one.slope for one in found.emotions] == pytest.approx([1] * 6, abs=0.2)


def test_a_constant_says_null_where_nothing_is_defined():
    found = diagnosed("train mean")
    said = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert said["effective_rank"] == 0
    assert (said["emotions"][0]["pearson"], said["emotions"][0]["slope"]) == (None, None)
    assert said["emotions"][0]["auc"] == 0.5


def test_an_emotion_too_rare_to_judge_is_neither_told_nor_held_against_the_model():
    truth = true_states()
    truth[:, 5] = 0
    truth[:3, 5] = 2
    found = diagnose(truth, predictions("truth and noise", truth), EMOTIONS)
    assert found.verdict.startswith("covers all five emotions")
    assert found.emotions[5].auc is None


def test_one_intensity_is_one_axis_and_no_collapse():
    truth = true_states()[:, :1]
    found = diagnose(truth, truth + 0.2 * np.random.default_rng(0).normal(size=truth.shape), ("happiness",))
    assert (found.kind, found.dimensions, found.true_dimensions) == ("sound", 1, 1)


def test_the_map_is_looked_at_where_there_is_one():
    found = diagnosed("one axis", transform=lambda states: states[:, :2], map_states=true_states(2000, 9))
    assert found.reach.by_predictions < 0.5 * found.reach.by_truth
    assert diagnosed("one axis").reach is None


def test_a_lower_error_that_hides_a_collapse_is_said():
    truth = true_states()
    found = {
        name: diagnose(truth, predictions(kind, truth), EMOTIONS)
        for name, kind in (
            ("lstm", "one axis"),
            ("knn", "truth and much noise"),
            ("honest", "truth and noise"),
        )
    }
    (sentence,) = compare_verdicts(found)
    maes = [f"{found[name].mae:.3f}".removeprefix("0") for name in ("lstm", "knn")]
    assert f"lstm has a lower MAE ({maes[0]}) than knn ({maes[1]}) but is collapsed" in sentence
    assert "separates happiness from the rest only" in sentence
    assert compare_verdicts({"honest": found["honest"], "lstm": found["lstm"]}) == ()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"predicted": np.zeros((20, 5))}, r"must both be \[n, 6\]"),
        ({"predicted": np.full((20, 6), np.nan)}, "predictions of 20 rows, first row 0, are not finite"),
        ({"groups": np.zeros(19)}, "19 groups for 20 rows"),
        ({"truth": np.zeros((9, 6)), "predicted": np.zeros((9, 6))}, "give at least 10"),
    ],
)
def test_bad_input_is_named(change, message):
    given = {"truth": true_states(20), "predicted": true_states(20, 1), "emotions": EMOTIONS, **change}
    with pytest.raises(InputError, match=message):
        diagnose(given.pop("truth"), given.pop("predicted"), given.pop("emotions"), **given)


def test_a_run_is_diagnosed_from_its_folder(tmp_path):
    truth = true_states(100)
    columns = {name: np.arange(100).astype(str) for name in ("ids", "dialogues", "speakers")}
    columns |= {"splits": np.repeat(["dev", "test"], 50), "folds": np.zeros(100, int)}
    made = Predictions.make(**columns, intensities=truth, predicted_intensities=truth * 0.5)
    made.save(tmp_path / "predictions.npz")
    protocol = {"targets": EMOTIONS, "config": {"resample_by": "dialogue"}}
    (tmp_path / "protocol.json").write_text(json.dumps(protocol))
    found = diagnose_run(tmp_path)
    assert (found.n, found.variance_ratio) == (50, pytest.approx(0.25))
    Predictions.make(**columns, labels=np.zeros(100), probabilities=np.ones((100, 1))).save(
        tmp_path / "predictions.npz"
    )
    with pytest.raises(InputError, match="predicts classes, no intensities"):
        diagnose_run(tmp_path)
