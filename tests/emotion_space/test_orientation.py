"""Orientation beside scikit-learn's principal components and scipy's Procrustes rotation."""

import numpy as np
import pytest
from scipy.linalg import orthogonal_procrustes
from scipy.stats import ortho_group
from sklearn.decomposition import PCA

from mer_jax.emotion_space.orientation import principal_scores, rotation_onto


@pytest.mark.parametrize("seed", range(4))
def test_axes_point_where_their_largest_loading_is_positive(seed):
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(60, 5)) @ np.diag([4, 3, 1, 1, 1]) @ ortho_group.rvs(5, random_state=seed)
    pca = PCA(2).fit(rows)
    for flipped in (rows, -rows):
        found = principal_scores(flipped, 2)
        loadings = np.linalg.lstsq(flipped - flipped.mean(0), found, rcond=None)[0].T
        np.testing.assert_allclose(np.abs(loadings), np.abs(pca.components_), atol=1e-8)
        assert (loadings[np.arange(2), np.abs(loadings).argmax(1)] > 0).all()


def test_one_feature_leaves_the_second_axis_empty():
    found = principal_scores(np.arange(5.0)[:, None], 2)
    np.testing.assert_allclose(found, np.stack([np.arange(5) - 2.0, np.zeros(5)], 1))


def test_rotation_is_scipys_and_undoes_a_reflection():
    rng = np.random.default_rng(0)
    target = rng.normal(size=(40, 2)) + 5
    turned = (target - 3) @ np.array([[0.6, 0.8], [0.8, -0.6]])
    found = rotation_onto(turned, target)
    wanted, _ = orthogonal_procrustes(turned - turned.mean(0), target - target.mean(0))
    np.testing.assert_allclose(found, wanted, atol=1e-10)
    np.testing.assert_allclose((turned - turned.mean(0)) @ found, target - target.mean(0), atol=1e-10)
