"""The estimator: scikit-learn's conventions, copies, orientation, bytes, files, bad input."""

from unittest import SkipTest

import numpy as np
import pytest
from scipy.linalg import orthogonal_procrustes
from sklearn.decomposition import PCA
from sklearn.utils.estimator_checks import estimator_checks_generator

from mer_jax.emotion_space import affinities as affinities_module
from mer_jax.emotion_space import quality
from mer_jax.emotion_space.parametric_tsne import ParametricTSNE
from mer_jax.errors import InputError
from tests.emotion_space.states import generated_states

SMALL = {"perplexity": 5.0, "hidden": (16,), "max_iter": 60, "random_state": 0, "n_devices": 1}


def small(**changes):
    return ParametricTSNE(**{**SMALL, **changes})


@pytest.fixture(scope="module")
def fitted():
    return small().fit(generated_states(150))


@pytest.mark.slow  # some fifty fits, each of a shape of its own to compile
def test_scikit_learns_checks():
    estimator = small(perplexity=1.5, max_iter=2)
    failed = []
    for instance, check in estimator_checks_generator(estimator):
        try:
            check(instance)
        except SkipTest as reason:  # of other array libraries, off by default
            failed += [] if "SCIPY_ARRAY_API" in str(reason) else [f"{check}: {reason}"]
        except Exception as error:
            failed.append(f"{check}: {type(error).__name__} {error}")
    assert not failed, "\n".join(failed)


def test_a_row_alone_is_placed_as_in_any_batch(fitted):
    rows = generated_states(2500, seed=3)
    whole = fitted.transform(rows)
    assert whole.shape == (2500, 2)
    assert whole.dtype == np.float32
    for number in (0, 1, 1023, 1024, 2499):
        assert (fitted.transform(rows[number : number + 1]) == whole[number]).all()
    assert (fitted.transform(rows[::-1])[::-1] == whole).all()
    assert (fitted.transform(rows[7:1100]) == whole[7:1100]).all()


def test_more_than_ten_layers_are_kept_in_order(tmp_path):
    rows = generated_states(60)
    model = small(hidden=tuple(range(4, 15)), max_iter=2).fit(rows)
    assert [bias.shape[0] for _, bias in model.layers_] == [*range(4, 15), 2]
    model.save(tmp_path / "map.npz")
    assert (ParametricTSNE.load(tmp_path / "map.npz").transform(rows) == model.transform(rows)).all()


def test_the_same_seed_gives_the_same_bytes_and_another_one_does_not(fitted):
    again, other = (small(random_state=seed).fit(generated_states(150)) for seed in (0, 1))
    assert again.embedding_.tobytes() == fitted.embedding_.tobytes()
    assert again.kl_divergence_ == fitted.kl_divergence_
    assert other.embedding_.tobytes() != fitted.embedding_.tobytes()


def test_the_divergence_falls_and_is_that_of_the_map(fitted):
    rows = np.unique(generated_states(150), axis=0)
    start = small(max_iter=1).fit(rows)
    assert fitted.kl_divergence_ < 0.9 * start.kl_divergence_
    wanted = quality.divergence(rows, fitted.transform(rows), 5.0)
    assert fitted.kl_divergence_ == pytest.approx(wanted, rel=1e-4)


def test_merged_copies_change_nothing(fitted):
    rows = generated_states(150)
    more = small().fit(np.concatenate([rows, rows[:40], rows[:40]]))
    assert (more.transform(rows) == fitted.transform(rows)).all()
    assert (more.embedding_[150:190] == more.embedding_[:40]).all()
    assert more.distinct_ == len(np.unique(rows, axis=0)) < 150


def test_weights_count_copies(fitted):
    rows = np.unique(generated_states(150), axis=0)
    once = small(duplicates="weight").fit(rows)
    np.testing.assert_allclose(once.kl_divergence_, small().fit(rows).kl_divergence_, rtol=1e-2)
    heavy = small(duplicates="weight").fit(np.concatenate([rows, np.repeat(rows[:5], 20, axis=0)]))
    assert abs(heavy.kl_divergence_ - once.kl_divergence_) > 0.02


def test_jittered_copies_are_rows_of_their_own_at_one_place():
    rows = np.repeat(generated_states(40), 2, axis=0)
    model = small(duplicates="jitter", max_iter=1).fit(rows)
    assert (model.embedding_[0] == model.embedding_[1]).all()


def test_rows_with_more_copies_than_the_perplexity_are_reported():
    rows = np.concatenate([np.zeros((30, 6), np.float32), generated_states(60)])
    assert small(duplicates="keep", max_iter=1).fit(rows).infeasible_ > 0.25
    assert small(max_iter=1).fit(rows).infeasible_ == 0


def test_a_map_lies_as_its_principal_components_or_as_another(fitted):
    rows = np.unique(generated_states(150), axis=0)
    model = small(random_state=5, align_to=fitted).fit(rows)
    axes = PCA(2).fit(rows).components_
    axes *= np.sign(np.take_along_axis(axes, np.abs(axes).argmax(1)[:, None], 1))
    for places, target in (
        (fitted.transform(rows), rows @ axes.T),
        (model.transform(rows), fitted.transform(rows)),
    ):
        left_to_do, _ = orthogonal_procrustes(places - places.mean(0), target - target.mean(0))
        np.testing.assert_allclose(left_to_do, np.eye(2), atol=1e-3)
        assert np.abs(places.mean(axis=0)).max() < 1e-3 * np.abs(places).max()


