"""Pickles that hold arrays, numbers, texts and plain containers, read without running anything else.

A pickle is a program. Here it may call nothing but the stand-ins below, which build arrays of plain
types from checked parts; a call of any other name is refused. Source of what NumPy writes:
numpy/_core/multiarray (`_reconstruct`, `scalar`), numpy/_core/numeric (`_frombuffer`).
"""

import collections
import pickle
import re
import struct
from pathlib import Path
from typing import Any

import numpy as np

from mer_jax.data.builders.raw_files import damaged
from mer_jax.errors import InputError

_PLAIN_TYPE = re.compile(r"[|<>=]?[biufcSUO]\d*")
_NDARRAY = "numpy.ndarray"  # named by a pickle as an argument, never called


def read_pickle(path: Path) -> Any:
    """What a pickle of arrays and plain containers holds, of any protocol, Python 2's included.

    Raises InputError where it is damaged, or names anything that could run code.
    """
    try:
        with open(path, "rb") as file:
            return _plain(_ArrayUnpickler(file, path).load())
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); correct the path") from error
    except (
        *(pickle.UnpicklingError, EOFError, ValueError, TypeError, AttributeError, LookupError),
        *(struct.error, OverflowError, MemoryError, RecursionError),
    ) as error:
        raise damaged(path, str(error) or type(error).__name__) from error


class _ArrayUnpickler(pickle.Unpickler):
    def __init__(self, file: Any, path: Path):
        super().__init__(file, encoding="latin1")
        self._path = path

    def find_class(self, module: str, name: str) -> Any:
        module = module.replace("__builtin__", "builtins").replace("._core.", ".core.")
        found = _ADMITTED.get((module, name))
        if found is None:
            raise InputError(
                f"{self._path} asks for {module}.{name}, and may run code; only arrays of numbers and texts in "
                "plain containers are read: have its maker save those alone"
            )
        return found


class _Dtype:
    """Stands for numpy.dtype: numbers, texts and objects, no records."""

    def __init__(self, spec: Any, align: Any = False, copy: Any = False):
        del align, copy
        if not isinstance(spec, str) or not _PLAIN_TYPE.fullmatch(spec):
            raise pickle.UnpicklingError(f"arrays of type {spec!r} are not read")
        self.dtype = np.dtype("O" if spec.lstrip("|<>=").startswith("O") else spec)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, order, *parts = state
        if any(part is not None for part in parts[:3]):
            raise pickle.UnpicklingError("arrays of records are not read")
        self.dtype = self.dtype.newbyteorder(order)


class _Array(np.ndarray):
    """An array that takes its content from a pickle: a type that was checked, and as many bytes as it needs."""

    def __setstate__(self, state: tuple[Any, ...]) -> None:  # pyrefly: ignore
        shape, dtype, fortran, content = state[-4:]
        checked: Any = (1, shape, _checked(dtype), bool(fortran), content)
        super().__setstate__(checked)


def _checked(dtype: Any) -> np.dtype:
    if not isinstance(dtype, _Dtype):
        raise pickle.UnpicklingError(f"{dtype!r} is no type of arrays")
    return dtype.dtype


def _reconstruct(kind: Any, shape: Any, typecode: Any) -> np.ndarray:
    del shape, typecode
    if kind is not _NDARRAY:
        raise pickle.UnpicklingError(f"{kind!r} is no kind of array")
    array: Any = _Array
    return np.ndarray.__new__(array, (0,), np.int8)


def _scalar(dtype: Any, content: Any = b"") -> Any:
    kind = _checked(dtype)
    raw = content.encode("latin1") if isinstance(content, str) else content
    return np.frombuffer(raw, kind)[0] if kind.itemsize else kind.type()


def _from_buffer(buffer: Any, dtype: Any, shape: Any, order: Any, axes: Any = None) -> np.ndarray:
    flat = np.frombuffer(buffer, _checked(dtype))
    return flat.reshape(shape).transpose(axes) if order == "K" else flat.reshape(shape, order=order)


def _encode(text: str, encoding: str) -> bytes:
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"bytes encoded as {encoding!r} are not read")
    return text.encode("latin1")


_ADMITTED: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): _NDARRAY,
    ("numpy", "dtype"): _Dtype,
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy.core.multiarray", "scalar"): _scalar,
    ("numpy.core.numeric", "_frombuffer"): _from_buffer,
    ("_codecs", "encode"): _encode,
    ("collections", "OrderedDict"): collections.OrderedDict,
    **{("builtins", kind.__name__): kind for kind in (list, tuple, dict, set, frozenset, complex, bytes)},
    ("builtins", "bytearray"): bytearray,
}


def _plain(value: Any) -> Any:
    """The same with ordinary arrays."""
    if isinstance(value, np.ndarray):
        array = value.view(np.ndarray)
        if array.dtype == object:
            flat = [_plain(item) for item in array.ravel()]
            array = np.fromiter(flat, object, len(flat)).reshape(array.shape)
        return array
    if isinstance(value, dict):
        return {_plain(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_plain(item) for item in value)
    return value
