"""Proxies against ridge regression among the nearest neighbours, by scikit-learn in float64."""

import dataclasses

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.neighbors import NearestNeighbors

from mer_jax.errors import InputError
from mer_jax.robustness import local_ridge
from mer_jax.robustness.proxy import Proxies, ProxyConfig
from mer_jax.robustness.regeneration import regenerate, regeneration_errors, without
from mer_jax.robustness.vectors import availability
from tests.robustness.planted import part, shared_factors, training

NAMES = ("a", "b", "c")


@pytest.fixture(scope="module")
def examples():
    return shared_factors(samples=200)


@pytest.fixture(scope="module")
def train(examples):
    return training(part(examples, np.arange(120)))


def frames(examples, name):
    return np.concatenate(examples.features[name])


def by_scikit_learn(train, sources, target, queries, neighbours, ridge):
    """Ridge without intercept on the standard scores of the K nearest; penalty ridge * mean |v|^2."""
    stacks = {m: frames(train, m).astype(float) for m in (*sources, target)}
    mean, sd = ({m: f(x) for m, x in stacks.items()} for f in (lambda x: x.mean(0), lambda x: x.std(0)))
    v = np.hstack([(stacks[m] - mean[m]) / sd[m] for m in sources])
    f = np.hstack([(queries[m] - mean[m]) / sd[m] for m in sources])
    w = (stacks[target] - mean[target]) / sd[target]
    nearest = NearestNeighbors(n_neighbors=neighbours).fit(v).kneighbors(f, return_distance=False)
    out = []
    for query, places in zip(f, nearest, strict=True):
        penalty = ridge * np.mean(np.sum(v[places] ** 2, axis=1))
        fitted = Ridge(penalty, fit_intercept=False, solver="cholesky").fit(v[places], w[places])
        out.append(fitted.predict(query[None])[0] * sd[target] + mean[target])
    return np.array(out)


@pytest.mark.parametrize(("neighbours", "ridge"), [(1, 0.1), (10, 0.01), (60, 0.03), (200, 1.0)])
def test_joint_proxies_equal_local_ridge_regression(train, examples, neighbours, ridge):
    proxies = Proxies.fit(train, ProxyConfig(neighbours, ridge))
    queries = {m: frames(part(examples, np.arange(120, 200)), m)[:150] for m in NAMES}
    found, there = proxies("b", queries, np.array([[True, False, True]] * 150))
    expected = by_scikit_learn(train.examples, ("a", "c"), "b", queries, neighbours, ridge)
    assert there.all()
    np.testing.assert_allclose(found, expected, atol=2e-3)


def test_the_mean_of_sources_as_printed(train, examples):
    proxies = Proxies.fit(train, ProxyConfig(40, 0.02, combine="mean"))
    queries = {m: frames(examples, m)[-50:] for m in NAMES}
    found, _ = proxies("a", queries, np.array([[False, True, True]] * 50))
    each = [by_scikit_learn(train.examples, (m,), "a", queries, 40, 0.02) for m in ("b", "c")]
    np.testing.assert_allclose(found, np.mean(each, axis=0), atol=2e-3)


@pytest.mark.parametrize("combine", ["joint", "mean"])
def test_only_effective_sources_count(train, examples, combine):
    proxies = Proxies.fit(train, ProxyConfig(30, 0.02, combine=combine))
    queries = {m: frames(examples, m)[-40:] for m in NAMES}
    found, there = proxies("c", {**queries, "a": queries["a"] * 1e6}, np.array([[False, True, True]] * 40))
    np.testing.assert_allclose(
        found, by_scikit_learn(train.examples, ("b",), "c", queries, 30, 0.02), atol=2e-3
    )
    assert there.all()
    _, there = proxies("c", queries, np.array([[False, False, True]] * 40))
    assert not there.any(), "a modality is no source of itself"


def test_a_training_point_is_regenerated_from_itself_alone(train):
    proxies = Proxies.fit(train, ProxyConfig(1, 1e-6))
    queries = {m: frames(train.examples, m)[:20] for m in NAMES}
    found, _ = proxies("a", queries, np.array([[False, True, True]] * 20))
    np.testing.assert_allclose(found, queries["a"], atol=1e-3)


def test_chunks_change_nothing(train, examples, monkeypatch):
    proxies = Proxies.fit(train, ProxyConfig(20))
    queries = {m: frames(examples, m)[:200] for m in NAMES}
    effective = np.random.default_rng(0).random((200, 3)) < 0.6
    whole = proxies("a", queries, effective)
    monkeypatch.setattr(local_ridge, "CHUNK", 7)
    for a, b in zip(whole, proxies("a", queries, effective), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4)
    nothing, there = proxies("a", {m: x[:0] for m, x in queries.items()}, effective[:0])
    assert nothing.shape == (0, 5)
    assert there.shape == (0,)


# The basis -----------------------------------------------------------------------------------


def test_the_basis_holds_training_points_only(train, examples):
    proxies = Proxies.fit(train)
    np.testing.assert_array_equal(proxies.rows, np.arange(120))
    seen = {row.tobytes() for m in NAMES for x in train.examples.features[m] for row in x}
    for target, basis in proxies.bases.items():
        for name, scores in basis.vectors.items():
            raw = scores * proxies.sd[name] + proxies.mean[name]
            for row, owner in zip(raw, basis.rows, strict=True):
                own = examples.features[name][owner]
                assert np.abs(own - row).max(axis=1).min() < 1e-5, (target, name)
    new = {row.tobytes() for m in NAMES for x in examples.features[m][120:] for row in x}
    assert not seen & new
    with pytest.raises(TypeError, match="parameter 'train'"):
        Proxies.fit(examples)