def test_edges_are_drawn_beyond_some_thousand_rows(monkeypatch):
    monkeypatch.setattr(affinities_module, "ALL_PAIRS", 60)
    rows = generated_states(150)
    model = small(max_iter=300, batch_size=64, hidden=(32,), learning_rate=1e-2).fit(rows)
    distinct = np.unique(rows, axis=0)
    assert quality.trustworthiness(distinct, model.transform(distinct)) > 0.8
    start = small(max_iter=1, batch_size=64, hidden=(32,)).fit(rows)
    assert model.kl_divergence_ < 0.8 * start.kl_divergence_


def test_batches_of_their_own_affinities():
    rows = generated_states(150)
    model = small(affinities="batch", batch_size=64, max_iter=150).fit(rows)
    distinct = np.unique(rows, axis=0)
    assert quality.trustworthiness(distinct, model.transform(distinct)) > 0.75


def test_held_out_rows_choose_the_parameters():
    model = small(early_stopping=True, validation_fraction=0.3, max_iter=400, n_iter_no_change=2).fit(
        generated_states(200)
    )
    best = int(np.argmax(model.held_out_))
    assert len(model.held_out_) == model.n_iter_ / 50
    assert len(model.held_out_) - 1 - best <= 2


def test_any_number_of_devices_gives_the_same_map():
    rows = generated_states(60)
    one, four = (small(max_iter=10, n_devices=n).fit(rows) for n in (1, 4))
    np.testing.assert_allclose(four.embedding_, one.embedding_, atol=2e-3 * np.abs(one.embedding_).max())


def test_saved_and_loaded(fitted, tmp_path):
    fitted.save(tmp_path / "map.npz")
    loaded = ParametricTSNE.load(tmp_path / "map.npz")
    rows = generated_states(30, seed=9)
    assert (loaded.transform(rows) == fitted.transform(rows)).all()
    assert loaded.get_params()["hidden"] == (16,)
    assert loaded.kl_divergence_ == fitted.kl_divergence_
    loaded.save(tmp_path / "again.npz")
    assert (tmp_path / "again.npz").read_bytes() == (tmp_path / "map.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes((tmp_path / "map.npz").read_bytes()[:500])
    with pytest.raises(InputError, match=r"cut\.npz is damaged"):
        ParametricTSNE.load(tmp_path / "cut.npz")


def test_noise_places_rows_between_the_observed_and_smooths_paths():
    rows, steep = np.unique(generated_states(300), axis=0), {"hidden": (64, 64), "learning_rate": 0.03}
    noisy = {"noise": 0.4, "noise_in_affinities": 0.3}
    maps = [small(max_iter=400, **steep, **more).fit(rows) for more in ({}, noisy)]
    near = quality.between(rows, noise=0.15, low=0.0, high=3.0)
    kept = [quality.trustworthiness(near, model.transform(near)) for model in maps]
    steps = [np.median(quality.longest_steps(model.transform, rows, paths=500)) for model in maps]
    assert kept[1] > kept[0] + 0.01
    assert steps[1] < 0.95 * steps[0]


def test_the_unit_of_the_rows_does_not_matter():
    rows = np.unique(generated_states(200), axis=0)
    wanted, found = (
        small(noise=0.4 * factor, noise_in_affinities=0.5).fit(factor * rows).embedding_ for factor in (1, 32)
    )
    np.testing.assert_allclose(found, wanted, atol=1e-3 * np.abs(wanted).max())


def test_constant_columns_carry_nothing():
    rows = np.concatenate([generated_states(80), np.full((80, 1), 7, np.float32)], axis=1)
    model = small(max_iter=5).fit(rows)
    changed = rows.copy()
    changed[:, 6] = 100
    assert (model.transform(changed) == model.transform(rows)).all()
    assert np.isfinite(model.embedding_).all()


@pytest.mark.parametrize(
    ("rows", "changes", "words"),
    [
        (np.ones((9, 6)), {}, r"1 distinct rows among 9; a map needs at least 3"),
        (np.ones((1, 6)), {}, r"1 sample; a map of neighbours needs more"),
        (generated_states(30), {"perplexity": 40}, r"perplexity=40 does not fit \d+ rows \(30 given"),
        (generated_states(30), {"perplexity": 0.5}, r"perplexity=0.5 does not fit"),
        (generated_states(30), {"duplicates": "drop"}, r"duplicates='drop' is unknown; "),
        (generated_states(30), {"n_components": 4}, r"n_components=4 must be a number from 1 to 3"),
        (generated_states(30), {"noise_in_affinities": 2}, r"noise_in_affinities=2 must be a number from 0 to 1"),
        (generated_states(30), {"n_devices": 99}, r"n_devices=99 must be 1 to 4"),
        (generated_states(30), {"hidden": ()}, r"hidden=\(\) must name the width"),
        (generated_states(30), {"learning_rate": 0.0}, r"learning_rate=0.0 must be .* or 'auto'"),
        (generated_states(30), {"early_stopping": True}, r"holds out \d of \d+ rows"),
        (generated_states(99), {"affinities": "batch", "batch_size": 5}, r"does not fit batches of 5 rows"),
    ],
)  # fmt: skip
def test_bad_input_is_named(rows, changes, words):
    with pytest.raises(InputError, match=words):
        small(**changes).fit(rows)


def test_rows_that_are_not_finite_are_numbered(fitted):
    rows = generated_states(30)
    rows[[3, 17], 2] = np.nan
    with pytest.raises(InputError, match=r"NaN or inf in 2 of 30 rows \(numbers 3, 17\)"):
        small().fit(rows)
    with pytest.raises(InputError, match=r"numbers 3, 17"):
        fitted.transform(rows)
