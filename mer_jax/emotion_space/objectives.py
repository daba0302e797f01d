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

from kernels.tsne import (
    DenseJoint,
    SparseJoint,
    StreamedJoint,
    at_precisions,
    calibrate,
    joint,
    kl_divergence,
)
from mer_jax.nn.regularization import DATA_AXIS


class AllRows(NamedTuple):
    """Every row with the joint affinities of all pairs.

    rows: [n, d] scaled. ends: smallest and largest of each feature. joint: P. beta: [n] its precisions,
    of the scaled rows.
    """

    rows: Float[Array | np.ndarray, "n d"]
    ends: Float[Array | np.ndarray, "2 d"]
    joint: DenseJoint
    beta: Float[Array | np.ndarray, " n"]


class Edges(NamedTuple):
    """A graph whose edges are drawn.

    rows: [n, d] scaled. ends: as in `AllRows`. numbers: [n, k]. reached: [n, k] cumulative p_{j|i}.
    weights: [n] of the rows. negative_entropy: sum P log P / w w.
    """

    rows: Float[Array | np.ndarray, "n d"]
    ends: Float[Array | np.ndarray, "2 d"]
    numbers: Int[Array | np.ndarray, "n k"]
    reached: Float[Array | np.ndarray, "n k"]
    weights: Float[Array | np.ndarray, " n"]
    negative_entropy: Any


class Batches(NamedTuple):
    """Rows of which each step takes some and calibrates them among themselves (van der Maaten 2009).

    rows: [n, d] scaled. ends: as in `AllRows`. perplexity: in a batch.
    """

    rows: Float[Array | np.ndarray, "n d"]
    ends: Float[Array | np.ndarray, "2 d"]
    perplexity: Any


class Settings(NamedTuple):
    """batch_size: edges or rows of a step. noise: standard deviation of what is added to scaled rows.
    in_affinities: share of it that affinities go with. degrees_of_freedom: v of Student's t."""

    batch_size: int
    noise: float
    in_affinities: float
    degrees_of_freedom: float


def gradient(
    apply: Callable[[Any, Any], Any], params: Any, data: Any, settings: Settings, key: Any, exaggeration: Any
) -> tuple[Any, Any]:
    """The divergence in nats and its gradient in the parameters, the same on every device.

    Where all rows' affinities move, the value holds the entropy of those that did not.
    """
    chosen = {AllRows: _all_rows, Edges: _edges, Batches: _batch}[type(data)]
    rows, affinities = chosen(data, settings, *jax.random.split(key))

    def divergence(places: Any) -> Any:
        return kl_divergence(
            places,
            affinities,
            degrees_of_freedom=settings.degrees_of_freedom,
            exaggeration=exaggeration,
        )

    return _through(apply, params, rows, divergence)


def moved(rows: Any, ends: Any, noise: float, key: Any) -> Any:
    """Rows with Gaussian noise, thrown back at the ends of each feature's range."""
    if noise == 0:
        return rows
    low, high = ends[:1], ends[1:]
    there = low + jnp.abs(rows + noise * jax.random.normal(key, rows.shape, rows.dtype) - low)
    return jnp.maximum(high - jnp.abs(high - there), low)


def _all_rows(data: AllRows, settings: Settings, key: Any, shake: Any) -> tuple[Any, Any]:
    del key
    rows = moved(data.rows, data.ends, settings.noise, shake)
    if settings.noise == 0 or settings.in_affinities == 0:
        return rows, data.joint
    part_of_the_way = data.rows + settings.in_affinities * (rows - data.rows)
    weights = data.joint.weights
    there = at_precisions(part_of_the_way, data.beta, weights=weights)
    return rows, StreamedJoint(there, weights, data.joint.negative_entropy)


def _edges(data: Edges, settings: Settings, key: Any, shake: Any) -> tuple[Any, Any]:
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
    rows = moved(rows, data.ends, (1 - settings.in_affinities) * settings.noise, shake)
    weight, nothing = data.weights[anchors], jnp.zeros(size, rows.dtype)
    ends = jnp.concatenate([jnp.arange(size, 2 * size), jnp.full(size, -1)]).astype(jnp.int32)
    edges = jnp.concatenate([weight / (size * data.weights.mean()), nothing])
    of_pairs = jnp.concatenate([jnp.where(new, weight, 0), nothing])
    whole = 2 * jnp.log(n / new.sum().astype(rows.dtype))  # Z of n rows from that of the different anchors
    return rows, SparseJoint(ends[:, None], edges[:, None], of_pairs, data.negative_entropy + whole)


def _batch(data: Batches, settings: Settings, key: Any, shake: Any) -> tuple[Any, Any]:
    chosen = jax.random.choice(key, len(data.rows), (settings.batch_size,), replace=False)
    still = data.rows[chosen]
    rows = moved(still, data.ends, settings.noise, shake)
    part_of_the_way = still + settings.in_affinities * (rows - still)
    distances = jnp.square(part_of_the_way[:, None, :] - part_of_the_way[None, :, :]).sum(-1)
    return rows, joint(calibrate(distances, data.perplexity))


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
