"""Scores of a tile of queries over a tile of keys, and their derivatives, for XLA.

The additive score is bound by its tanh. With A = e^{2a} and B = e^{2b} made once a tile,

    tanh(a + b) = 1 - 2 r,   r = 1 / (1 + A B),   tanh' = 4 r (1 - r)

costs one division an element. Beyond |x| = 43 A or B would overflow, and tanh itself is taken.
"""

from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from kernels.attention.reference import Inputs, accumulator

LIMIT = 43.0  # e^{86} < 3e38 and e^{-86} > 1e-38: in range and normal in float32

UNROLLED = 64


class Pulled(NamedTuple):
    """Derivatives of a tile in its queries, its keys and the score vector."""

    query: Float[Array, "batch i d"]
    key: Float[Array, "batch j d"]
    score_vector: Any


@runtime_checkable
class Score(Protocol):
    """One way to score; what `prepare` gives (queries, keys, vector) is sliced into the tiles."""

    def prepare(self, inputs: Inputs) -> tuple[Any, Any, Any]: ...
    def scores(self, query: Any, key: Any, vector: Any) -> Float[Array, "batch i j"]: ...
    def pull(self, query: Any, key: Any, vector: Any, slope: Float[Array, "batch i j"]) -> Pulled: ...


class Dot:
    """q . k."""

    def prepare(self, inputs):
        precise = accumulator(inputs.query.dtype)
        return inputs.query.astype(precise), inputs.key.astype(precise), None

    def scores(self, query, key, vector):
        return jnp.einsum("bid,bjd->bij", query, key)

    def pull(self, query, key, vector, slope):
        of_query = jnp.einsum("bij,bjd->bid", slope, key)
        return Pulled(of_query, jnp.einsum("bij,bid->bjd", slope, query), None)


class AdditiveByTanh:
    """v . tanh(q + k) of any inputs."""

    def prepare(self, inputs):
        precise = accumulator(inputs.query.dtype)
        return tuple(x.astype(precise) for x in (inputs.query, inputs.key, inputs.score_vector))

    def scores(self, query, key, vector):
        return jnp.tanh(query[:, :, None, :] + key[:, None, :, :]) @ vector

    def pull(self, query, key, vector, slope):
        t = jnp.tanh(query[:, :, None, :] + key[:, None, :, :])
        of_vector = jnp.einsum("bij,bije->e", slope, t)
        return _pulled(vector, slope[:, :, :, None] * (1 - t * t), of_vector)


class AdditiveByExponentials(AdditiveByTanh):
    """v . tanh(q + k) of inputs within the limit, one division an element."""

    def scores(self, query, key, vector):
        """Keys lie on the minor axis, which is vectorised; a block of features is summed in one
        expression, so that nothing of [i, j, d] is stored, and the loop over blocks makes that
        sum one fusion (it has two uses, and XLA would store every term of it)."""
        d = vector.shape[0]
        blocks = max(2, -(-d // UNROLLED))
        size = -(-d // blocks)
        extra = blocks * size - d
        query, key = (jnp.pad(x, ((0, 0), (0, 0), (0, extra))).swapaxes(1, 2) for x in (query, key))
        query, key, padded = jnp.exp(2 * query), jnp.exp(2 * key), jnp.pad(vector, (0, extra))

        def add(block, total):
            at = block * size
            a, b = (jax.lax.dynamic_slice_in_dim(x, at, size, axis=1) for x in (query, key))
            v = jax.lax.dynamic_slice_in_dim(padded, at, size)
            return total + sum(v[e] / (1 + a[:, e, :, None] * b[:, e, None, :]) for e in range(size))

        zero = jnp.zeros((query.shape[0], query.shape[2], key.shape[2]), vector.dtype)
        return vector.sum() - 2 * jax.lax.fori_loop(0, blocks, add, zero)

    def pull(self, query, key, vector, slope):
        query, key = jnp.exp(2 * query), jnp.exp(2 * key)
        r = 1 / (1 + query[:, :, None, :] * key[:, None, :, :])
        # Rows of the slope sum to 0, so that the 1 of t = 1 - 2 r adds nothing to the vector's derivative.
        of_vector = -2 * jnp.einsum("bij,bije->e", slope, r)
        return _pulled(4 * vector, slope[:, :, :, None] * (r - r * r), of_vector)


def _pulled(factor: Any, steep: Any, of_vector: Any) -> Pulled:
    """From the slope of each query, key and feature [batch, i, j, d], less the factor [d]."""
    factor = factor[None, None, :]
    return Pulled(factor * steep.sum(axis=2), factor * steep.sum(axis=1), of_vector)