def test_a_basis_may_be_drawn_and_the_draw_depends_on_the_seed(train):
    one, same, other = (Proxies.fit(train, ProxyConfig(points=50, seed=s)).bases["a"] for s in (0, 0, 1))
    assert one.rows.shape == (50,)
    np.testing.assert_array_equal(one.vectors["b"], same.vectors["b"])
    assert not np.array_equal(one.rows, other.rows)


def test_rejected_training_samples_stay_out_of_the_basis(train):
    effective = np.ones((120, 3), bool)
    effective[:30, 0] = effective[30:60, 1] = False
    proxies = Proxies.fit(train, effective=effective)
    assert proxies.bases["a"].rows.min() == 30
    basis = proxies.bases["c"]
    np.testing.assert_array_equal(basis.available[:, 0], basis.rows >= 30)
    assert not basis.vectors["b"][(basis.rows >= 30) & (basis.rows < 60)].any()


# Examples ------------------------------------------------------------------------------------


def test_missing_and_rejected_modalities_are_regenerated_in_place(train, examples):
    clean = part(examples, np.arange(120, 200))
    gone, rejected = np.zeros((80, 3), bool), np.zeros((80, 3), bool)
    gone[:20, 1] = True
    rejected[20:40, 0] = True
    proxies = Proxies.fit(train)
    made, done = regenerate(proxies, without(clean, gone), rejected)
    np.testing.assert_array_equal(done, gone | rejected)
    assert availability(made).all()
    for k, name in enumerate(NAMES):
        for i in range(80):
            assert made.features[name][i].shape == clean.features[name][i].shape
            assert np.array_equal(made.features[name][i], clean.features[name][i]) != done[i, k]
    errors = regeneration_errors(clean, clean, made, done)
    assert errors["a"].proxy < 0.35
    assert errors["b"].proxy < 0.35
    assert errors["a"].corrupted == 0
    assert (errors["a"].samples, errors["b"].samples, errors["all"].samples) == (20, 20, 40)
    assert set(errors) == {"a", "b", "all"}
    both = np.concatenate([frames(part(s, np.r_[20:40]), "a").ravel() for s in (clean, made)]).reshape(2, -1)
    assert errors["a"].proxy == pytest.approx(
        np.linalg.norm(both[1] - both[0]) / np.linalg.norm(both[0]), rel=1e-5
    )


def test_a_source_on_another_clock_is_brought_to_the_targets(train, examples):
    """Every frame of a source twice: its proxies are about those of the frames once."""
    clean = part(examples, np.arange(120, 200))
    slow = dataclasses.replace(
        clean, features={**clean.features, "b": [np.repeat(x, 2, axis=0) for x in clean.features["b"]]}
    )
    rejected = np.zeros((80, 3), bool)
    rejected[:, 0] = True
    proxies = Proxies.fit(train)
    for a, b in zip(*(regenerate(proxies, x, rejected)[0].features["a"] for x in (clean, slow)), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-3)


def test_without_an_effective_source_nothing_is_touched(train, examples):
    clean = part(examples, np.arange(120, 200))
    made, done = regenerate(Proxies.fit(train), clean, np.ones((80, 3), bool))
    assert not done.any()
    for name in NAMES:
        assert all(a is b for a, b in zip(made.features[name], clean.features[name], strict=True))


def test_a_modality_that_train_never_has_with_another_is_no_source(examples):
    """As MMMO, whose train has no text: text can't be regenerated, nor can it help."""
    gone = np.zeros((120, 3), bool)
    gone[:, 1] = True
    proxies = Proxies.fit(training(without(part(examples, np.arange(120)), gone)))
    clean = part(examples, np.arange(120, 200))
    rejected = np.zeros((80, 3), bool)
    rejected[:40, 0] = True
    rejected[40:, 1] = True
    made, done = regenerate(proxies, clean, rejected)
    np.testing.assert_array_equal(done[:, 0], rejected[:, 0])
    assert not done[:, 1].any()
    assert regeneration_errors(clean, clean, made, done)["a"].proxy < 0.4


def test_lengths_that_differ_have_no_error(examples):
    clean = part(examples, np.arange(10))
    where = np.zeros((10, 3), bool)
    where[4, 2] = True
    with pytest.raises(InputError, match="'c' of example 4 has"):
        regeneration_errors(clean, without(clean, where), clean, where)


# Files and errors ----------------------------------------------------------------------------


def test_what_is_saved_makes_the_same_proxies(tmp_path, train, examples):
    proxies = Proxies.fit(train, ProxyConfig(15, 0.2, "mean", points=100))
    proxies.save(tmp_path / "proxies.npz")
    loaded = Proxies.load(tmp_path / "proxies.npz")
    assert loaded.config == proxies.config
    queries = {m: frames(examples, m)[-30:] for m in NAMES}
    effective = np.ones((30, 3), bool)
    for a, b in zip(proxies("c", queries, effective), loaded("c", queries, effective), strict=True):
        np.testing.assert_array_equal(a, b)
    content = (tmp_path / "proxies.npz").read_bytes()
    (tmp_path / "proxies.npz").write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=r"is damaged.*fit the proxies 1 on train again"):
        Proxies.load(tmp_path / "proxies.npz")


@pytest.mark.parametrize("wrong", [{"neighbours": 0}, {"points": 0}, {"ridge": 0.0}, {"ridge": float("inf")}])
def test_options_out_of_range_are_refused(wrong):
    with pytest.raises(InputError, match=f"proxies: {next(iter(wrong))}="):
        ProxyConfig(**wrong)


def test_an_unknown_target_is_named(train):
    with pytest.raises(InputError, match="no modality 'd'"):
        Proxies.fit(train)("d", {}, np.ones((1, 3), bool))
