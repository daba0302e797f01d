"""Words and their times, from the files that aligners and annotators leave.

Every reader gives the words and their spans, [words, 2] float32 in seconds; marks of silence
are no words. A span is finite, not negative, ends after it starts, and neither starts nor ends
before the one before it; else InputError names the file, the place and the remedy.

Formats: Praat's manual, "TextGrid file formats"; NIST SCTK, infmts.htm (CTM); CMU Sphinx-3,
main_align.c (wdseg); CMU Multimodal SDK, computational_sequence (csd).
"""

import codecs
import math
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from mer_jax.data.builders.raw_files import damaged
from mer_jax.errors import InputError, nearest

WordTimes = tuple[tuple[str, ...], np.ndarray]
SILENCES = frozenset({"", "sil", "sp", "<eps>", "<sil>", "<s>", "</s>", "<p>", "<p:>", "<silence>"})
TIERS = ("words", "word", "ort")
SPHINX_RATE = 100
_WDSEG_HEAD, _WDSEG_END = ["SFrm", "EFrm", "SegAScr", "Word"], ["Total", "score:"]
_PRAAT = re.compile(
    r'"(?P<text>(?:[^"]|"")*)"'
    r"|!.*"
    r"|(?P<number>[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)(?!\S)"
    r'|[^\s"]+'
)


def read_words(path: Path, name: str | None = None, start: float = 0.0, end: float = math.inf) -> WordTimes:
    """Words and spans from a .TextGrid, .ctm, .wdseg or .csd file.

    name: the tier of a TextGrid, the recording of a CTM, the video of a csd; None where there
        is one only (a TextGrid's default tiers are `TIERS`).
    start, end: seconds; only the words of this segment, timed from its start.
    """
    suffix = path.suffix.lower()
    if suffix == ".csd" and name is None:
        raise InputError(f"{path} holds many videos; name one of them")
    if suffix == ".wdseg" and name is not None:
        raise InputError(f"{path} holds one utterance, and nothing called {name!r}; leave the name out")
    if suffix == ".csd":
        return read_csd(path, str(name), start, end)
    if suffix == ".wdseg":
        found = read_wdseg(path)
    elif suffix in (".textgrid", ".ctm"):
        found = read_textgrid(path, name) if suffix == ".textgrid" else read_ctm(path, name)
    else:
        raise InputError(f"{path}: word times are read from .TextGrid, .ctm, .wdseg and .csd; convert it")
    return within(*found, start, end)


def within(words: tuple[str, ...], spans: np.ndarray, start: float, end: float) -> WordTimes:
    """The words whose middle lies in [start, end), cut to it and timed from `start`."""
    if not start < end:
        raise InputError(f"a segment from {start} to {end} s is empty; give start < end")
    middle = np.asarray(spans, np.float64).mean(axis=1)
    kept = np.flatnonzero((middle >= start) & (middle < end))
    cut = np.clip(np.asarray(spans, np.float64)[kept], start, end) - start
    return tuple(words[k] for k in kept), cut.astype(np.float32)


def read_textgrid(path: Path, tier: str | None = None) -> WordTimes:
    """The intervals of one tier of a Praat TextGrid, long or short text, UTF-8 or UTF-16.

    tier: its name; None takes the first of `TIERS`, whatever their case.
    """
    source = _PraatText(path, _decoded(path))
    kind, object_class = source.text("the file type"), source.text("the object class")
    if not kind.startswith("ooTextFile") or object_class != "TextGrid":
        raise InputError(f"{path} is {kind!r} of {object_class!r}; save a TextGrid as text")
    source.number("the start"), source.number("the end")
    tiers: dict[str, list[tuple[str, str, float, float]]] = {}
    for _ in range(source.count("tiers")):
        if (kind := source.text("a tier's class")) not in ("IntervalTier", "TextTier"):
            raise InputError(f"{path}, line {source.line}: tiers of class {kind!r} are unknown; save it anew")
        name, _, _ = source.text("a tier's name"), source.number("its start"), source.number("its end")
        if kind == "IntervalTier":
            tiers.setdefault(name, list(source.intervals()))
        else:
            source.skip_points()
    return _checked(path, tiers[_tier_name(path, tiers, tier)])


