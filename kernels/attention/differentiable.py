"""The derivative of attention, shared by every fused implementation: only context and log-sum-exp are kept.

With p_ts = exp(e_ts - lse_t) recomputed in the backward pass, g the Gaussian (1 without one) and
dc the cotangent of the context, the derivative of the score is

    de_ts = p_ts (g_ts dc_t . value_s - dc_t . c_t)
"""

import functools
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from kernels.attention.alignment import Ranges
from kernels.attention.reference import Inputs


class Gradients(NamedTuple):
    """Of the loss, each in the shape of what it is the gradient of, or None where that is None."""

    query: Any
    key: Any
    value: Any
    score_vector: Any
    centre: Any


@runtime_checkable
class Kernel(Protocol):
    """An implementation: hashable, with what it knows before tracing in its fields."""

    def forward(
        self, inputs: Inputs, ranges: Ranges, sigma: float | None
    ) -> tuple[Float[Array, "batch m dv"], Float[Array, "batch m"]]:
        """Context in the type of the values, and log-sum-exp of each query's scores in float32
        (float64 for float64 inputs); +inf where no key is left."""
        ...

    def backward(
        self,
        inputs: Inputs,
        ranges: Ranges,
        sigma: float | None,
        log_sum_exp: Float[Array, "batch m"],
        cotangent: Float[Array, "batch m dv"],
        delta: Float[Array, "batch m"],
    ) -> Gradients:
        """delta: dc_t . c_t in the type of the log-sum-exp. Gradients of any floating type."""
        ...


def attend(kernel: Kernel, sigma: float | None, inputs: Inputs, ranges: Ranges) -> Float[Array, "batch m dv"]:
    """The context by `kernel`, differentiable in every floating input and in the centre."""
    return _attend(kernel, sigma, inputs, ranges._replace(most=None))


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _attend(kernel: Kernel, sigma: float | None, inputs: Inputs, ranges: Ranges) -> Array:
    return kernel.forward(inputs, ranges, sigma)[0]


def _forward(kernel, sigma, inputs, ranges):
    context, log_sum_exp = kernel.forward(inputs, ranges, sigma)
    return context, (inputs, ranges, context, log_sum_exp)


def _backward(kernel, sigma, kept, cotangent):
    inputs, ranges, context, log_sum_exp = kept
    precise = log_sum_exp.dtype
    delta = jnp.sum(cotangent.astype(precise) * context.astype(precise), axis=-1)
    found = kernel.backward(inputs, ranges, sigma, log_sum_exp, cotangent, delta)
    like = Gradients(inputs.query, inputs.key, inputs.value, inputs.score_vector, ranges.centre)
    found = jax.tree.map(lambda g, x: g.astype(x.dtype), found, like)
    mask = None if inputs.key_mask is None else _no_gradient(inputs.key_mask)
    return (
        Inputs(found.query, found.key, found.value, found.score_vector, mask),
        Ranges(_no_gradient(ranges.start), _no_gradient(ranges.end), found.centre),
    )


def _no_gradient(array: Any) -> np.ndarray:
    return np.zeros(array.shape, jax.dtypes.float0)


_attend.defvjp(_forward, _backward)
