"""Rows without their copies: emotion states are discrete, and copies leave a perplexity without solution."""

import dataclasses

import numpy as np

from mer_jax.data.randomness import stream

GRID = 2.0**20  # steps of a column's range within which two values are one


@dataclasses.dataclass(frozen=True)
class DistinctRows:
    """The rows that differ.

    rows: [m, d] float32, in the order in which each occurs first.
    counts: [m] how often each occurs.
    inverse: [n] the number of each row's distinct one.
    """

    rows: np.ndarray
    counts: np.ndarray
    inverse: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)


def distinct_rows(rows: np.ndarray) -> DistinctRows:
    """The distinct rows of [n, d]; values nearer than 2^-20 of a column's range are one."""
    keys = _keys(rows)
    _, first, inverse = np.unique(_hashes(keys), return_index=True, return_inverse=True)
    if (keys[first[inverse]] != keys).any():  # two rows have one hash
        _, first, inverse = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    order = np.argsort(first)
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    inverse = place[inverse.reshape(-1)]
    return DistinctRows(
        np.asarray(rows[first[order]], np.float32), np.bincount(inverse, minlength=len(order)), inverse
    )


def unlike(rows: np.ndarray, others: np.ndarray) -> np.ndarray:
    """The distinct rows of `rows` that do not occur in `others`."""
    both = distinct_rows(np.concatenate([others, rows]))
    known = both.inverse[: len(others)].max(initial=-1)
    return both.rows[known + 1 :]


def _keys(rows: np.ndarray) -> np.ndarray:
    low, high = rows.min(axis=0, keepdims=True), rows.max(axis=0, keepdims=True)
    span = np.where(high > low, np.float64(high) - low, 1.0)
    return np.rint((np.float64(rows) - low) / span * GRID).astype(np.int64)


def _hashes(keys: np.ndarray) -> np.ndarray:
    odd = stream(0, "distinct rows").integers(0, 2**63, keys.shape[1], np.uint64) * np.uint64(2) + np.uint64(
        1
    )
    return (keys.astype(np.uint64) * odd).sum(axis=1, dtype=np.uint64)
