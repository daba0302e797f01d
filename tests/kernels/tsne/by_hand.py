"""t-SNE's formulas in NumPy, float64, one row at a time: what reference and kernels are measured by."""

import numpy as np
from scipy.optimize import brentq


def squared_distances(x):
    x = np.asarray(x, np.float64)
    return np.array([((x - row) ** 2).sum(1) for row in x])


def row(distances, beta, weights):
    """p over the others of one row, and its entropy."""
    terms = weights * np.exp(-beta * (distances - distances.min()))
    p = terms / terms.sum()
    full = p > 0
    return p, -(p[full] * np.log(p[full] / weights[full])).sum()


def conditional(distances, perplexity, weights=None, groups=None):
    """p_{j|i} of [n, n]; others of a row are those of another group (by default every other row)."""
    n = len(distances)
    weights = np.ones(n) if weights is None else np.asarray(weights, np.float64)
    groups = np.arange(n) if groups is None else groups
    result, betas = np.zeros((n, n)), np.zeros(n)
    for i in range(n):
        others = groups != groups[i]
        d, w = np.asarray(distances[i], np.float64)[others], weights[others]
        scale = (d - d.min()).mean()
        found = brentq(lambda u: row(d, np.exp(u) / scale, w)[1] - np.log(perplexity), -25, 25, xtol=1e-13)  # noqa: B023
        betas[i] = np.exp(found) / scale
        result[i, others] = row(d, betas[i], w)[0]
    return result, betas


def perplexities(probabilities, weights=None):
    """Of rows as an implementation returns them."""
    p = np.asarray(probabilities, np.float64)
    w = np.ones_like(p) if weights is None else np.broadcast_to(np.asarray(weights, np.float64), p.shape)
    return np.exp([-(a[a > 0] * np.log(a[a > 0] / b[a > 0])).sum() for a, b in zip(p, w, strict=True)])


def joint(p, weights=None):
    weights = np.ones(len(p)) if weights is None else np.asarray(weights, np.float64)
    mass = weights[:, None] * p
    return (mass + mass.T) / (2 * weights.sum())


def divergence(y, p, weights=None, v=1.0, groups=None):
    """KL and its gradient, pair by pair; pairs of one group (by default a row with itself) are left out."""
    y, n = np.asarray(y, np.float64), len(y)
    weights = np.ones(n) if weights is None else np.asarray(weights, np.float64)
    groups = np.arange(n) if groups is None else groups
    pairs = groups[:, None] != groups[None, :]
    grown = 1 + squared_distances(y) / v
    q = np.where(pairs, weights[:, None] * weights[None, :] * grown ** (-(v + 1) / 2), 0)
    q /= q.sum()
    full = (p > 0) & pairs
    value = (p[full] * np.log(p[full] / q[full])).sum()
    force = (p - q) / grown
    gradient = [2 * (v + 1) / v * (force[i][:, None] * (y[i] - y)).sum(0) for i in range(n)]
    return value, np.array(gradient)
