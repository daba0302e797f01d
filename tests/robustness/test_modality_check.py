"""Verdicts against the rule written out with scipy.stats.pearsonr, and against what was planted."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from sklearn.metrics import roc_auc_score

from mer_jax.data.examples import ExampleSet
from mer_jax.errors import InputError
from mer_jax.robustness.corruption import Corruption, corrupt
from mer_jax.robustness.modality_check import CheckConfig, ModalityCheck, sample_correlation
from mer_jax.robustness.regeneration import ineffective, without
from mer_jax.robustness.vectors import (
    TrainingExamples,
    availability,
    example_vectors,
    resample,
)
from tests.robustness.planted import fold_of, ids_of, part, shared_factors, training

PRINTED = CheckConfig(weighted=False, ridge=0.0, folds=1, steps=4)


@pytest.fixture(scope="module")
def examples():
    return shared_factors(samples=200)


@pytest.fixture(scope="module")
def train(examples):
    return training(part(examples, np.arange(120)))


@pytest.fixture(scope="module")
def noisy(examples):
    held_out = part(examples, np.arange(120, 200))
    return corrupt(held_out, ids_of(held_out), Corruption("noise", ("a", "b", "c"), share=0.5, snr_db=-5.0))


def rho_of(check, examples):
    """[samples, modalities, modalities] by scipy, sample by sample."""
    vectors = example_vectors(examples, check.steps)
    out = np.zeros((len(examples), 3, 3))
    for (i, j), cca in zip(check.pairs, check.ccas, strict=True):
        for n in range(len(examples)):
            x = np.asarray(cca.project_x(vectors[check.modalities[i]][n])).ravel()
            y = np.asarray(cca.project_y(vectors[check.modalities[j]][n])).ravel()
            out[n, i, j] = out[n, j, i] = scipy.stats.pearsonr(x, y)[0]
    return out


@pytest.mark.parametrize("rule", ["all", "any"])
def test_the_printed_rule(train, noisy, rule):
    check = ModalityCheck.fit(train, dataclasses.replace(PRINTED, rule=rule))
    vectors = example_vectors(noisy.examples, check.steps)
    verdicts = check(vectors, availability(noisy.examples))
    rho = rho_of(check, noisy.examples)
    np.testing.assert_allclose(verdicts.rho, rho, atol=1e-4)
    low = rho < check.tau[None]
    others = ~np.eye(3, dtype=bool)
    judge = np.all if rule == "all" else np.any
    expected = np.array([[judge(low[n, i, others[i]]) for i in range(3)] for n in range(len(rho))])
    np.testing.assert_array_equal(verdicts.ineffective, expected)
    np.testing.assert_array_equal(np.asarray(verdicts.score) > 0, expected)


def test_any_rejects_the_good_ones_with_the_bad_one(train, noisy):
    found = {
        r: ineffective(ModalityCheck.fit(train, CheckConfig(rule=r)), noisy.examples)[0]
        for r in ("all", "any")
    }
    bad = noisy.where.any(axis=1)
    assert found["any"][bad].all(axis=1).mean() > 0.9
    assert found["all"][bad].all(axis=1).mean() < 0.1
    assert (found["any"] >= found["all"]).all()


@pytest.mark.parametrize("weighted", [True, False])
def test_the_detector_finds_the_known_corruption(train, noisy, weighted):
    check = ModalityCheck.fit(train, CheckConfig(weighted=weighted))
    verdicts, scores = ineffective(check, noisy.examples)
    for k in range(3):
        assert roc_auc_score(noisy.where[:, k], scores[:, k]) > 0.97
    assert (verdicts == noisy.where).mean() > 0.93


def test_tau_is_the_quantile_of_train_or_given(train):
    check = ModalityCheck.fit(train, dataclasses.replace(PRINTED, quantile=0.2))
    rho = rho_of(check, train.examples)
    for i, j in check.pairs:
        assert check.tau[i, j] == check.tau[j, i] == pytest.approx(np.quantile(rho[:, i, j], 0.2), abs=1e-4)
    assert np.isnan(np.diag(check.tau)).all()
    given = ModalityCheck.fit(train, CheckConfig(tau=0.3))
    assert [given.tau[i, j] for i, j in given.pairs] == pytest.approx([0.3] * 3)


def test_cross_fitted_tau_holds_on_new_samples_where_many_features_overfit():
    """With nearly as many features as samples CCA flatters the samples it was fitted on."""
    examples = shared_factors(samples=400, steps=3, noise=1.5, dims=(30, 30, 30))
    train, new = training(part(examples, np.arange(60))), part(examples, np.arange(60, 400))
    shares = {}
    for folds in (1, 5):
        config = CheckConfig(folds=folds, quantile=0.2, ridge=1e-4, weighted=False, steps=1)
        check = ModalityCheck.fit(train, config)
        rho = np.asarray(check(example_vectors(new, check.steps), availability(new)).rho)
        shares[folds] = np.mean([(rho[:, i, j] < check.tau[i, j]).mean() for i, j in check.pairs])
    assert shares[1] > 0.6
    assert shares[5] == pytest.approx(0.2, abs=0.1)


def test_weighted_correlation_equals_numpy():
    random = np.random.default_rng(0)
    x, y = random.normal(size=(2, 5, 3, 4)).astype(np.float32)
    weights = np.array([0.9, 0.5, 0.2, 0.0], np.float32)
    found = sample_correlation(jnp.asarray(x), jnp.asarray(y), jnp.asarray(weights))
    for n in range(5):
        c = np.cov(x[n].ravel(), y[n].ravel(), aweights=np.tile(weights, 3))
        assert found[n] == pytest.approx(c[0, 1] / np.sqrt(c[0, 0] * c[1, 1]), abs=1e-5)
    flat = sample_correlation(jnp.ones((1, 3, 4)), jnp.asarray(y[:1]), jnp.asarray(weights))
    assert flat.tolist() == [0.0]


# Missing modalities --------------------------------------------------------------------------


def test_a_missing_modality_is_ineffective_and_judges_nobody(train, noisy):
    check = ModalityCheck.fit(train)
    gone = np.zeros_like(noisy.where)
    gone[:, 1] = True
    verdicts, scores = ineffective(check, without(noisy.examples, gone))
    assert verdicts[:, 1].all()
    assert (scores[:, 1] == 2).all()
    full = check(example_vectors(noisy.examples, check.steps), availability(noisy.examples))
    alone = np.asarray(full.rho)[:, 0, 2] < check.tau[0, 2]
    np.testing.assert_array_equal(verdicts[:, 0], alone)
    np.testing.assert_array_equal(verdicts[:, 2], alone)


def test_what_nothing_can_judge_stands(train, noisy):
    gone = np.ones_like(noisy.where)
    gone[:, 2] = False
    verdicts, scores = ineffective(ModalityCheck.fit(train), without(noisy.examples, gone))
    assert not verdicts[:, 2].any()
    assert (scores[:, 2] == -2).all()
    assert verdicts[:, :2].all()


def test_a_modality_that_train_lacks_is_never_judged(examples):
    without_b = np.zeros((120, 3), bool)
    without_b[:, 1] = True
    check = ModalityCheck.fit(training(without(part(examples, np.arange(120)), without_b)))
    assert check.pairs == ((0, 2),)
    verdicts, scores = ineffective(check, part(examples, np.arange(120, 200)))
    assert not verdicts[:, 1].any()
    assert (scores[:, 1] == -2).all()


@pytest.mark.parametrize("count", [2, 4, 5])
def test_any_number_of_modalities(count):
    names = tuple("abcde"[:count])
    examples = shared_factors(samples=160, dims=(4,) * count, names=names, missing=0.1)
    check = ModalityCheck.fit(training(part(examples, np.arange(100))))
    assert len(check.pairs) == count * (count - 1) // 2
    new = part(examples, np.arange(100, 160))
    verdicts, _ = ineffective(check, new)
    assert verdicts.shape == (60, count)
    assert verdicts[~availability(new)].all()
    assert verdicts[availability(new)].mean() < 0.15


# On sequences and batches --------------------------------------------------------------------


def test_resampling_is_interpolation_at_the_centres_of_stretches():
    frames = np.random.default_rng(0).normal(size=(7, 2)).astype(np.float32)
    np.testing.assert_array_equal(resample(frames, 7), frames)
    for steps in (1, 3, 16):
        place = (np.arange(steps) + 0.5) * 7 / steps - 0.5
        expected = np.stack([np.interp(place, np.arange(7), x) for x in frames.T], axis=1)
        np.testing.assert_allclose(resample(frames, steps), expected, atol=1e-6)
    assert resample(frames[:0], 4).tolist() == np.zeros((4, 2)).tolist()


def test_utterances_of_one_vector_have_one_step():
    examples = shared_factors(samples=100, dims=(9, 8, 7))
    single = {m: [x[:1] for x in xs] for m, xs in examples.features.items()}
    check = ModalityCheck.fit(training(dataclasses.replace(examples, features=single)))
    assert check.steps == 1
    assert all(len(cca.correlations) >= 7 for cca in check.ccas)


def spoken_by(speakers, samples):
    """Examples of people whose own offsets, which mean nothing, are most of what they show."""
    maps = np.random.default_rng(12)
    shown = {name: maps.normal(size=(3, 5)) for name in ("a", "b")}
    owners = np.tile(speakers, samples)
    features = {name: [] for name in shown}
    for number, owner in enumerate(owners):
        factors = np.random.default_rng([number, owner]).normal(size=(6, 3))
        for place, (name, expressed) in enumerate(shown.items()):
            own = 5 * np.random.default_rng([owner, place]).normal(size=5)
            features[name].append((factors @ expressed + own).astype(np.float32))
    rows = [np.array([i]) for i in range(len(owners))]
    return ExampleSet(features, rows, None, "utterance"), owners


def test_tau_is_calibrated_on_people_that_cca_has_not_met():
    """With their own speakers in every part, train's correlations promise what no new speaker keeps."""
    known, owners = spoken_by(np.arange(8), 40)
    new, _ = spoken_by(np.arange(50, 90), 10)
    rejected = {}
    for name, groups in (("alike", None), ("speakers", owners)):
        check = ModalityCheck.fit(training(known), CheckConfig(quantile=0.05, folds=8), groups)
        rejected[name] = ineffective(check, new)[0].mean()
    assert rejected["alike"] > 0.3
    assert rejected["speakers"] < 0.15


