"""The definition passes the shared tests; its gradient by formula is that of its divergence."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kernels.tsne import reference
from tests.kernels.tsne import by_hand
from tests.kernels.tsne.base import TSNETests, clusters, flat, off


@pytest.mark.slow  # the kernels pass the same tests, against scikit-learn and float64
class TestReference(TSNETests):
    implementation = "reference"


def test_gradient_by_formula_is_the_derivative():
    rows = reference.calibrate(flat(clusters(30)), jnp.float32(7), None, None)
    y, weights = jnp.asarray(clusters(30, 2, seed=1)), jnp.asarray(np.linspace(1, 3, 30), jnp.float32)
    p = reference.symmetric(rows.probabilities, weights)
    for given in ((y, p, weights, 1.0, 3.0), (y, p, None, 2.0, 1.0)):
        assert off(reference.gradient(*given), jax.grad(reference.divergence)(*given)) < 2e-6


def test_student_sums_to_one_over_all_pairs():
    q = reference.student(jnp.asarray(clusters(12, 2)), None, 1.0)
    assert abs(float(q.sum()) - 1) < 1e-6
    np.testing.assert_allclose(q, q.T, rtol=1e-6)


def test_definition_is_that_of_the_formulas():
    x, y = clusters(40), clusters(40, 2, seed=1)
    weights = np.linspace(0.5, 3, 40).astype(np.float32)
    wanted, betas = by_hand.conditional(flat(x), 10.0, weights)
    value, gradient = by_hand.divergence(y, by_hand.joint(wanted, weights), weights)
    rows = jax.jit(reference.calibrate)(flat(x), jnp.float32(10), None, jnp.asarray(weights))
    np.testing.assert_allclose(rows.beta, betas, rtol=1e-4)
    assert off(rows.probabilities, wanted) < 2e-5
    given = (
        jnp.asarray(y),
        reference.symmetric(rows.probabilities, jnp.asarray(weights)),
        jnp.asarray(weights),
    )
    assert off(reference.divergence(*given), value) < 1e-5
    assert off(reference.gradient(*given), gradient) < 2e-5
