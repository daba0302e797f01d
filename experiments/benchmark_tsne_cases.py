"""What `benchmark_tsne` computes: generated points and neighbours, ours and others' functions, exact results."""

import dataclasses
import functools
import importlib
import itertools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy.sparse import coo_array, csr_array

from kernels.tsne import (
    DenseJoint,
    SparseJoint,
    StreamedJoint,
    calibrate,
    calibrate_points,
    divergence,
    joint,
    kl_divergence,
    native,
)
from kernels.tsne.blocks import squared_distances
from kernels.tsne.shapes import Shape

_t_sne: Any = importlib.import_module("sklearn.manifold._t_sne")  # its parts are private
CLUSTER = 512  # rows, about, whose neighbours are searched among themselves
ANGLE = 0.5  # of Barnes-Hut, scikit-learn's default
FFT = {"n_interpolation_points": 3, "min_num_intervals": 50, "ints_in_interval": 1}  # openTSNE's defaults


def clusters(n: int, d: int, seed: int = 0) -> np.ndarray:
    """Generated Gaussian clusters of about CLUSTER rows and unequal width, one behind another: [n, d], float32."""
    random = np.random.default_rng(seed)
    count = max(1, n // CLUSTER)
    which = np.arange(n) * count // n
    centres = 3 * random.normal(size=(count, d))
    width = random.uniform(0.5, 2, (n, 1))
    return (centres[which] + width * random.normal(size=(n, d))).astype(np.float32)


def map_of(n: int, seed: int = 1) -> jax.Array:
    """A map half way: clusters in two dimensions, [n, 2]."""
    return jnp.asarray(clusters(n, 2, seed))


def neighbours(x: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Squared distances to the k nearest rows of the same cluster, ascending, and their numbers; [n, k]."""
    n, count = len(x), max(1, len(x) // CLUSTER)
    distances, numbers = np.empty((n, k), np.float32), np.empty((n, k), np.int32)
    for own in np.array_split(np.arange(n), count):
        part = x[own]
        square = (part**2).sum(1)
        found = np.maximum(square[:, None] + square[None, :] - 2 * part @ part.T, 0)
        np.fill_diagonal(found, np.inf)
        near = np.argpartition(found, k - 1, axis=1)[:, :k]
        values = np.take_along_axis(found, near, 1)
        order = np.argsort(values, axis=1)
        distances[own] = np.take_along_axis(values, order, 1)
        numbers[own] = own[np.take_along_axis(near, order, 1)]
    return distances, numbers


# Calibration


def of_scikit_learn(distances: np.ndarray, perplexity: float) -> Callable[[], np.ndarray]:
    """Its calibration, of all pairs or of neighbours."""
    return lambda: _t_sne._utils._binary_search_perplexity(distances, perplexity, 0)


def ours(perplexity: float) -> Callable[..., Any]:
    """(distances, neighbours or None) -> probabilities."""
    return lambda distances, numbers: calibrate(distances, perplexity, neighbors=numbers).probabilities


def perplexity_error(probabilities: Any, wanted: float) -> float:
    """Largest relative error of the achieved perplexity exp(-sum p log p), in float64."""
    worst = 0.0
    for rows in np.array_split(np.asarray(probabilities), max(1, probabilities.size // 2**22)):
        p = rows.astype(np.float64)
        entropy = -(p * np.log(np.where(p > 0, p, 1))).sum(1)
        worst = max(worst, float(np.abs(np.exp(entropy) / wanted - 1).max()))
    return worst


# Value and gradient


def naive(y: jax.Array, p: DenseJoint) -> jax.Array:
    """The plain formula, all pairs materialised, to be differentiated as it stands."""
    square = jnp.square(y[:, None, :] - y[None, :, :]).sum(-1)
    q = jnp.where(jnp.eye(len(y), dtype=bool), 0, 1 / (1 + square))
    q = q / q.sum()
    ratio = jnp.where(p.values > 0, p.values / jnp.where(q > 0, q, 1), 1)
    return (p.values * jnp.log(jnp.where(ratio > 0, ratio, 1))).sum()


def value_and_gradient(implementation: str | None) -> Callable[[jax.Array, Any], Any]:
    """Of the divergence; "naive": of the plain formula."""
    function = (
        naive
        if implementation == "naive"
        else functools.partial(kl_divergence, implementation=implementation)
    )
    return lambda y, p: jax.value_and_grad(function)(y, p)


@dataclasses.dataclass(frozen=True)
class Problem:
    """Rows calibrated to a perplexity, and a map of them.

    Attributes:
        y: the map, [n, 2].
        dense, streamed, sparse: P of all pairs, what recomputes it, and P over the k nearest of each row.
    """

    y: jax.Array
    dense: DenseJoint
    streamed: StreamedJoint
    sparse: SparseJoint

    @classmethod
    def drawn(cls, shape: Shape, k: int) -> "Problem":
        """Of generated points."""
        x, perplexity = clusters(shape.n, shape.d), shape.perplexity
        near, numbers = (jnp.asarray(part) for part in neighbours(x, k))

        @jax.jit
        def made(x: jax.Array) -> Any:
            dense = joint(calibrate(squared_distances(x, x), perplexity))
            sparse = joint(calibrate(near, perplexity, neighbors=numbers), neighbors=numbers)
            return dense, joint(calibrate_points(x, perplexity)), sparse

        return cls(map_of(shape.n), *made(jnp.asarray(x)))

    def matrix(self) -> csr_array:
        """P over the neighbours, both directions, as others take it."""
        n, k = self.sparse.neighbors.shape
        rows = np.repeat(np.arange(n), k)
        mass = coo_array(
            (np.asarray(self.sparse.values).ravel(), (rows, np.asarray(self.sparse.neighbors).ravel())),
            shape=(n, n),
        ).tocsr()
        return csr_array((mass + mass.T) / 2)


def exact(y: jax.Array, p: Any) -> np.ndarray:
    """The gradient by the formula in float64, a block of rows at a time; p: a row of P, or of a csr matrix."""
    y64, n = np.asarray(y, np.float64), len(y)
    whole = p if isinstance(p, csr_array) else np.asarray(p)
    total, pulls, pushes = 0.0, np.zeros_like(y64), np.zeros_like(y64)
    for rows in np.array_split(np.arange(n), max(1, n * n // 2**22)):
        s = 1 / (1 + np.square(y64[rows, None] - y64[None]).sum(-1))
        s[np.arange(len(rows)), rows] = 0
        values = whole[rows]
        force = np.asarray(values.toarray() if isinstance(values, csr_array) else values, np.float64) * s
        total += s.sum()
        for strength, to in ((force, pulls), (s * s, pushes)):
            to[rows] = strength.sum(1)[:, None] * y64[rows] - strength @ y64
    return 4 * (pulls - pushes / total)


def peers(problem: Problem, threads: int) -> Mapping[tuple[str, str], Callable[[], Any] | str]:
    """(Which P, name) -> a function that gives value and gradient, or why there is none."""
    y, n = np.array(problem.y), len(problem.y)  # a copy that they may write to
    triangle = np.asarray(problem.dense.values, np.float64)[np.triu_indices(n, 1)]
    matrix = problem.matrix()

    def exactly() -> Any:
        return _t_sne._kl_divergence(y.astype(np.float64).ravel(), triangle, 1, n, 2)

    def barnes_hut() -> Any:
        return _t_sne._kl_divergence_bh(y.ravel(), matrix, 1, n, 2, ANGLE, num_threads=threads)

    return {
        ("all pairs", "scikit-learn exact"): exactly,
        ("neighbours", "scikit-learn Barnes-Hut"): barnes_hut,
        ("neighbours", "openTSNE FFT"): _fft(y, matrix, threads),
    }


def _fft(y: np.ndarray, matrix: csr_array, threads: int) -> Callable[[], Any] | str:
    try:
        tsne: Any = importlib.import_module("openTSNE.tsne")
    except ImportError as error:
        return f"it cannot be imported ({error})"
    wide, p = y.astype(np.float64), csr_array(matrix, dtype=np.float64)

    def run() -> Any:
        value, gradient = tsne.kl_divergence_fft(wide, p, 1, FFT, should_eval_error=True, n_jobs=threads)
        return value, 4 * gradient  # it leaves the factor to the learning rate

    return run


# Growth


def edges() -> Callable[[jax.Array, SparseJoint], Any]:
    """The attraction alone, native where that is built."""
    if jax.default_backend() == "cpu" and native.library.why_not() is None:
        sums = native.Kernel(native.library.name()).edges
    else:
        sums = divergence.edges
    return lambda y, p: sums(y, p, 1.0)


def network(d: int, hidden: int = 128, layers: int = 3, seed: int = 0) -> list[tuple[jax.Array, jax.Array]]:
    """Weights and biases, drawn at random, of a network from d features to a map."""
    random = np.random.default_rng(seed)
    sizes = [d, *[hidden] * layers, 2]
    return [
        (
            jnp.asarray(random.normal(0, np.sqrt(2 / a), (a, b)), jnp.float32),
            jnp.asarray(random.normal(0, 0.1, b), jnp.float32),
        )
        for a, b in itertools.pairwise(sizes)
    ]


def transform(params: Any, x: jax.Array) -> jax.Array:
    """The map of rows, [n, 2], by blocks that stay in the caches."""
    block = min(1024, len(x))
    whole = len(x) // block * block

    def apply(rows: jax.Array) -> jax.Array:
        for weight, bias in params[:-1]:
            rows = jax.nn.gelu(rows @ weight + bias[None, :])
        weight, bias = params[-1]
        return rows @ weight + bias[None, :]

    found = jax.lax.map(apply, x[:whole].reshape(-1, block, x.shape[1])).reshape(whole, -1)
    return found if whole == len(x) else jnp.concatenate([found, apply(x[whole:])])