# Files and errors ----------------------------------------------------------------------------


def test_what_is_saved_gives_the_same_verdicts(tmp_path, train, noisy):
    check = ModalityCheck.fit(train, CheckConfig(rule="any", tau=0.2))
    check.save(tmp_path / "check.npz")
    loaded = ModalityCheck.load(tmp_path / "check.npz")
    assert loaded.config == check.config
    np.testing.assert_array_equal(loaded.rows, np.arange(120))
    for a, b in zip(ineffective(loaded, noisy.examples), ineffective(check, noisy.examples), strict=True):
        np.testing.assert_array_equal(a, b)
    (tmp_path / "check.npz").write_bytes(b"PK")
    with pytest.raises(InputError, match="is damaged"):
        ModalityCheck.load(tmp_path / "check.npz")


def test_only_training_examples_can_be_fitted_on(examples, train):
    with pytest.raises(InputError, match=r"1 utterances, first row 120, are not in train of fold 'made'"):
        TrainingExamples(part(examples, np.arange(121)), fold_of(np.arange(120), 200))
    np.testing.assert_array_equal(ModalityCheck.fit(train).rows, np.arange(120))
    with pytest.raises(TypeError, match="parameter 'train'"):
        ModalityCheck.fit(part(examples, np.arange(120)))


