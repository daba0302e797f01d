"""Copies are found whatever rounding has done to them; NumPy's unique rows are the measure."""

import numpy as np

from mer_jax.emotion_space import distinct_rows as module
from mer_jax.emotion_space.distinct_rows import distinct_rows, unlike
from tests.emotion_space.states import generated_states


def test_rows_counts_and_inverse_are_those_of_numpy():
    rows = generated_states(400)
    wanted, counts = np.unique(rows, axis=0, return_counts=True)
    found = distinct_rows(rows)
    order = np.lexsort(found.rows.T[::-1])
    np.testing.assert_array_equal(found.rows[order], wanted)
    np.testing.assert_array_equal(found.counts[order], counts)
    np.testing.assert_array_equal(found.rows[found.inverse], rows)
    first = [int(np.flatnonzero(found.inverse == i)[0]) for i in range(len(found))]
    assert first == sorted(first)


def test_rounding_errors_make_no_new_row():
    third = np.float32(1) / np.float32(3)
    rows = np.array([[third, 0], [np.nextafter(third, np.float32(1)), -0.0], [1, 3]], np.float32)
    assert distinct_rows(rows).counts.tolist() == [2, 1]


def test_colliding_hashes_are_told_apart(monkeypatch):
    monkeypatch.setattr(module, "_hashes", lambda keys: np.zeros(len(keys), np.uint64))
    rows = generated_states(50)
    assert len(distinct_rows(rows)) == len(np.unique(rows, axis=0))


def test_constant_columns_and_equal_rows():
    assert len(distinct_rows(np.ones((5, 3), np.float32))) == 1
    assert distinct_rows(np.array([[1.0, 2], [1, 3], [1, 2]])).counts.tolist() == [2, 1]


def test_rows_unlike_others():
    known, new = generated_states(60), generated_states(60, seed=1)
    names = {row.tobytes() for row in known}
    wanted = {row.tobytes() for row in new if row.tobytes() not in names}
    found = unlike(new, known)
    assert {row.tobytes() for row in found} == wanted
    assert len(found) == len(wanted) > 0
