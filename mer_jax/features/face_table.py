"""The CSV files face-analysis tools write: names in any order, several hundred columns."""

import csv
import dataclasses
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from mer_jax.errors import InputError

NOT_NUMBERS = ("", "nan", "-nan", "+nan")


@dataclasses.dataclass(frozen=True)
class FaceTable:
    """A table of text: `header` maps a column to its place, `lines` are the rows' line numbers."""

    path: Path
    header: Mapping[str, int]
    rows: list[list[str]]
    lines: list[int]

    def numbers(self, column: str) -> np.ndarray:
        """[rows] float64, NaN where a cell is empty or says so (also `-nan(ind)`).

        Raises InputError for a missing column or any other text.
        """
        if column not in self.header:
            raise InputError(
                f"{self.path}: there is no column {column!r}; the file is of another tool or was made from images"
            )
        place = self.header[column]
        cells = [row[place] for row in self.rows]
        try:
            return np.array(cells, np.float64)
        except ValueError:
            pairs = zip(cells, self.lines, strict=True)
            return np.array([self._number(cell, line, column) for cell, line in pairs])

    def frames(self) -> np.ndarray:
        """[rows] the frame of every row."""
        frames = self.numbers("frame")
        if not np.isfinite(frames).all():
            line = self.lines[int(np.argmax(~np.isfinite(frames)))]
            raise InputError(
                f"{self.path}, line {line}, column 'frame': it is empty; run the tool on a video, not on images"
            )
        return frames

    def _number(self, cell: str, line: int, column: str) -> float:
        text = cell.strip().lower().removesuffix("(ind)").removesuffix("(snan)")
        if text in NOT_NUMBERS:
            return float("nan")
        try:
            return float(text)
        except ValueError:
            raise InputError(
                f"{self.path}, line {line}, column {column!r}: {cell!r} is not a number; run the tool again"
            ) from None


def read_face_table(path: Path) -> FaceTable:
    """Every row of the file. Raises InputError where it is missing, no table, cut off or empty."""
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True, skipinitialspace=True)
            names = [name.strip() for name in next(reader, [])]
            rows, lines = [], []
            for row in reader:
                if row:
                    rows.append(row)
                    lines.append(reader.line_num)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path} cannot be read as a CSV file ({reason}); run the tool again") from error
    for row, line in zip(rows, lines, strict=True):
        if len(row) != len(names):
            raise InputError(
                f"{path}, line {line}: {len(row)} fields where the header has {len(names)}; the file is "
                "truncated or damaged, run the tool again"
            )
    if not rows:
        raise InputError(f"{path} holds no frames; run the tool again")
    return FaceTable(path, {name: place for place, name in enumerate(names)}, rows, lines)
