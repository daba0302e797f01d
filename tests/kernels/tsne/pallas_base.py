"""The tests that t-SNE's Pallas kernels pass in Pallas' interpreters, GPU and TPU alike.

A subclass gives its `kernels`; most of what it inherits takes minutes and is slow.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kernels.tsne import DenseJoint, StreamedJoint, calibrate, calibrate_points, kl_divergence, pallas
from tests.kernels.marks import slow
from tests.kernels.tsne import aot
from tests.kernels.tsne.base import KINDS, TSNETests, clusters, off

OWN = ("test_double_precision", "test_gradient_is_that_of_finite_differences")
QUICK = (
    *OWN,
    "test_neighbour_rows_are_those_of_scikit_learn",
    "test_perplexities_near_the_ends",
    "test_rows_that_have_more_nearest_others_than_the_perplexity_say_so",
    "test_weighted_rows_without_a_solution",
)


class _XLA(TSNETests):
    implementation = "xla"


@slow(*(name for name in vars(TSNETests) if name.startswith("test_") and name not in QUICK))
class PallasTests(TSNETests):
    """The shared tests; P of those of the divergence is XLA's."""

    implementation = "pallas"
    kernels: pallas.Kernels

    @pytest.fixture(autouse=True)
    def _interpreted(self, monkeypatch):
        monkeypatch.setattr(pallas, "kernels", lambda: self.kernels)

    def joint(self, kind, x, perplexity, weights=None):
        return _XLA().joint(kind, x, perplexity, weights)

    test_gradient_is_that_of_finite_differences = None  # they are of float64

    def test_double_precision(self):
        with (
            jax.enable_x64(True),
            pytest.raises(ValueError, match=r"cannot serve: the distances have type float64"),
        ):
            calibrate(jnp.zeros((5, 5), jnp.float64), 2.0, implementation="pallas")

    @pytest.mark.parametrize("weighted", [False, pytest.param(True, marks=pytest.mark.slow)])
    def test_points_are_calibrated_like_their_distances(self, weighted):
        x = jnp.asarray(clusters(70))
        weights = jnp.linspace(0.5, 2, 70, dtype=jnp.float32) if weighted else None
        found, wanted = (
            jax.jit(lambda x, name=name: calibrate_points(x, 12.0, weights=weights, implementation=name))(x)
            for name in ("pallas", "xla")
        )
        for a, b in zip(found, wanted, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)

    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize(
        ("v", "d"), [(1.0, 2), *(pytest.param(*x, marks=pytest.mark.slow) for x in ((2.0, 3), (0.5, 1)))]
    )
    def test_value_and_gradient_over_several_tiles(self, kind, v, d):
        """Rows that fill no block, with weights."""
        n = 150
        x, y = clusters(n), jnp.asarray(clusters(n, d, seed=1))
        p = self.joint(kind, x, 12.0, jnp.linspace(0.5, 2, n, dtype=jnp.float32))
        found, wanted = self.kl(y, p, v=v, exaggeration=3.0), _XLA().kl(y, p, v=v, exaggeration=3.0)
        for a, b in zip(found, wanted, strict=True):
            assert off(a, b) < 2e-6

    def test_more_dimensions_than_it_takes_are_named(self):
        p = DenseJoint(jnp.full((5, 5), 0.04), None, jnp.float32(0))
        with pytest.raises(ValueError, match="the embedding has 4 dimensions; it takes at most 3"):
            kl_divergence(jnp.ones((5, 4)), p, implementation="pallas")

    def test_more_coordinates_than_it_takes_are_named(self):
        with pytest.raises(ValueError, match=r"the points have 65 coordinates; .* at most 64"):
            calibrate_points(jnp.ones((5, 65)), 2.0, implementation="pallas")


LOWERED = [case for case in aot.CASES if case.shape.startswith("mosei")]


def lowered(kernels, case, platform):
    """The call of a case, as text of the platform."""

    def array(*sizes, dtype=jnp.float32):
        return jax.ShapeDtypeStruct(sizes, dtype)

    function, shapes = case.traced(kernels, array)
    return jax.jit(function).trace(*shapes).lower(lowering_platforms=(platform,)).as_text()


def mapped(kernels, platform):
    """Divergence and gradient of two maps, and the calibration of their points."""

    def both(x, y, perplexity):
        rows = kernels.calibrate_points(x, perplexity, None)
        p = StreamedJoint(rows, None, jnp.float32(0))
        return jax.value_and_grad(lambda y: kernels.kl_divergence(y, p, 1.0, jnp.float32(1)))(y)

    shapes = (jax.ShapeDtypeStruct(size, jnp.float32) for size in ((2, 70, 6), (2, 70, 2), (2,)))
    return jax.jit(jax.vmap(both)).trace(*shapes).lower(lowering_platforms=(platform,)).as_text()
