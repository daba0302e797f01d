"""The C++ kernel of the CPU: the shared tests of the divergence, its edges, threads and devices."""

import functools
import platform

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kernels.native import __main__ as command
from kernels.tsne import DenseJoint, SparseJoint, StreamedJoint, divergence, kl_divergence, native
from kernels.tsne.native import library
from kernels.tsne.results import PointConditional
from tests.kernels.native_library import built, needs_compiler
from tests.kernels.tsne import by_hand
from tests.kernels.tsne.base import KINDS, DivergenceTests, clusters, off

EDGES = (2, 3, 5, 15, 16, 17, 33, 63)
LONG = 1100  # more than one piece of columns; with 150 features, more than one chunk

ERROR = {"dense": 3e-7, "sparse": 3e-7, "streamed": 1e-6}  # of the value; a distance of points is rounded


pytestmark = needs_compiler
of_native = built(library)


def drawn(kind, n, features=5, weighted=False, seed=0):
    """P of a kind, of precisions drawn at random: any will do for the sums over it."""
    rng = np.random.default_rng(seed)
    weights = jnp.asarray(rng.uniform(0.5, 2, n), jnp.float32) if weighted else None
    if kind == "dense":
        values = rng.random((n, n)) * (1 - np.eye(n))
        values += values.T
        return DenseJoint(jnp.asarray(values / values.sum(), jnp.float32), weights, jnp.float32(-3))
    if kind == "sparse":
        k = min(n - 1, 21)
        others = np.array([rng.permutation(np.delete(np.arange(n), i))[:k] for i in range(n)])
        values = rng.random((n, k)) * (rng.random((n, k)) < 0.8)
        values[0, 0] = 1
        others[values == 0] = 2**30
        values = jnp.asarray(values / values.sum(), jnp.float32)
        return SparseJoint(jnp.asarray(others, jnp.int32), values, weights, jnp.float32(-3))
    x, beta = clusters(n, features, seed), rng.uniform(0.5, 2, n) / features
    others = by_hand.squared_distances(x) + np.diag(np.full(n, np.inf))
    terms = np.exp(-beta[:, None] * (others - others.min(1)[:, None]))
    log_total = np.log(terms @ (np.ones(n) if weights is None else np.asarray(weights, np.float64)))
    rows = jnp.asarray(np.stack([beta, others.min(1), log_total]), jnp.float32)
    return StreamedJoint(PointConditional(jnp.asarray(x), *rows, jnp.ones(n, bool)), weights, jnp.float32(-3))


def all_pairs(p):
    """P, float64."""
    if isinstance(p, DenseJoint):
        return np.asarray(p.values, np.float64)
    if isinstance(p, SparseJoint):
        values = np.zeros((len(p.values), len(p.values)))
        rows, columns = np.nonzero(np.asarray(p.values))
        values[rows, np.asarray(p.neighbors)[rows, columns]] = np.asarray(p.values)[rows, columns]
        return (values + values.T) / 2
    x, beta, shift, log_total = (np.asarray(part, np.float64) for part in p.rows[:4])
    terms = np.exp(-beta[:, None] * (by_hand.squared_distances(x) - shift[:, None]) - log_total[:, None])
    weights = np.ones(len(x)) if p.weights is None else np.asarray(p.weights, np.float64)
    return by_hand.joint(terms * (1 - np.eye(len(x))) * weights, weights)


def by_formula(y, p, v=1.0, exaggeration=1.0):
    """Value and gradient, float64."""
    values, y = all_pairs(p), np.asarray(y, np.float64)
    w = np.ones(len(y)) if p.weights is None else np.asarray(p.weights, np.float64)
    grown = 1 + by_hand.squared_distances(y) / v
    q = np.outer(w, w) * (1 - np.eye(len(y))) * grown ** (-(v + 1) / 2)
    value = float(p.negative_entropy) + np.log(q.sum())
    value += exaggeration * (v + 1) / 2 * (values * np.log(grown)).sum()
    force = (exaggeration * values - q / q.sum()) / grown
    gradient = 2 * (v + 1) / v * (force.sum(1)[:, None] * y - force @ y)
    return value, gradient


def assert_same(found, wanted, error=3e-7):
    """To an error of the value, and ten times that of the gradient's largest entry; or of what is usual of both."""
    (value, pulled), (exact, gradient) = found, wanted
    assert abs(float(value) - exact) < error * max(3, abs(exact))
    assert np.abs(pulled - gradient).max() < 10 * error * max(0.1, np.abs(gradient).max())


@functools.partial(jax.jit, static_argnames=("v", "threads"))
def by_kernel(y, p, v=1.0, exaggeration=1.0, threads=0):
    """Value and gradient of the library, called as `kl_divergence` calls it."""
    kernel = native.Kernel(library.name(), threads)
    return divergence.with_gradient(y, p, v, jnp.float32(exaggeration), kernel)


