"""Which way up a map is: rotations and reflections leave t-SNE's divergence alone, so they are fixed here."""

import numpy as np


def principal_scores(rows: np.ndarray, components: int) -> np.ndarray:
    """[n, c] scores on the first principal axes; each axis points where its largest loading is positive."""
    centered = np.float64(rows) - rows.mean(axis=0, keepdims=True, dtype=np.float64)
    _, _, axes = np.linalg.svd(centered.T @ centered)
    axes = axes[:components]
    largest = np.take_along_axis(axes, np.abs(axes).argmax(axis=1)[:, None], 1)
    scores = centered @ (axes * np.where(largest < 0, -1, 1)).T
    missing = components - scores.shape[1]
    return np.pad(scores, ((0, 0), (0, missing))) if missing > 0 else scores


def rotation_onto(places: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The orthogonal R that brings the centred places nearest to the centred target (Schoenemann 1966).

    min_R |Y R - T|_F, R = U V^T of the singular value decomposition Y^T T = U S V^T.
    """
    y, t = (np.float64(x) - x.mean(axis=0, keepdims=True, dtype=np.float64) for x in (places, target))
    u, _, v = np.linalg.svd(y.T @ t)
    return u @ v
