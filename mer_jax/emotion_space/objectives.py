"""What a step descends: the divergence of all rows, of sampled edges, or of a batch of its own.

Each is written for one device of the axis "data": the rows' way through the network is divided among the
devices, places are gathered, and the divergence of all of them is the same on each.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from kernels.tsne import DenseJoint, SparseJoint, calibrate, joint, kl_divergence
from mer_jax.nn.regularization import DATA_AXIS


class AllRows(NamedTuple):
    """Every row with the joint affinities of all pairs.

    rows: [n, d] scaled. joint: P.
    """

    rows: Float[Array | np.ndarray, "n d"]
    joint: DenseJoint


class Edges(NamedTuple):
    """A graph whose edges are drawn.

    rows: [n, d] scaled. numbers: [n, k]. reached: [n, k] cumulative p_{j|i}. weights: [n] of the rows.
    negative_entropy: sum P log P / w w.
    """

    rows: Float[Array | np.ndarray, "n d"]
    numbers: Int[Array | np.ndarray, "n k"]
    reached: Float[Array | np.ndarray, "n k"]
    weights: Float[Array | np.ndarray, " n"]
    negative_entropy: Any


class Batches(NamedTuple):
    """Rows of which each step takes some and calibrates them among themselves (van der Maaten 2009).

    rows: [n, d] scaled. metric: [n, d] as distances are taken. perplexity: in a batch.
    """

    rows: Float[Array | np.ndarray, "n d"]
    metric: Float[Array | np.ndarray, "n d"]
    perplexity: Any


class Settings(NamedTuple):
    """batch_size: edges or rows of a step. noise: standard deviation of what is added to scaled rows.
    degrees_of_freedom: v of Student's t."""

    batch_size: int
    noise: float
    degrees_of_freedom: float


def gradient(
    apply: Callable[[Any, Any], Any], params: Any, data: Any, settings: Settings, key: Any, exaggeration: Any
) -> tuple[Any, Any]:
    """The divergence in nats and its gradient in the parameters, the same on every device."""
    draw, shake = jax.random.split(key)
    chosen = {AllRows: _all_rows, Edges: _edges, Batches: _batch}[type(data)]
    rows, affinities = chosen(data, settings, draw)
    if settings.noise > 0:
        rows = rows + settings.noise * jax.random.normal(shake, rows.shape, rows.dtype)

    def divergence(places: Any) -> Any:
        return kl_divergence(
            places,
            affinities,
            degrees_of_freedom=settings.degrees_of_freedom,
            exaggeration=exaggeration,
        )

    return _through(apply, params, rows, divergence)


def _all_rows(data: AllRows, settings: Settings, key: Any) -> tuple[Any, Any]:
    del settings, key
    return data.rows, data.joint


def _edges(data: Edges, settings: Settings, key: Any) -> tuple[Any, Any]:
    """Anchors drawn evenly, each with a neighbour drawn by p_{j|i}.

    The edges, by their anchors' weights, estimate the attraction without bias; all pairs of different
    anchors estimate the normaliser Z, in which neighbours, not drawn evenly, have no weight.
    """
    size, n = settings.batch_size, len(data.weights)
    first, second = jax.random.split(key)
    anchors = jnp.sort(jax.random.randint(first, (size,), 0, n))
    new = jnp.concatenate([jnp.ones(1, bool), anchors[1:] != anchors[:-1]])
    reached = data.reached[anchors]
    level = jax.random.uniform(second, (size, 1), reached.dtype)
    others = data.numbers[anchors, jnp.argmax(reached > level * reached[:, -1:], axis=1)]
    rows = data.rows[jnp.concatenate([anchors, others])]
    weight, nothing = data.weights[anchors], jnp.zeros(size, rows.dtype)
    ends = jnp.concatenate([jnp.arange(size, 2 * size), jnp.full(size, -1)]).astype(jnp.int32)
    edges = jnp.concatenate([weight / (size * data.weights.mean()), nothing])
    of_pairs = jnp.concatenate([jnp.where(new, weight, 0), nothing])
    whole = 2 * jnp.log(n / new.sum().astype(rows.dtype))  # Z of n rows from that of the different anchors
    return rows, SparseJoint(ends[:, None], edges[:, None], of_pairs, data.negative_entropy + whole)


def _batch(data: Batches, settings: Settings, key: Any) -> tuple[Any, Any]:
    chosen = jax.random.choice(key, len(data.rows), (settings.batch_size,), replace=False)
    metric = data.metric[chosen]
    distances = jnp.square(metric[:, None, :] - metric[None, :, :]).sum(-1)
    return data.rows[chosen], joint(calibrate(distances, data.perplexity))


def _through(apply: Any, params: Any, rows: Any, objective: Callable[[Any], Any]) -> tuple[Any, Any]:
    """Value and gradient of objective(apply(params, rows)), the rows divided among the devices."""
    n, devices = len(rows), jax.lax.psum(1, DATA_AXIS)
    share = -(-n // devices)

    def own(whole: Any) -> Any:
        padded = jnp.pad(whole, ((0, share * devices - n), (0, 0)))
        first = jax.lax.axis_index(DATA_AXIS) * share
        return jax.lax.dynamic_slice_in_dim(padded, first, share)

    places, pull = jax.vjp(lambda params: apply(params, own(rows)), params)
    places = jax.lax.all_gather(places, DATA_AXIS, tiled=True)[:n]
    value, slope = jax.value_and_grad(objective)(places)
    return value, jax.lax.psum(pull(own(slope))[0], DATA_AXIS)
