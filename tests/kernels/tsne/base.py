"""The tests that every implementation of t-SNE's kernels passes: scikit-learn, and the formulas in float64.

A subclass names its `implementation`.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from sklearn.manifold import _t_sne, _utils

from kernels.tsne import calibrate, calibrate_points, joint, kl_divergence
from tests.kernels.tsne import by_hand

PERPLEXITY_ERROR = 3e-6
KINDS = ("dense", "sparse", "streamed")
DENSE_AT_ONCE = ("dense", *(pytest.param(kind, marks=pytest.mark.slow) for kind in KINDS[1:]))


def clusters(n, d=6, seed=0):
    """Points of a few clusters of unequal width, float32."""
    rng = np.random.default_rng(seed)
    centres = 3 * rng.normal(size=(5, d))
    width = rng.uniform(0.2, 2, (n, 1))
    return (centres[rng.integers(0, 5, n)] + width * rng.normal(size=(n, d))).astype(np.float32)


def nearest(x, k):
    """Squared distances to the k nearest others, float32, and their numbers."""
    distances = by_hand.squared_distances(x)
    np.fill_diagonal(distances, np.inf)
    numbers = np.argsort(distances, axis=1)[:, :k]
    return np.take_along_axis(distances, numbers, 1).astype(np.float32), numbers.astype(np.int32)


def flat(x):
    return jnp.asarray(by_hand.squared_distances(x), jnp.float32)


def off(found, wanted):
    """Largest difference relative to the largest wanted value."""
    found, wanted = np.asarray(found, np.float64), np.asarray(wanted, np.float64)
    assert found.shape == wanted.shape
    assert np.isfinite(found).all()
    return np.abs(found - wanted).max() / np.abs(wanted).max()


@functools.partial(jax.jit, static_argnames="implementation")
def _rows(distances, perplexity, neighbors, weights, implementation):
    return calibrate(
        distances, perplexity, neighbors=neighbors, weights=weights, implementation=implementation
    )


@functools.partial(jax.jit, static_argnames="implementation")
def _point_rows(points, perplexity, weights, implementation):
    return calibrate_points(points, perplexity, weights=weights, implementation=implementation)


_joint = jax.jit(lambda rows, neighbors, weights: joint(rows, neighbors=neighbors, weights=weights))


@functools.partial(jax.jit, static_argnames=("v", "implementation"))
def _kl(y, p, exaggeration, v, implementation):
    def value(y):
        return kl_divergence(
            y, p, degrees_of_freedom=v, exaggeration=exaggeration, implementation=implementation
        )

    return jax.value_and_grad(value)(y)


class Made:
    """What a test is about, made by the implementations it is held for.

    Attributes:
        implementation: of the divergence.
        calibration: of the affinities, where it is another.
    """

    implementation = "reference"
    calibration: str | None = None

    def rows(self, x, perplexity, weights=None):
        return _rows(flat(x), perplexity, None, weights, self.calibration or self.implementation)

    def near_rows(self, distances, perplexity, neighbors, weights=None):
        given = (jnp.asarray(distances), perplexity, jnp.asarray(neighbors), weights)
        return _rows(*given, self.calibration or self.implementation)

    def joint(self, kind, x, perplexity, weights=None):
        """P of all pairs in one of its three forms."""
        if kind == "streamed":
            name = self.calibration or self.implementation
            return _joint(_point_rows(jnp.asarray(x), perplexity, weights, name), None, weights)
        if kind == "dense":
            return _joint(self.rows(x, perplexity, weights), None, weights)
        distances, numbers = nearest(x, len(x) - 1)
        return _joint(self.near_rows(distances, perplexity, numbers, weights), jnp.asarray(numbers), weights)

    def kl(self, y, p, v=1.0, exaggeration=1.0):
        return _kl(y, p, exaggeration, v, self.implementation)


class CalibrationTests(Made):
    """What holds for every calibration."""

    @pytest.mark.parametrize(("n", "perplexity"), [(2, 1.0), (3, 1.5), (40, 5.0), (40, 35.0), (301, 30.0)])
    def test_perplexity_is_the_one_asked_for(self, n, perplexity):
        found = self.rows(clusters(n), perplexity)
        assert off(found.probabilities.sum(1), np.ones(n)) < 1e-6
        assert not np.diagonal(found.probabilities).any()
        if n > 2:
            assert np.asarray(found.feasible).all()
            assert off(by_hand.perplexities(found.probabilities), np.full(n, perplexity)) < PERPLEXITY_ERROR
            p, betas = by_hand.conditional(flat(clusters(n)), perplexity)
            assert np.abs(p - found.probabilities).max() < 1e-5
            np.testing.assert_allclose(found.beta, betas, rtol=2e-3 if n == 3 else 1e-4)

    def test_rows_are_those_of_scikit_learn(self):
        distances = np.asarray(flat(clusters(200)))
        wanted = _utils._binary_search_perplexity(distances, 20.0, 0)
        found = self.rows(clusters(200), 20.0).probabilities
        assert np.abs(found - wanted).max() < 2e-5  # its tolerance of the entropy is 1e-5

    def test_neighbour_rows_are_those_of_scikit_learn(self):
        distances, numbers = nearest(clusters(200), 40)
        wanted = _utils._binary_search_perplexity(distances, 12.0, 0)
        found = self.near_rows(distances, 12.0, numbers)
        assert np.abs(found.probabilities - wanted).max() < 2e-5
        assert off(by_hand.perplexities(found.probabilities), np.full(200, 12.0)) < PERPLEXITY_ERROR

    def test_all_others_as_neighbours_are_the_dense_rows(self):
        x = clusters(40)
        distances, numbers = nearest(x, 39)
        found = self.near_rows(distances, 9.0, numbers)
        spread = np.zeros((40, 40))
        np.put_along_axis(spread, numbers, np.asarray(found.probabilities, np.float64), 1)
        assert np.abs(spread - self.rows(x, 9.0).probabilities).max() < 1e-6

    def test_short_neighbour_rows_are_filled_with_negative_numbers_or_the_row(self):
        distances, numbers = nearest(clusters(40), 15)
        alone = self.near_rows(distances, 5.0, numbers)
        more = np.concatenate([numbers, np.full((40, 1), -1), np.arange(40)[:, None]], 1).astype(np.int32)
        wider = np.concatenate([distances, np.zeros((40, 2), np.float32)], 1)
        found = self.near_rows(wider, 5.0, more)
        assert not np.asarray(found.probabilities[:, 15:]).any()
        np.testing.assert_allclose(found.probabilities[:, :15], alone.probabilities, atol=1e-6)
        y = jnp.asarray(clusters(40, 2, seed=3))
        both = [
            self.kl(y, _joint(rows, jnp.asarray(which), None))
            for rows, which in ((alone, numbers), (found, more))
        ]
        assert off(both[0][0], both[1][0]) < 1e-6
        assert off(both[0][1], both[1][1]) < 2e-6

    @pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
    def test_the_unit_of_the_distances_does_not_matter(self, scale):
        plain, scaled = self.rows(clusters(40), 10.0), self.rows(np.float32(scale) * clusters(40), 10.0)
        np.testing.assert_allclose(scaled.probabilities, plain.probabilities, atol=2e-6)
        np.testing.assert_allclose(scaled.beta * scale**2, plain.beta, rtol=1e-4)

    def test_far_outliers_and_near_copies(self):
        x = clusters(40)
        x[0] += 1e4
        x[1] = x[2] + 1e-3
        found = self.rows(x, 10.0)
        assert np.asarray(found.feasible).all()
        assert off(by_hand.perplexities(found.probabilities)[1:], np.full(39, 10.0)) < PERPLEXITY_ERROR

    def test_perplexities_near_the_ends(self):
        x = clusters(40)
        for perplexity in (1.01, 38.9):
            found = self.rows(x, perplexity)
            assert np.asarray(found.feasible).all()
            assert off(by_hand.perplexities(found.probabilities), np.full(40, perplexity)) < PERPLEXITY_ERROR

    # Rows without a solution

    def test_rows_that_have_more_nearest_others_than_the_perplexity_say_so(self):
        x = np.concatenate([np.full((12, 6), 100), clusters(28)]).astype(np.float32)
        found = self.rows(x, 8.0)
        np.testing.assert_array_equal(found.feasible, np.arange(40) >= 12)
        alike = np.where(np.eye(12), 0, 1 / 11)
        np.testing.assert_allclose(found.probabilities[:12, :12], alike, atol=1e-6)
        assert np.isfinite(np.asarray(found.beta)).all()
        assert off(by_hand.perplexities(found.probabilities)[12:], np.full(28, 8.0)) < PERPLEXITY_ERROR

    def test_others_at_one_distance_but_for_rounding_are_ties(self):
        rng = np.random.default_rng(0)
        steps = np.array([1, 2, 3]) / 6
        around = np.array([rng.permutation(steps) for _ in range(20)])
        x = np.concatenate([np.zeros((1, 3)), around, np.full((20, 3), 4.0)]).astype(np.float32)
        rows = _point_rows(jnp.asarray(x), 10.0, None, self.implementation)
        assert not rows.feasible[0]

    def test_equal_rows_have_no_solution_and_are_all_alike(self):
        for found in (
            self.rows(np.ones((7, 3), np.float32), 3.0),
            calibrate(
                np.zeros((7, 6), np.float32),
                3.0,
                neighbors=nearest(clusters(7), 6)[1],
                implementation=self.implementation,
            ),
        ):
            assert not np.asarray(found.feasible).any()
            assert not np.asarray(found.beta).any()
            np.testing.assert_allclose(found.probabilities[found.probabilities > 0], 1 / 6, rtol=1e-6)

    def test_a_perplexity_of_all_others_is_beta_zero(self):
        found = self.rows(clusters(9), 8.0)
        assert not np.asarray(found.feasible).any()
        assert not np.asarray(found.beta).any()

    # Weights

    def test_weights_of_one_change_nothing(self):
        x = clusters(40)
        plain, weighted = self.rows(x, 7.0), self.rows(x, 7.0, weights=jnp.ones(40))
        np.testing.assert_allclose(weighted.probabilities, plain.probabilities, atol=1e-6)

    def test_weighted_rows_without_a_solution(self):
        weights = jnp.asarray(np.r_[40.0, np.ones(19)], jnp.float32)
        x = clusters(20)
        x[1] = x[0] + 0.01
        found = self.rows(x, 30.0, weights=weights)
        assert not found.feasible[0]  # its others weigh 19
        assert not found.feasible[1]  # its nearest weighs 40
        p = np.asarray(found.probabilities)
        assert p[1, 0] == pytest.approx(1, abs=1e-6)
        reached = np.asarray(found.feasible)
        assert off(by_hand.perplexities(p, weights)[reached], np.full(reached.sum(), 30.0)) < PERPLEXITY_ERROR

    # Transformations

    def test_vmap_of_calibration(self):
        stacked = jnp.stack([flat(clusters(40)), flat(clusters(40, seed=5))])
        found = jax.vmap(lambda d: calibrate(d, 6.0, implementation=self.implementation))(stacked)
        for i, seed in enumerate((0, 5)):
            alone = self.rows(clusters(40, seed=seed), 6.0)
            np.testing.assert_allclose(found.probabilities[i], alone.probabilities, atol=1e-6)

    def test_double_precision(self):
        with jax.enable_x64(True):
            d = jnp.asarray(by_hand.squared_distances(clusters(40)))
            found = calibrate(d, 8.0, implementation=self.implementation)
            assert found.probabilities.dtype == jnp.float64
            assert off(by_hand.perplexities(found.probabilities), np.full(40, 8.0)) < 1e-7


class DivergenceTests(Made):
    """What holds for every divergence."""

    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize(
        ("n", "d", "v"),
        [
            pytest.param(2, 2, 1.0, marks=pytest.mark.slow),
            (3, 1, 1.0),
            (40, 2, 1.0),
            pytest.param(40, 3, 2.0, marks=pytest.mark.slow),
            (40, 2, 0.5),
        ],
    )
    def test_value_and_gradient_are_those_of_the_formulas(self, kind, n, d, v):
        x, y = clusters(n), clusters(n, d, seed=1)
        perplexity = 1.0 if n == 2 else min(1.7, n / 3) if n == 3 else 10.0
        p = by_hand.conditional(flat(x), perplexity)[0] if n > 2 else np.array([[0, 1], [1, 0.0]])
        wanted, gradient = by_hand.divergence(y, by_hand.joint(p), v=v)
        found, pulled = self.kl(jnp.asarray(y), self.joint(kind, x, perplexity), v=v)
        assert abs(float(found) - wanted) < 2e-5 * max(1, wanted)
        assert np.abs(pulled - gradient).max() < 1e-5 * max(1e-2, np.abs(gradient).max())

    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("v", [1.0, 2.0])
    def test_value_and_gradient_are_those_of_scikit_learn(self, kind, v):
        x, y = clusters(40), clusters(40, 2, seed=1)
        p = _t_sne._joint_probabilities(np.asarray(flat(x)), 10.0, 0)
        wanted, gradient = _t_sne._kl_divergence(y.astype(np.float64).ravel(), p, v, 40, 2)
        found, pulled = self.kl(jnp.asarray(y), self.joint(kind, x, 10.0), v=v)
        assert off(found, wanted) < 2e-5
        if v == 1:  # otherwise its factor is s^((v + 1) / 2), that of the derivative is s
            assert off(pulled, gradient.reshape(40, 2)) < 2e-5

    @pytest.mark.parametrize("kind", KINDS)
    def test_gradient_is_that_of_finite_differences(self, kind):
        with jax.enable_x64(True):
            x, y = (clusters(n, d, seed=2).astype(np.float64) for n, d in ((25, 4), (25, 2)))
            p = self.joint(kind, x, 6.0, jnp.asarray(np.linspace(0.5, 2, 25)))
            p = jax.tree.map(lambda x: x.astype(jnp.float64) if x.dtype == jnp.float32 else x, p)
            for v, exaggeration in ((1.0, 1.0), (2.0, 4.0)):
                check_grads(
                    lambda y: kl_divergence(
                        y,
                        p,
                        degrees_of_freedom=v,  # noqa: B023
                        exaggeration=exaggeration,  # noqa: B023
                        implementation=self.implementation,
                    ),
                    (jnp.asarray(y),), order=1, modes=["rev"], atol=1e-6, rtol=1e-6,
                )  # fmt: skip

    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("v", [1.0, 3.0])
    def test_weighted_rows_are_repeated_rows(self, kind, v):
        x, y = clusters(30), clusters(30, 2, seed=1)
        copies = np.random.default_rng(0).integers(1, 5, 30)
        which = np.repeat(np.arange(30), copies)
        p, _ = by_hand.conditional(by_hand.squared_distances(x[which]), 12.0, groups=which)
        wanted, gradient = by_hand.divergence(y[which], by_hand.joint(p), v=v, groups=which)
        weighted = self.joint(kind, x, 12.0, jnp.asarray(copies, jnp.float32))
        found, pulled = self.kl(jnp.asarray(y), weighted, v=v)
        assert off(found, wanted) < 1e-5
        assert off(pulled, [gradient[which == i].sum(0) for i in range(30)]) < 2e-5

    @pytest.mark.parametrize("kind", KINDS)
    def test_exaggeration_multiplies_attraction(self, kind):
        x, y = clusters(40), clusters(40, 2, seed=1)
        p = by_hand.joint(by_hand.conditional(flat(x), 8.0)[0])
        attraction = by_hand.divergence(y, 12 * p)[1]  # the repulsion does not depend on P
        found = self.kl(jnp.asarray(y), self.joint(kind, x, 8.0), exaggeration=12.0)[1]
        assert off(found, attraction) < 2e-5

    @pytest.mark.parametrize("kind", DENSE_AT_ONCE)
    def test_copies_on_the_map_and_points_far_apart(self, kind):
        p = self.joint(kind, clusters(40), 4.0)
        value, gradient = self.kl(jnp.zeros((40, 2)), p)
        assert float(value) > 0
        assert not np.asarray(gradient).any()
        far = jnp.asarray(1e6 * clusters(40, 2, seed=1))
        wanted = by_hand.divergence(far, by_hand.joint(by_hand.conditional(flat(clusters(40)), 4.0)[0]))
        value, gradient = self.kl(far, p)
        assert off(value, wanted[0]) < 1e-5
        assert off(gradient, wanted[1]) < 1e-4

    @pytest.mark.parametrize("kind", DENSE_AT_ONCE)
    def test_a_half_precision_map_is_computed_in_single(self, kind):
        p = self.joint(kind, clusters(40), 8.0)
        y = jnp.asarray(clusters(40, 2, seed=1), jnp.bfloat16)
        (value, gradient), (wanted, exact) = self.kl(y, p), self.kl(y.astype(jnp.float32), p)
        assert (value.dtype, gradient.dtype) == (jnp.float32, jnp.bfloat16)
        assert float(value) == pytest.approx(float(wanted), rel=1e-6)
        np.testing.assert_allclose(gradient.astype(jnp.float32), exact, rtol=1e-2, atol=1e-6)

    # Transformations

    @pytest.mark.parametrize("kind", DENSE_AT_ONCE)
    def test_jit_and_vmap(self, kind):
        x, y = clusters(40), jnp.asarray(np.stack([clusters(40, 2, seed=s) for s in (1, 2)]))

        @jax.jit
        def together(perplexity, y, exaggeration):
            p = self.joint(kind, x, perplexity)
            return jax.vmap(lambda y: self.kl(y, p, exaggeration=exaggeration))(y)

        values, gradients = together(6.0, y, 2.0)
        for i in range(2):
            value, gradient = self.kl(y[i], self.joint(kind, x, 6.0), exaggeration=2.0)
            assert off(values[i], value) < 1e-6
            assert off(gradients[i], gradient) < 5e-6


class TSNETests(CalibrationTests, DivergenceTests):
    """What holds for every implementation of both."""
