"""Computational sequences, the `.csd` files of the CMU Multimodal SDK: rows of features, each with its interval.

HDF5: `<root>/data/<video>/{features [n, dim], intervals [n, 2] s}` and `<root>/metadata/<key>`, one
JSON text each. An aligned file holds a video in pieces, `<video>[0]`, `<video>[1]` ...
Source: CMU-MultimodalSDK, mmsdk/mmdatasdk/computational_sequence/file_ops.py.
"""

import contextlib
import dataclasses
import functools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from mer_jax.data.builders.raw_files import damaged
from mer_jax.errors import InputError, nearest


@dataclasses.dataclass(frozen=True)
class Track:
    """What a sequence holds of one video, in order of start.

    intervals: [n, 2] float64 seconds.
    source: [n, dim], an array or an open HDF5 data set, of which only what is asked for is read.
    """

    path: Path
    video: str
    intervals: np.ndarray
    source: Any

    @functools.cached_property
    def reached(self) -> np.ndarray:
        """[n] the latest end among the rows up to each one, in seconds."""
        return np.maximum.accumulate(self.intervals[:, 1])

    def rows(self, first: int, stop: int) -> np.ndarray:
        """[stop - first, dim] features. Raises InputError where the file is damaged."""
        with _sound(self.path):
            return np.asarray(self.source[first:stop])

    def between(self, start: float, end: float) -> tuple[int, int]:
        """The first row and the one after the last that a stretch of time can overlap."""
        first = int(np.searchsorted(self.reached, start, side="right"))
        return first, max(first, int(np.searchsorted(self.intervals[:, 0], end, side="left")))

    def texts(self) -> tuple[str, ...]:
        """All rows as text, for sequences of words."""
        with _sound(self.path):
            return tuple(value.decode() for value in self.rows(0, len(self.intervals)).ravel())


class ComputationalSequence:
    """An open `.csd` file.

    name: of its root group. columns: `dimension names` of its metadata, empty where they don't
    name every feature. dim: features a row. numeric: whether they are numbers, and not texts.
    """

    def __init__(self, path: Path):
        """Raises InputError where the file is missing, damaged, no computational sequence or empty."""
        self.path = path
        self._file = _opened(path)
        try:
            with _sound(path):
                self.name = next(iter(self._file))
                self._data = self._file[self.name]["data"]
                self._pieces: dict[str, list[str]] = {}
                for key in self._data:
                    self._pieces.setdefault(_video(key), []).append(key)
                first = next(iter(self._data), None)
                if first is None:
                    raise damaged(path, "it holds no video")
                features = self._data[first]["features"]
                self.dim, self.numeric = int(features.shape[-1]), features.dtype.kind in "fiu"
                self.columns = _columns(self._file[self.name], self.dim)
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> "ComputationalSequence":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __contains__(self, video: str) -> bool:
        return video in self._pieces

    @property
    def videos(self) -> tuple[str, ...]:
        """The videos it holds, in the order of the file."""
        return tuple(self._pieces)

    def track(self, video: str) -> Track:
        """One video. Raises InputError where it isn't there, or its arrays don't fit each other."""
        if video not in self:
            raise InputError(f"{self.path} has no video {video!r}; {nearest(video, self.videos)}")
        with _sound(self.path):
            pieces = [self._data[key] for key in self._pieces[video]]
            intervals = np.concatenate([self._intervals(piece, video) for piece in pieces])
            source = pieces[0]["features"]
            order = np.argsort(intervals[:, 0], kind="stable")
            if len(pieces) > 1 or (np.diff(order) < 0).any():
                source = np.concatenate([piece["features"][:] for piece in pieces])[order]
        return Track(self.path, video, intervals[order], source)

    def _intervals(self, piece: Any, video: str) -> np.ndarray:
        intervals, shape = piece["intervals"][:].astype(np.float64), piece["features"].shape
        if shape != (len(intervals), self.dim) or intervals.shape != (len(intervals), 2):
            reason = f"{video}: features of shape {list(shape)}, intervals of {list(intervals.shape)}"
            raise damaged(self.path, f"{reason}, where others have {self.dim} features")
        if not np.isfinite(intervals).all():
            row = int(np.argmin(np.isfinite(intervals).all(axis=1)))
            raise damaged(self.path, f"{video}: interval {row} is {intervals[row].tolist()}")
        return intervals


def _opened(path: Path) -> Any:
    try:
        import h5py
    except ImportError as error:
        raise InputError(f"{path} needs h5py; run: pip install 'mer-jax[hdf5]'") from error
    with _sound(path):
        return h5py.File(path)


@contextlib.contextmanager
def _sound(path: Path) -> Iterator[None]:
    """Turns what a damaged file raises into an InputError about it."""
    try:
        yield
    except InputError:
        raise
    except (
        OSError,
        RuntimeError,
        LookupError,
        StopIteration,
        AttributeError,
        TypeError,
        ValueError,
    ) as error:
        raise damaged(path, str(error) or "it holds nothing") from error


def _video(key: str) -> str:
    return key.partition("[")[0] if key.endswith("]") else key


def _columns(root: Any, dim: int) -> tuple[str, ...]:
    """The names of the features; none where metadata, which the SDK doesn't insist on, lacks them."""
    if "metadata" not in root or "dimension names" not in root["metadata"]:
        return ()
    text = root["metadata"]["dimension names"][:].ravel()[0]
    try:
        names = json.loads(text)
    except ValueError:
        return ()
    fits = isinstance(names, list) and len(names) == dim and all(isinstance(name, str) for name in names)
    return tuple(names) if fits else ()
