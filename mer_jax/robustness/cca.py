"""Regularised canonical correlation analysis of two views."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Float

from mer_jax.errors import InputError
from mer_jax.robustness.arrays_file import damaged, read_arrays, write_arrays

RELATIVE_RANK = 1e-6  # directions and columns that vary less, relatively, are float32's rounding
KIND = "canonical correlation analysis 1"


class CCA(struct.PyTreeNode):
    """Two linear maps to canonical coordinates, float32; a pytree, so that projections can be jitted.

    mean_x, mean_y: [dx], [dy]. weights_x, weights_y: [dx, k], [dy, k]. correlations: [k], descending.
    """

    mean_x: Any
    mean_y: Any
    weights_x: Any
    weights_y: Any
    correlations: Any

    def project_x(self, x: Float[Any, "*samples dx"]) -> Float[Any, "*samples k"]:
        """Canonical coordinates (x - mean) W of the first view."""
        return _project(x, self.mean_x, self.weights_x)

    def project_y(self, y: Float[Any, "*samples dy"]) -> Float[Any, "*samples k"]:
        """Canonical coordinates (y - mean) W of the second view."""
        return _project(y, self.mean_y, self.weights_y)

    def save(self, path: Path) -> None:
        """Writes an .npz atomically."""
        write_arrays(path, KIND, self.arrays())

    @classmethod
    def load(cls, path: Path) -> "CCA":
        """Reads what `save` wrote. Raises InputError where the file is missing or damaged."""
        arrays = read_arrays(path, KIND)
        try:
            return cls(**arrays)
        except TypeError as error:
            raise damaged(path, KIND, error) from error

    def arrays(self) -> dict[str, np.ndarray]:
        """Every field by its name."""
        return {name: np.asarray(getattr(self, name)) for name in FIELDS}


def _project(values: Any, mean: Any, weights: Any) -> jax.Array:
    centred = jnp.asarray(values) - jnp.asarray(mean).reshape((1,) * (values.ndim - 1) + (-1,))
    return jnp.matmul(centred, jnp.asarray(weights), precision="highest")


FIELDS = ("mean_x", "mean_y", "weights_x", "weights_y", "correlations")


def fit_cca(
    x: Float[np.ndarray, "samples dx"],
    y: Float[np.ndarray, "_samples dy"],
    *,
    dims: int = 100,
    ridge: float = 0.0,
) -> CCA:
    """The first `dims` pairs of canonical directions, in float64 on the host.

    Columns are standardised. With the thin X = U S V' of each view (QR, then the SVD of R) and
    the covariance C + ridge I, the singular values of

        S_x (S_x^2 + (n-1) ridge)^-1/2 U_x' U_y (S_y^2 + (n-1) ridge)^-1/2 S_y

    are the canonical correlations where ridge = 0, and smaller otherwise (Vinod 1976, canonical
    ridge; Bjoerck and Golub 1973 for the orthogonal form). Coordinates then have unit variance in
    train; the largest weight of each direction of x is positive.

    Columns that don't vary weigh nothing, and directions that don't vary are left out, so that
    views may be rank-deficient or have more columns than samples (then give a ridge: without one
    some correlations are 1, which says nothing).

    Raises InputError where the views have not one row per sample, are not finite, or don't vary.
    """
    _check(x, y, dims, ridge)
    mean_x, white_x, map_x = _whitened(x, ridge)
    mean_y, white_y, map_y = _whitened(y, ridge)
    for name, white in (("first", white_x), ("second", white_y)):
        if white.shape[1] == 0:
            raise InputError(f"CCA: no column of the {name} view varies; leave this modality out")
    left, correlations, right = np.linalg.svd(white_x.T @ white_y, full_matrices=False)
    kept = slice(min(dims, len(correlations)))
    weights_x, weights_y = map_x @ left[:, kept], map_y @ right.T[:, kept]
    largest = np.abs(weights_x).argmax(axis=0)
    signs = np.where(weights_x[largest, np.arange(len(largest))] < 0, -1.0, 1.0)
    found = (mean_x, mean_y, weights_x * signs, weights_y * signs, np.minimum(correlations[kept], 1))
    return CCA(*(value.astype(np.float32) for value in found))


def _check(x: np.ndarray, y: np.ndarray, dims: int, ridge: float) -> None:
    if len(x) != len(y) or len(x) < 2:
        raise InputError(
            f"CCA: the views have {len(x)} and {len(y)} samples; give the same two or more of both"
        )
    for name, view in (("first", x), ("second", y)):
        if not np.isfinite(view).all():
            raise InputError(f"CCA: the {name} view is not finite; drop the samples with NaN or infinity")
    if dims < 1 or not 0 <= ridge < np.inf:
        raise InputError(f"CCA: dims={dims}, ridge={ridge}; give dims >= 1 and a finite ridge >= 0")


def _whitened(view: np.ndarray, ridge: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """mean [d], whitened view [samples, rank], and the map [d, rank] that whitens centred data."""
    view = view.astype(np.float64)
    free = len(view) - 1
    mean = view.mean(axis=0)
    sd = (view - mean).std(axis=0, ddof=1)
    varies = sd > RELATIVE_RANK * np.abs(view).max(axis=0)
    scale = np.where(varies, 1 / np.where(varies, sd, 1), 0)
    basis, triangle = np.linalg.qr((view - mean) * scale)
    inner, values, directions = np.linalg.svd(triangle, full_matrices=False)
    kept = values > RELATIVE_RANK * values.max(initial=0)
    values = values[kept]
    gain = 1 / np.sqrt(values**2 / free + ridge)
    white = basis @ inner[:, kept] * (values * gain / np.sqrt(free))
    return mean, white, scale[:, None] * directions[kept].T * gain
