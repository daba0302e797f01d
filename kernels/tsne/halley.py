"""beta of each row by a safeguarded Halley iteration on its logarithm, whatever holds the rows.

With D shifted to the row's nearest and S = sum_j w_j exp(-beta D_j), mean, variance and third
central moment of D under p_j = w_j exp(-beta D_j) / S, and u = log beta:

    f = log S + beta mean - log perplexity,   -f' = g = beta^2 var,   f'' = h = -2 g + beta^3 mu3
    du = (f / g) / (1 - f h / 2 g^2)
"""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp

from kernels.tsne.reference import TIED, VANISHED

START = 0.7  # log of beta times the row's mean distance
STEPS = 64
FAR = 1e30  # stands for the distance to what is left out: exp(-beta FAR) = 0, and 0 times FAR is 0


@runtime_checkable
class Rows(Protocol):
    """Some rows of squared distances, FAR where an entry is left out, with weights or None for ones.

    Numbers of rows are arrays that broadcast with one another; `terms` and `term` take distances,
    weights and numbers of rows, so that all of them broadcast.
    """

    def sums(self, terms: Callable, *of_rows: Any) -> tuple[Any, ...]:
        """Sums along the rows of each array of terms(distances, weights, *of_rows)."""

    def least(self, term: Callable, *of_rows: Any) -> Any:
        """The least of term(distances, weights, *of_rows) along the rows."""

    def scaled(self, shift: Any, scale: Any) -> "Rows":
        """(D - shift) / scale, FAR where it was."""

    def number(self, value: float) -> Any:
        """The same number for each row."""

    def some(self, of_rows: Any) -> Any:
        """Whether any row has it."""


class Solved(NamedTuple):
    """Of each row: beta, whether it reaches the perplexity, the least distance, sum_j w_j exp(-beta (D_j - shift))."""

    beta: Any
    feasible: Any
    shift: Any
    total: Any


def solve(rows: Rows, perplexity: Any) -> Solved:
    """beta of each row; where none reaches the perplexity, the closest."""
    least = rows.least(lambda d, w: d)
    shift = jnp.where(least < FAR, least, 0)
    moved, count = rows.sums(
        lambda d, w, shift: (jnp.where(d < FAR, d - shift, 0), jnp.where(d < FAR, jnp.ones_like(d), 0)), shift
    )
    mean = moved / jnp.maximum(count, 1)
    scale = jnp.where(mean > 0, mean, 1)
    scaled = rows.scaled(shift, scale)
    tied = (TIED * float(jnp.finfo(shift.dtype).eps)) * shift / scale
    feasible, outside = _feasible(scaled, perplexity, tied)
    beta = jnp.where(feasible, jnp.exp(_halley(scaled, jnp.log(perplexity), feasible)), outside)
    (total,) = scaled.sums(lambda d, w, beta: (kept(d, weighed(jnp.exp(-beta * d), w)),), beta)
    return Solved(beta / scale, feasible, shift, jnp.where(total > 0, total, 1))


def normalized(rows: Rows, beta: Any) -> Solved:
    """The sums of each row at its beta, which is as it was given."""
    shift = rows.least(lambda d, w: d)

    def term(d: Any, w: Any, beta: Any, shift: Any) -> Any:
        return (kept(d, weighed(jnp.exp(-beta * (d - shift)), w)),)

    (total,) = rows.sums(term, beta, shift)
    return Solved(beta, beta >= 0, shift, total)


def weighed(terms: Any, weights: Any) -> Any:
    """Times the weights, where there are any."""
    return terms if weights is None else terms * weights


def kept(distances: Any, terms: Any) -> Any:
    """The terms of what is not left out, else 0."""
    return jnp.where(distances < FAR, terms, 0)


def _feasible(rows: Rows, perplexity: Any, tied: Any) -> tuple[Any, Any]:
    """Whether a beta reaches the perplexity; and the beta (scaled) that comes closest where none does."""

    def masses(d: Any, w: Any, tied: Any) -> tuple[Any, Any]:
        mass = weighed(jnp.ones_like(d), w)
        return jnp.where(d <= tied, mass, 0), kept(d, mass)

    nearest, total = rows.sums(masses, tied)
    gap = rows.least(lambda d, w, tied: jnp.where(d > tied, d, FAR), tied)
    closest = jnp.where((perplexity >= total) | (gap >= FAR), 0, VANISHED / gap)
    return (nearest < perplexity) & (perplexity < total), closest


def _halley(rows: Rows, wanted: Any, feasible: Any) -> Any:
    """log beta (scaled) of the feasible rows."""

    def unsolved(state: Any) -> Any:
        step, _, _, _, far = state
        return (step < STEPS) & far

    def advance(state: Any) -> Any:
        step, u, low, high, _ = state
        f, g, h = _derivatives(rows, u, wanted)
        low, high = jnp.where(f > 0, u, low), jnp.where(f < 0, u, high)
        du = f / g / jnp.clip(1 - f * h / (2 * g * g), 0.4, 3.0)
        new = u + jnp.clip(du, -2.5, 2.5)
        leaves = ((new <= low) | (new >= high)) & (jnp.abs(f) > 1e-3)
        far = feasible & (jnp.abs(f) > jnp.maximum(3e-3 * jnp.minimum(g, 1), 2e-6))
        return step + 1, jnp.where(leaves, (low + high) / 2, new), low, high, rows.some(far)

    u, low, high = (rows.number(x) for x in (START, -jnp.inf, jnp.inf))
    return jax.lax.while_loop(unsolved, advance, (0, u, low, high, rows.some(feasible)))[1]


def _derivatives(rows: Rows, u: Any, wanted: Any) -> tuple[Any, Any, Any]:
    """f, g and h at u, all of entropy: f' = -g, f'' = h."""

    def moments(d: Any, w: Any, beta: Any) -> tuple[Any, ...]:
        zeroth = weighed(jnp.exp(-beta * d), w)
        first = zeroth * d
        second = first * d
        return zeroth, first, second, second * d

    beta = jnp.exp(u)
    sum_, *others = rows.sums(moments, beta)
    total = jnp.maximum(sum_, 1e-30)
    mean, square, cube = (x / total for x in others)
    variance = square - mean * mean
    mu3 = cube - mean * (3 * square - 2 * mean * mean)
    g = jnp.maximum(beta * beta * variance, 1e-10)
    return jnp.log(total) + beta * mean - wanted, g, -2 * g + beta * beta * beta * mu3
