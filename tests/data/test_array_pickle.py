"""Written by NumPy and the standard library's pickle, which are the reference."""

import collections
import datetime
import functools
import os
import pickle

import numpy as np
import pytest

from mer_jax.data.array_pickle import read_pickle
from mer_jax.errors import InputError

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)
ARRAYS = {
    "float32": np.arange(6, dtype=np.float32).reshape(2, 3),
    "float64": np.array([[1.5, -np.inf], [np.nan, 0]]),
    "big_endian": np.array([1, 2, 3], ">i4"),
    "fortran": np.asfortranarray(np.arange(12.0).reshape(3, 4)),
    "permuted": np.arange(24.0).reshape(2, 3, 4).transpose(1, 0, 2),
    "strided": np.arange(10)[::2],
    "bool": np.array([True, False]),
    "empty": np.zeros((0, 4), np.float32),
    "scalar": np.array(3.0),
    "unicode": np.array(["gut", "schön"]),
    "bytes": np.array([b"a", b"bcd"]),
    "objects": np.array([["v1", 1.5, None], ["v2", "2.5", b"x"]], object),
    "complex": np.array([1 + 2j]),
}


def dump(tmp_path, value, protocol=pickle.HIGHEST_PROTOCOL):
    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps(value, protocol))
    return path


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_come_back_as_they_were(tmp_path, name, protocol):
    path = dump(tmp_path, ARRAYS[name], protocol)
    found = read_pickle(path)
    assert type(found) is np.ndarray
    assert found.dtype == pickle.loads(path.read_bytes()).dtype
    np.testing.assert_array_equal(found, ARRAYS[name])


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_containers_and_scalars(tmp_path, protocol):
    value = {
        "train": {"x": ARRAYS["float32"], "ids": ["a$_$1", "b"], "t": (1, 2.5, None, True, b"", b"\xff")},
        "scalars": [np.float32(1.5), np.int64(3), np.str_("wort"), np.str_(""), np.bool_(True)],
        "sets": [{1, 2}, frozenset({3}), 1j],
        "ordered": collections.OrderedDict(a=1, b=ARRAYS["unicode"]),
        "nested": np.array([None, 0], object),
    }
    value["nested"][0] = np.ones(2)
    found = read_pickle(dump(tmp_path, value, protocol))
    np.testing.assert_array_equal(found["train"]["x"], ARRAYS["float32"])
    assert {k: v for k, v in found["train"].items() if k != "x"} == {
        "ids": ["a$_$1", "b"],
        "t": value["train"]["t"],
    }
    assert found["scalars"] == value["scalars"]
    assert [type(x) for x in found["scalars"]] == [np.float32, np.int64, np.str_, np.str_, np.bool_]
    assert found["sets"] == value["sets"]
    assert list(found["ordered"]) == ["a", "b"]
    assert type(found["nested"][0]) is np.ndarray


@pytest.mark.parametrize("protocol", [0, 1, 2, 3])
def test_numpy_1_names_its_functions_otherwise(tmp_path, protocol):
    raw = pickle.dumps(ARRAYS["float64"], protocol).replace(
        b"numpy._core.multiarray", b"numpy.core.multiarray"
    )
    (tmp_path / "a.pkl").write_bytes(raw)
    assert b"_core" not in raw
    np.testing.assert_array_equal(read_pickle(tmp_path / "a.pkl"), ARRAYS["float64"])


def test_python_2_kept_bytes_in_its_strings(tmp_path):
    """Written by hand as Python 2's protocol 2 does: the array's bytes in a str."""
    raw = (
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        b"(K\x01K\x02\x85cnumpy\ndtype\nU\x02f4K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xff"
        b"K\x00tb\x89U\x08" + np.array([1.5, -2], "<f4").tobytes() + b"tb."
    )
    (tmp_path / "a.pkl").write_bytes(raw)
    np.testing.assert_array_equal(read_pickle(tmp_path / "a.pkl"), [1.5, -2])


class Runs:
    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    ("value", "named"),
    [
        (Runs(os.system, "touch spoilt"), r"\.system"),
        (Runs(eval, "1"), r"builtins\.eval"),
        (Runs(getattr, "a", "b"), r"builtins\.getattr"),
        (functools.partial(print), r"functools\.partial"),
        (datetime.date(2020, 1, 1), r"datetime\.date"),
        (np.random.default_rng(0), r"numpy\.random"),
        ({"x": [np.float32]}, r"numpy\.float32"),
        (np.ma.masked_array([1.0]), r"numpy\.ma"),
    ],
)
@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_anything_else_is_named_and_not_run(tmp_path, monkeypatch, value, named, protocol):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=rf"a\.pkl asks for \S*{named}.*, and may run code; only arrays"):
        read_pickle(dump(tmp_path, {"train": value}, protocol))
    assert not (tmp_path / "spoilt").exists()


@pytest.mark.parametrize(
    "value",
    [
        np.zeros(2, [("a", "f4"), ("b", "O")]),
        np.array(["2020-01-01"], "datetime64[D]"),
        np.zeros(2, "V8"),
    ],
)
def test_arrays_of_other_types_are_refused(tmp_path, value):
    with pytest.raises(InputError, match=r"a\.pkl cannot be read \(arrays of"):
        read_pickle(dump(tmp_path, value, 2))


@pytest.mark.parametrize("flags", [b"K\x3f", b"K\x00"])
def test_bytes_cannot_pass_for_objects_whatever_flags_the_type_claims(tmp_path, flags):
    raw = (
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        b"(K\x01K\x02\x85cnumpy\ndtype\nU\x02O8K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xff"
        + flags
        + b"tb\x89U\x10AAAAAAAAAAAAAAAAtb."
    )
    (tmp_path / "a.pkl").write_bytes(raw)
    with pytest.raises(InputError, match="cannot be read"):
        read_pickle(tmp_path / "a.pkl")


def test_damage_is_named(tmp_path):
    path = dump(tmp_path, ARRAYS)
    for content in (
        path.read_bytes()[:-40],
        b"",
        b"not a pickle",
        path.read_bytes()[: len(path.read_bytes()) // 3],
    ):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"a\.pkl cannot be read .* copy it again"):
            read_pickle(path)
    with pytest.raises(InputError, match=r"gone\.pkl cannot be read .* correct the path"):
        read_pickle(tmp_path / "gone.pkl")


def test_a_pickle_within_itself_ends(tmp_path):
    value = []
    value.append(value)
    with pytest.raises(InputError, match="cannot be read"):
        read_pickle(dump(tmp_path, value))