def test_what_has_no_vectors_to_compare_is_refused(examples):
    with pytest.raises(InputError, match=r"use data\.unit='utterance'"):
        training(dataclasses.replace(examples, unit="dialogue"))
    words = {**examples.features, "words": [np.array([["hi"]])] * len(examples)}
    with pytest.raises(InputError, match="'words' has no feature vectors"):
        training(dataclasses.replace(examples, features=words))
    broken = {**examples.features, "a": [x * np.float32(np.nan) for x in examples.features["a"]]}
    with pytest.raises(InputError, match="'a' of 200 examples, first number 0, is not finite"):
        training(dataclasses.replace(examples, features=broken))


def test_too_few_samples_in_common_are_refused(examples):
    with pytest.raises(InputError, match="no two of a, b, c have 20 train samples in common"):
        ModalityCheck.fit(training(part(examples, np.arange(15))))


def test_other_modalities_than_fitted_on_are_refused(examples, train):
    check = ModalityCheck.fit(train)
    renamed = dataclasses.replace(examples, features={f"{m}2": x for m, x in examples.features.items()})
    with pytest.raises(InputError, match="fitted on a, b, c, given a2, b2, c2"):
        ineffective(check, renamed)
    with pytest.raises(InputError, match="no vectors of 'a'"):
        check({}, np.ones((1, 3), bool))


@pytest.mark.parametrize(
    "wrong", [{"tau": 1.5}, {"quantile": -0.1}, {"folds": 0}, {"folds": 21}, {"dims": 0}, {"steps": 0}]
)
def test_options_out_of_range_are_refused(wrong):
    with pytest.raises(InputError, match=f"modality check: {next(iter(wrong))}="):
        CheckConfig(**wrong)
