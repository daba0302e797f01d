"""Affinities at known precisions: the formula in float64, calibrated rows again, no array of all pairs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kernels.tsne import affinity, at_precisions, calibrate_points, joint, kl_divergence, reference
from tests.kernels.tsne import by_hand
from tests.kernels.tsne.base import clusters, off

IMPLEMENTATIONS = ("reference", "xla")
WEIGHTS = np.linspace(0.5, 3, 40).astype(np.float32)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_divergence_is_that_of_the_formula(implementation, weights):
    x, y = clusters(40), clusters(40, 2, seed=1)
    beta = np.random.default_rng(0).uniform(0.0, 4.0, 40).astype(np.float32)
    p = np.zeros((40, 40))
    of_others = np.ones(40) if weights is None else np.float64(weights)
    for i, distances in enumerate(by_hand.squared_distances(x)):
        others = np.arange(40) != i
        p[i, others] = by_hand.row(distances[others], np.float64(beta[i]), of_others[others])[0]
    wanted, gradient = by_hand.divergence(y, by_hand.joint(p, weights), weights)
    mass = None if weights is None else jnp.asarray(weights)
    rows = at_precisions(x, beta, weights=mass, implementation=implementation)
    found, pulled = jax.value_and_grad(kl_divergence)(jnp.asarray(y), joint(rows, weights=mass))
    assert off(found, wanted) < 1e-5
    assert off(pulled, gradient) < 2e-5
    assert rows.feasible.all()


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_calibrated_precisions_give_the_calibrated_rows(implementation):
    x = clusters(60)
    x[:12] = x[0] + 100  # copies: rows without a precision that reaches the perplexity
    wanted = calibrate_points(x, 8.0)
    assert not wanted.feasible.all()
    found = at_precisions(x, wanted.beta, implementation=implementation)
    np.testing.assert_array_equal(found.beta, wanted.beta)
    np.testing.assert_allclose(found.shift, wanted.shift, rtol=1e-5)
    np.testing.assert_allclose(found.log_total, wanted.log_total, atol=2e-5)


def test_blocks_of_a_few_rows_change_nothing(monkeypatch):
    x, beta = clusters(40), np.linspace(0.1, 2, 40).astype(np.float32)
    wanted = at_precisions(x, beta)
    monkeypatch.setattr(affinity, "BLOCK", 300)
    found = at_precisions(x, beta)
    np.testing.assert_allclose(found.log_total, wanted.log_total, atol=1e-6)


def test_no_array_of_all_pairs_is_made_and_no_derivative():
    n = 2048
    given = jax.ShapeDtypeStruct((n, 6), jnp.float32), jax.ShapeDtypeStruct((n,), jnp.float32)
    taken = jax.jit(at_precisions).lower(*given).compile().memory_analysis().temp_size_in_bytes
    assert taken < 4 * n * n / 4
    slope = jax.grad(lambda x: at_precisions(x, jnp.ones(40)).log_total.sum())(jnp.asarray(clusters(40)))
    assert not slope.any()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ((np.ones((1, 3), np.float32), np.ones(1)), r"points has shape \[1, 3\].*at least 2"),
        ((clusters(10), np.ones(9)), r"beta has shape \[9\]; .*each of the 10 rows"),
        ((clusters(10).astype(np.float16), np.ones(10)), r"points has type float16"),
    ],
)
def test_bad_input_is_named(given, words):
    with pytest.raises(ValueError, match=words):
        at_precisions(*given)


def test_only_its_implementations_are_known():
    with pytest.raises(ValueError, match=r"'pallas' is unknown; known: reference, xla"):
        at_precisions(clusters(10), np.ones(10), implementation="pallas")
    assert reference.at_precisions(jnp.asarray(clusters(10)), jnp.ones(10), None).points.shape == (10, 6)
