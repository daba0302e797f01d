"""Fitted statistics as .npz files: written whole or not at all, and checked when they are read."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mer_jax.errors import InputError
from mer_jax.records import write_atomically

KIND = "kind"


def write_arrays(path: Path, kind: str, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes an .npz whole or not at all; the same arrays give the same bytes.

    kind: what the file holds and its version, which `read_arrays` asks for.
    """
    content = io.BytesIO()
    everything: dict[str, Any] = {KIND: np.array(kind), **arrays}
    np.savez_compressed(content, **everything)
    write_atomically(path, content.getvalue())


def read_arrays(path: Path, kind: str) -> dict[str, np.ndarray]:
    """What `write_arrays` wrote. Raises InputError where the file is missing, damaged or of another kind."""
    if not path.exists():
        raise InputError(f"{path} does not exist; fit the {kind} on train again and save it")
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        found = str(arrays.pop(KIND))
    except Exception as error:
        raise damaged(path, kind, error) from error
    if found != kind:
        raise InputError(f"{path} holds {found!r}, not {kind!r}; fit it on train again with this version")
    return arrays


def damaged(path: Path, kind: str, error: Exception) -> InputError:
    """The error of a file that cannot be read as `kind`."""
    said = " ".join(str(error).split())
    return InputError(f"{path} is damaged ({type(error).__name__}: {said}); fit the {kind} on train again")