def read_ctm(path: Path, recording: str | None = None) -> WordTimes:
    """The words of one recording of a NIST CTM: file, channel, start, duration, word, [confidence].

    recording: its file id; None where the CTM holds one only.
    """
    found: dict[str, list[tuple[str, str, float, float]]] = {}
    channels: dict[str, set[str]] = {}
    for number, line in enumerate(_decoded(path).split("\n"), start=1):
        fields = line.split()
        if not fields or line.startswith(";;"):
            continue
        if len(fields) < 5:
            raise InputError(
                f"{path}, line {number}: expected file, channel, start, duration, word; correct it"
            )
        where = f"line {number}"
        start, duration = (_number(field, path, where) for field in fields[2:4])
        found.setdefault(fields[0], []).append((where, fields[4], start, start + duration))
        channels.setdefault(fields[0], set()).add(fields[1])
    name = _recording_name(path, found, recording)
    if len(channels[name]) > 1:
        raise InputError(
            f"{path}: {name!r} has channels {', '.join(sorted(channels[name]))}; keep the lines of one"
        )
    return _checked(path, found[name])


def read_wdseg(path: Path) -> WordTimes:
    """The words of a Sphinx word segmentation, as IEMOCAP ships them.

    Frames are 10 ms and inclusive: a word lasts from SFrm / 100 to (EFrm + 1) / 100 s. The
    number of a pronunciation, `HELLO(2)`, is taken away; `<sil>` and `++NOISE++` are no words.
    """
    numbered = enumerate(_decoded(path).split("\n"), start=1)
    lines = [(number, line.split()) for number, line in numbered if line.strip()]
    if len(lines) < 2 or lines[0][1] != _WDSEG_HEAD or lines[-1][1][:2] != _WDSEG_END:
        raise InputError(
            f"{path} does not go from `SFrm EFrm SegAScr Word` to `Total score`: it is truncated or no "
            "word segmentation; copy it again"
        )
    heard = []
    for number, fields in lines[1:-1]:
        where = f"line {number}"
        if len(fields) != 4:
            raise InputError(f"{path}, {where}: expected first frame, last frame, score, word; copy it again")
        first, last = (_number(field, path, where) for field in fields[:2])
        if not fields[3].startswith(("<", "++")):
            word = re.sub(r"\(\d+\)$", "", fields[3])
            heard.append((where, word, first / SPHINX_RATE, (last + 1) / SPHINX_RATE))
    return _checked(path, heard)


def read_csd(path: Path, video: str, start: float = 0.0, end: float = math.inf) -> WordTimes:
    """The words of one video of the CMU Multimodal SDK, `<root>/data/<video>/{features, intervals}`.

    start, end: the segment in seconds; the words whose middle lies in it, timed from its start.
    """
    texts, intervals = _computational_sequence(path, video)
    middle = intervals.mean(axis=1)
    rows = zip(texts, intervals.tolist(), ~((middle < start) | (middle >= end)), strict=True)
    heard = [(f"{video}, interval {k}", w, a, b) for k, (w, (a, b), here) in enumerate(rows) if here]
    return within(*_checked(path, heard), start, end)


class _PraatText:
    """Reads the free-standing strings and numbers of a Praat text file; the rest is for people."""

    def __init__(self, path: Path, text: str):
        self.line = 1
        self._path, self._tokens = path, _praat_tokens(text)

    def text(self, what: str) -> str:
        return self._next(str, what)

    def number(self, what: str) -> float:
        return self._next(float, what)

    def count(self, what: str) -> int:
        """The number of things that follow."""
        found = self.number(f"the number of {what}")
        if found < 0 or found % 1:
            raise InputError(f"{self._path}, line {self.line}: there can't be {found:g} {what}; save it anew")
        return int(found)

    def intervals(self) -> Iterator[tuple[str, str, float, float]]:
        """Where, text, start and end of every interval of a tier."""
        for k in range(1, self.count("intervals") + 1):
            start, end = self.number("an interval's start"), self.number("its end")
            yield f"interval {k}, line {self.line}", self.text("its text").strip(), start, end

    def skip_points(self) -> None:
        """Past the points of a tier."""
        for _ in range(self.count("points")):
            self.number("a point's time"), self.text("its mark")

    def _next(self, kind: type, what: str) -> Any:
        value, self.line = next(self._tokens, (None, self.line))
        if not isinstance(value, kind):
            found = "the file ends" if value is None else f"it is {value!r}"
            raise InputError(
                f"{self._path}, line {self.line}: expected {what}, but {found}; save the TextGrid as text anew"
            )
        return value


