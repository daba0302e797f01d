"""CCA against scikit-learn's NIPALS and against the covariance form solved by scipy's eigh, both float64."""

import jax
import numpy as np
import pytest
import scipy.linalg
from sklearn.cross_decomposition import CCA as ReferenceCCA

from mer_jax.errors import InputError
from mer_jax.robustness.cca import CCA, fit_cca


def views(samples=400, dx=6, dy=4, seed=0):
    random = np.random.default_rng(seed)
    shared = random.normal(size=(samples, 3))
    x = shared @ random.normal(size=(3, dx)) + np.linspace(0.3, 2, dx) * random.normal(size=(samples, dx))
    y = shared @ random.normal(size=(3, dy)) + np.linspace(0.5, 3, dy) * random.normal(size=(samples, dy))
    return (3 * x + 5).astype(np.float32), (0.1 * y - 2).astype(np.float32)


def by_covariances(x, y, ridge, dims):
    """(Cxx + r)^-1 Cxy (Cyy + r)^-1 Cyx u = rho^2 u on standardised columns, u'(Cxx + r)u = 1."""
    x, y = ((v - v.mean(0)) / v.std(0, ddof=1) for v in (x.astype(float), y.astype(float)))
    free = len(x) - 1
    cxx, cyy, cxy = x.T @ x / free, y.T @ y / free, x.T @ y / free
    cxx, cyy = cxx + ridge * np.eye(len(cxx)), cyy + ridge * np.eye(len(cyy))
    squares, u = scipy.linalg.eigh(cxy @ np.linalg.solve(cyy, cxy.T), cxx)
    rho, u = np.sqrt(np.maximum(squares[::-1][:dims], 0)), u[:, ::-1][:, :dims]
    return rho, x @ u, y @ (np.linalg.solve(cyy, cxy.T @ u) / rho)


def same_up_to_sign(found, expected, atol):
    found, expected = np.asarray(found), np.asarray(expected)
    np.testing.assert_allclose(found * np.sign((found * expected).sum(0)), expected, atol=atol)


@pytest.mark.parametrize("ridge", [0.0, 0.01, 1.0])
def test_correlations_and_projections_equal_the_covariance_form(ridge):
    x, y = views()
    cca = fit_cca(x, y, dims=4, ridge=ridge)
    rho, u, v = by_covariances(x, y, ridge, 4)
    np.testing.assert_allclose(cca.correlations, rho, atol=1e-5)
    same_up_to_sign(cca.project_x(x), u, 1e-5)
    same_up_to_sign(cca.project_y(y), v, 1e-5)


def test_without_a_ridge_it_equals_scikit_learn():
    x, y = views()
    cca = fit_cca(x, y)
    reference = ReferenceCCA(4, tol=1e-14, max_iter=100_000).fit(x.astype(float), y.astype(float))
    u, v = (s / s.std(0, ddof=1) for s in reference.transform(x.astype(float), y.astype(float)))
    rho = [np.corrcoef(u[:, k], v[:, k])[0, 1] for k in range(4)]
    np.testing.assert_allclose(cca.correlations, rho, atol=1e-5)
    same_up_to_sign(cca.project_x(x), u, 1e-5)
    same_up_to_sign(cca.project_y(y), v, 1e-5)


def test_projection_works_inside_jit_and_on_sequences():
    x, y = views()
    cca = fit_cca(x, y, dims=2)
    assert all(np.asarray(leaf).dtype == np.float32 for leaf in jax.tree.leaves(cca))
    jitted = jax.jit(lambda fitted, values: fitted.project_x(values))(cca, x.reshape(20, 20, -1))
    np.testing.assert_allclose(jitted.reshape(400, 2), cca.project_x(x), atol=1e-5)


def test_copies_and_constants_change_nothing():
    """A view with a column twice, a mixture of others and two constants has the same coordinates."""
    x, y = views()
    more = np.column_stack([x, x[:, 0], x @ np.ones(6, np.float32), np.full(400, 7.1), np.zeros(400)])
    plain, padded = fit_cca(x, y), fit_cca(more.astype(np.float32), y)
    np.testing.assert_allclose(padded.correlations, plain.correlations, atol=1e-5)
    same_up_to_sign(padded.project_x(more.astype(np.float32)), plain.project_x(x), 2e-5)
    assert not np.asarray(padded.weights_x)[-2:].any()


def test_no_more_coordinates_than_the_lower_rank_or_than_asked_for():
    x, y = views()
    rank_two = (y[:, :2] @ np.array([[1, 2, 3], [0, 1, -1]])).astype(np.float32)
    assert fit_cca(x, rank_two).correlations.shape == (2,)
    assert fit_cca(x, y, dims=3).correlations.shape == (3,)


def test_more_columns_than_samples_need_a_ridge_to_say_something():
    x, y = views(samples=30, dx=80, dy=50)
    other, _ = views(samples=30, dx=80, dy=50, seed=9)
    assert fit_cca(other, y).correlations[0] == pytest.approx(1, abs=1e-6)
    assert fit_cca(x, y).correlations.shape == (29,)
    shrunk = fit_cca(x, y, ridge=1.0)
    rho, u, _ = by_covariances(x, y, 1.0, 3)
    np.testing.assert_allclose(shrunk.correlations[:3], rho, atol=1e-5)
    same_up_to_sign(np.asarray(shrunk.project_x(x))[:, :3], u, 1e-4)


def test_the_sign_of_a_direction_is_settled():
    x, y = views()
    weights = np.asarray(fit_cca(x, y).weights_x)
    assert (weights[np.abs(weights).argmax(0), np.arange(4)] > 0).all()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda x, y: (x[:-1], y), "399 and 400 samples"),
        (lambda x, y: (np.where(x > 12, np.nan, x), y), "first view is not finite"),
        (lambda x, y: (x, np.ones_like(y)), "no column of the second view varies"),
    ],
)
def test_views_that_cannot_be_compared_are_refused(change, said):
    with pytest.raises(InputError, match=said):
        fit_cca(*change(*views()))


@pytest.mark.parametrize("wrong", [{"dims": 0}, {"ridge": -1.0}, {"ridge": float("nan")}])
def test_options_out_of_range_are_refused(wrong):
    with pytest.raises(InputError, match="give dims >= 1 and a finite ridge"):
        fit_cca(*views(), **wrong)


def test_what_is_saved_is_what_is_loaded(tmp_path):
    cca = fit_cca(*views(), ridge=0.1)
    for name in ("one.npz", "two.npz"):
        cca.save(tmp_path / name)
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()
    jax.tree.map(np.testing.assert_array_equal, CCA.load(tmp_path / "one.npz"), cca)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["one.npz", "two.npz"]


def test_damaged_missing_and_foreign_files_give_one_line(tmp_path):
    path = tmp_path / "cca.npz"
    with pytest.raises(InputError, match="does not exist"):
        CCA.load(path)
    fit_cca(*views()).save(path)
    whole = path.read_bytes()
    for content in (whole[:-30], b"", whole[:40] + b"\0" * 40 + whole[80:]):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"is damaged.*fit the .* again") as caught:
            CCA.load(path)
        assert "\n" not in str(caught.value)
    np.savez(path, kind=np.array("proxies 1"))
    with pytest.raises(InputError, match="holds 'proxies 1'"):
        CCA.load(path)
