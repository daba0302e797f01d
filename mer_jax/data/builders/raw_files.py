"""Reading raw files so that damage is a sentence about the file, not a traceback."""

import csv
import math
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mer_jax.errors import InputError, nearest


def damaged(path: Path, reason: object) -> InputError:
    """The error for a file that cannot be read to its end."""
    said = " ".join(str(reason).split())
    return InputError(
        f"{path} cannot be read ({said}): it is truncated or not what its name says; "
        "compare its checksum with the source's and copy it again"
    )


def read_table(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """The rows of a UTF-8 CSV file with a header that has at least `columns`.

    Raises InputError where the file is damaged, not a table, or lacks a column.
    """
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            rows = list(reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise damaged(path, error) from error
    header = reader.fieldnames or []
    for column in columns:
        if column not in header:
            raise InputError(f"{path}: there is no column {column!r}; {nearest(column, header)}")
    for number, row in enumerate(rows, start=2):
        if None in row or None in row.values():
            raise damaged(path, f"row {number} does not have the {len(header)} fields of the header")
    return rows


def number(text: str, path: Path, row: int, column: str) -> float:
    """The finite number in one cell of a table.

    row: as a spreadsheet counts, the header being row 1. Raises InputError.
    """
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InputError(f"{path}, row {row}, column {column!r}: {text!r} is not a number; correct the file")
    return value


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Every array of an npz file. Raises InputError where it is damaged or holds pickles."""
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (AttributeError, TypeError):
        raise InputError(f"{path} holds one bare array; save named arrays with numpy.savez") from None
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise damaged(path, error) from error


def named_array(arrays: dict[str, np.ndarray], name: str, path: Path) -> np.ndarray:
    """One array of an npz file, or an InputError naming those it has."""
    if name not in arrays:
        raise InputError(f"{path}: there is no array {name!r}; {nearest(name, arrays)}")
    return arrays[name]
