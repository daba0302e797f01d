"""The network that maps a state to its place: the same bytes for a row alone and in any batch."""

import itertools
from collections.abc import Iterable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from mer_jax.data.randomness import stream

ROWS = 1024  # of every call of `embed`: a matrix product's bits depend on its shape, so there is one


class EmbeddingNetwork(nn.Module):
    """y = W_L silu(... silu(W_1 u + b_1) ...) + b_L, u the scaled row; silu(x) = x sigmoid(x).

    hidden: width of each hidden layer. components: dimensions of the map.
    """

    hidden: Sequence[int]
    components: int

    @nn.compact
    def __call__(self, scaled: Float[Array, "n d"]) -> Float[Array, "n c"]:
        for width in self.hidden:
            scaled = nn.silu(nn.Dense(width)(scaled))
        return nn.Dense(self.components)(scaled)


def initial(widths: Sequence[int], seed: int) -> Any:
    """Parameters to start from: weights normal with variance 2 / fan-in (He et al. 2015), in the last layer
    0.2 / fan-in, so that the map begins small; biases 0. widths: from the rows' to the map's."""
    rng, made = stream(seed, "network"), []
    for fan_in, width in itertools.pairwise(widths):
        variance = (0.2 if len(made) == len(widths) - 2 else 2.0) / fan_in
        weights = np.sqrt(variance) * rng.standard_normal((fan_in, width))
        made.append((weights.astype(np.float32), np.zeros(width, np.float32)))
    return with_layers(made)


def layers(params: Any) -> list[tuple[np.ndarray, np.ndarray]]:
    """Weights and biases in the order of the layers."""
    found = params["params"]
    return [(np.asarray(found[name]["kernel"]), np.asarray(found[name]["bias"])) for name in in_order(found)]


def in_order(names: Iterable[str]) -> list[str]:
    """Names of layers, Dense_10 behind Dense_9."""
    return sorted(names, key=lambda name: int(name.rpartition("_")[2]))


def with_layers(arrays: Sequence[tuple[np.ndarray, np.ndarray]]) -> Any:
    """The parameters that `layers` took apart."""
    made = {f"Dense_{i}": {"kernel": w, "bias": b} for i, (w, b) in enumerate(arrays)}
    return {"params": made}


@jax.jit
def _embed(params: Any, center: Any, scale: Any, rows: Any) -> Any:
    found = params["params"]
    widths = [found[name]["bias"].shape[0] for name in in_order(found)]
    return EmbeddingNetwork(tuple(widths[:-1]), widths[-1]).apply(params, (rows - center) * scale)


def embed(params: Any, center: np.ndarray, scale: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """[n, d] -> [n, c] float32, by blocks of `ROWS` rows, the last one filled up with its first row."""
    rows = np.ascontiguousarray(rows, np.float32)
    params = jax.tree.map(jnp.asarray, params)
    given = jnp.asarray(center, jnp.float32)[None, :], jnp.asarray(scale, jnp.float32)[None, :]
    parts = []
    for first in range(0, len(rows), ROWS):
        block = rows[first : first + ROWS]
        missing = ROWS - len(block)
        if missing:
            block = np.concatenate([block, np.broadcast_to(block[:1], (missing, rows.shape[1]))])
        parts.append(_embed(params, *given, block))
    whole = np.concatenate([np.asarray(part) for part in parts])
    return whole[: len(rows)]