def _praat_tokens(text: str) -> Iterator[tuple[str | float, int]]:
    line, seen = 1, 0
    for match in _PRAAT.finditer(text):
        line, seen = line + text.count("\n", seen, match.start()), match.start()
        if match["text"] is not None:
            yield match["text"].replace('""', '"'), line
        elif match["number"] is not None:
            yield float(match["number"]), line


def _tier_name(path: Path, tiers: Iterable[str], wanted: str | None) -> str:
    names = list(tiers)
    for choice in TIERS if wanted is None else ():
        for name in names:
            if name.strip().lower() == choice:
                return name
    if wanted is None:
        raise InputError(f"{path}: no tier is called {', '.join(TIERS)}; name one of {', '.join(names)}")
    if wanted not in names:
        raise InputError(f"{path}: there is no interval tier {wanted!r}; {nearest(wanted, names)}")
    return wanted


def _recording_name(path: Path, found: Iterable[str], wanted: str | None) -> str:
    names = list(found)
    if wanted is not None and wanted not in names:
        raise InputError(f"{path} has no recording {wanted!r}; {nearest(wanted, names)}")
    if wanted is None and len(names) != 1:
        some = ", ".join(names[:3]) + (" ..." if len(names) > 3 else "")
        raise InputError(
            f"{path} holds {len(names)} recordings ({some or 'none'}); name one, or give each its own file"
        )
    return names[0] if wanted is None else wanted


def _computational_sequence(path: Path, video: str) -> tuple[list[str], np.ndarray]:
    """The words of a video and their [words, 2] intervals."""
    try:
        import h5py
    except ImportError as error:
        raise InputError(f"{path} needs h5py; run: pip install 'mer-jax[hdf5]'") from error
    try:
        with h5py.File(path) as opened:
            videos = opened[next(iter(opened))]["data"]
            if video not in videos:
                raise InputError(f"{path} has no video {video!r}; {nearest(video, videos)}")
            features, intervals = videos[video]["features"][:], videos[video]["intervals"][:]
        words = [word.decode() for word in features.ravel()]
    except InputError:
        raise
    except (OSError, LookupError, StopIteration, AttributeError, TypeError, ValueError) as error:
        raise damaged(path, error) from error
    if intervals.shape != (len(words), 2):
        raise damaged(path, f"{video}: {len(words)} words, intervals of shape {list(intervals.shape)}")
    return words, intervals.astype(np.float64)


def _checked(path: Path, heard: Iterable[tuple[str, str, float, float]]) -> WordTimes:
    """Words and spans of rows (place, word, start, end), without the silences."""
    rows = [row for row in heard if row[1].lower() not in SILENCES]
    spans = np.array([row[2:] for row in rows], np.float32).reshape(-1, 2)
    last = (0.0, 0.0)
    for (where, word, _, _), (start, end) in zip(rows, spans.tolist(), strict=True):
        if not (last[0] <= start < end < math.inf and last[1] <= end):
            raise InputError(
                f"{path}, {where}: {word!r} lasts from {start:g} to {end:g} s, after {last[0]:g} to "
                f"{last[1]:g} s; words must last, and be in order: correct the file, or align it anew"
            )
        last = (start, end)
    return tuple(row[1] for row in rows), spans


def _decoded(path: Path) -> str:
    """A text file with \\n as its line ends."""
    try:
        raw = path.read_bytes()
        utf_16 = raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        text = raw.decode("utf-16" if utf_16 else "utf-8-sig")
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); correct the path") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is neither UTF-8 nor UTF-16 text ({error}); save it as UTF-8") from error
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _number(text: str, path: Path, where: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise InputError(f"{path}, {where}: {text!r} is not a number; correct the file") from error