class TestNative(DivergenceTests):
    implementation = "native"
    calibration = "xla"

    @pytest.mark.parametrize("kind", KINDS)
    def test_gradient_is_that_of_finite_differences(self, kind):
        """Not in double precision, which it does not have: by the formula in NumPy, and refused in words."""
        y, p = jnp.asarray(clusters(25, 2, seed=2)), drawn(kind, 25, weighted=True)
        for v, exaggeration in ((1.0, 1.0), (2.0, 4.0)):
            assert_same(self.kl(y, p, v, exaggeration), by_formula(y, p, v, exaggeration), ERROR[kind])
        with (
            jax.enable_x64(True),
            pytest.raises(ValueError, match='"native" cannot serve: it computes in float32, not float64'),
        ):
            self.kl(jnp.asarray(np.asarray(y, np.float64)), p)

    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("n", EDGES)
    def test_ends_of_tiles_change_nothing(self, kind, n):
        p = drawn(kind, n, weighted=n % 2 == 0)
        for d in (1, 2, 3) if n == 17 else (2,):
            y = jnp.asarray(clusters(n, d, seed=1))
            assert_same(by_kernel(y, p), by_formula(y, p), ERROR[kind])

    @pytest.mark.parametrize("kind", KINDS)
    def test_many_pieces_of_columns(self, kind):
        y, p = jnp.asarray(clusters(LONG, 2, seed=1)), drawn(kind, LONG, features=150)
        for v in (1.0, 2.0):
            assert_same(by_kernel(y, p, v), by_formula(y, p, v), ERROR[kind])

    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("n", [17, LONG])
    def test_any_number_of_threads_and_each_run_give_the_same_bytes(self, kind, n):
        y, p = jnp.asarray(clusters(n, 2, seed=1)), drawn(kind, n)
        found = [by_kernel(y, p, threads=threads) for threads in (1, 2, 3, 8, 8)]
        for again in found[1:]:
            jax.tree.map(np.testing.assert_array_equal, again, found[0])

    def test_several_devices_of_one_cpu_at_once(self):
        p, devices = drawn("dense", 301), jax.device_count()
        assert devices > 1, "tests/conftest.py makes several"
        maps = jnp.stack([jnp.asarray(clusters(301, 2, seed=i)) for i in range(devices)])
        values, gradients = jax.pmap(lambda y: by_kernel(y, p))(maps)
        for i in range(devices):
            value, gradient = by_kernel(maps[i], p)
            assert values[i] == value
            np.testing.assert_array_equal(gradients[i], gradient)

    @pytest.mark.parametrize("kind", KINDS)
    def test_a_nan_is_not_hidden(self, kind):
        y = jnp.asarray(clusters(40, 2)).at[7, 1].set(jnp.nan)
        value, gradient = by_kernel(y, drawn(kind, 40))
        assert np.isnan(value)
        assert np.isnan(gradient[7]).all()


def test_it_is_taken_where_it_can_serve():
    y, p = jnp.asarray(clusters(40, 2)), drawn("dense", 40)
    step = lambda y, implementation: str(  # noqa: E731
        jax.make_jaxpr(lambda y: kl_divergence(y, p, implementation=implementation))(y)
    )
    assert library.name() in step(y, None)
    assert library.name() in step(y.astype(jnp.bfloat16), "native")
    assert library.name() not in step(y, "xla")
    wide = jnp.concatenate([y, y], 1)
    assert library.name() not in step(wide, None)
    with pytest.raises(ValueError, match="at most 3 coordinates, not 4; leave it out"):
        step(wide, "native")


def test_without_the_library_the_call_says_what_to_run(monkeypatch, tmp_path):
    monkeypatch.setattr(library, "build_folder", tmp_path)
    y, p = jnp.asarray(clusters(40, 2)), drawn("dense", 40)
    with pytest.raises(ValueError, match="make native"):
        kl_divergence(y, p, implementation="native")
    assert off(kl_divergence(y, p), by_formula(y, p)[0]) < 3e-7


@pytest.mark.slow
@pytest.mark.parametrize("machine", ["x86-64-v2", "x86-64-v3"])
def test_narrower_vectors_give_the_same(machine, monkeypatch, tmp_path):
    if platform.machine() != "x86_64":
        pytest.skip(f"{machine} is no {platform.machine()}")
    monkeypatch.setattr(library, "machine", machine)
    monkeypatch.setattr(library, "build_folder", tmp_path)
    assert command.main([library]) == 0
    jax.clear_caches()
    for kind in KINDS:
        for n in (17, LONG):
            y, p = jnp.asarray(clusters(n, 2, seed=1)), drawn(kind, n, weighted=True)
            assert_same(by_kernel(y, p, 2.0), by_formula(y, p, 2.0), ERROR[kind])
