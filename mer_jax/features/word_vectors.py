"""Pretrained word vectors, of which only the wanted words are kept: files are gigabytes.

Formats, told apart by name: GloVe's text (`word v1 ... vd`), word2vec's and fastText's text
(the same after a line `words dim`), word2vec's binary (`.bin`), each also gzipped (`.gz`); a
matrix [words, d] (`.npy`) with a list of its words; arrays `words` and `vectors` (`.npz`).
"""

import codecs
import contextlib
import dataclasses
import gzip
import io
import itertools
import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from mer_jax.errors import InputError

_CHUNK = 1 << 22
_LONGEST_WORD = 1 << 16
_REFUSED = {
    b"PK\x03\x04": "is a zip archive; unpack it first",
    b"\xba\x16\x4f\x2f": "is a fastText model, not a word2vec binary; give its vectors as text (.vec)",
}
_Found = tuple[dict[bytes, np.ndarray], int]


@dataclasses.dataclass(frozen=True)
class WordVectors:
    """words and their vectors, [words, dim]."""

    words: tuple[str, ...]
    matrix: Float32[np.ndarray, "words dim"]


def read_word_vectors(
    path: Path, wanted: Iterable[str], vocabulary: Path | None = None, *, lower: bool = False
) -> WordVectors:
    """The vectors of the wanted words that the file has, in the order of `wanted`, each once.

    vocabulary: the words of an `.npy` matrix, one a line; by default `<stem>.txt` or
    `<stem>.vocab` beside it. An `.npz` archive is decompressed whole, anything else streamed.
    lower: the wanted words are in lower case and the file's are not: the first of word, Word and
    WORD that the file has. Otherwise a word matches itself only. A word that the file gives twice
    has its first vector.

    Raises InputError where a file is missing, damaged, cut off or of another format.
    """
    path = Path(path)
    forms = {word: _forms(word, lower) for word in wanted}
    found, dim = _read(path, frozenset(itertools.chain.from_iterable(forms.values())), vocabulary)
    chosen = {word: next((form for form in some if form in found), None) for word, some in forms.items()}
    vectors = {word: found[form] for word, form in chosen.items() if form is not None}
    matrix = np.stack(list(vectors.values())) if vectors else np.zeros((0, dim))
    with np.errstate(over="ignore"):
        matrix = matrix.astype(np.float32)
    finite = np.isfinite(matrix).all(axis=1)
    if not finite.all():
        word = list(vectors)[int(finite.argmin())]
        raise InputError(f"{path}: the vector of {word!r} is not finite: damaged; fetch it again")
    return WordVectors(tuple(vectors), matrix)


def table(
    vectors: WordVectors, vocabulary_words: Sequence[str], size: int, seed: int
) -> Float32[np.ndarray, "size dim"]:
    """[size, dim] rows of an embedding table: row k + 1 is the vector of `vocabulary_words[k]`.

    A word without a vector, and a row without a word, is drawn from N(0, s^2), where s is the
    standard deviation of all entries of the pretrained matrix; row 0, any unknown word, is the
    mean vector. The same arguments give the same bytes, and a drawn row depends on its number
    and s only.

    Raises InputError where no word has a vector or `size` is too small.
    """
    if not vectors.words:
        raise InputError("word vectors: none of the words has a vector; give a file of the texts' language")
    if len(vocabulary_words) >= size:
        raise InputError(
            f"word vectors: {len(vocabulary_words)} words and the unknown one need "
            f"{len(vocabulary_words) + 1} rows, size is {size}; give a larger size"
        )
    matrix = vectors.matrix.astype(np.float64)
    rows = np.random.default_rng(seed).normal(0, matrix.std(), (size, matrix.shape[1])).astype(np.float32)
    rows[0] = matrix.mean(axis=0)
    known = {word: row for row, word in enumerate(vectors.words)}
    pairs = [(k + 1, known[word]) for k, word in enumerate(vocabulary_words) if word in known]
    to, source = np.array(pairs, int).reshape(-1, 2).T
    rows[to] = vectors.matrix[source]
    return rows


def _forms(word: str, lower: bool) -> tuple[bytes, ...]:
    forms = (word, word.capitalize(), word.upper()) if lower else (word,)
    return tuple(form.encode() for form in forms)


def _read(path: Path, wanted: frozenset[bytes], vocabulary: Path | None) -> _Found:
    if path.suffix == ".npy":
        return _from_npy(path, wanted, _vocabulary_beside(path) if vocabulary is None else Path(vocabulary))
    if vocabulary is not None:
        raise InputError(
            f"{path} is no .npy matrix and names its words itself; leave the vocabulary {vocabulary} out"
        )
    if path.suffix == ".npz":
        return _from_npz(path, wanted)
    name = path.with_suffix("") if path.suffix == ".gz" else path
    with _opened(path) as file:
        return _from_binary(file, path, wanted) if name.suffix == ".bin" else _from_text(file, path, wanted)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[io.BufferedIOBase]:
    try:
        with gzip.open(path) if path.suffix == ".gz" else open(path, "rb") as file:
            start = file.read(4)
            if start in _REFUSED:
                raise InputError(f"{path} {_REFUSED[start]}")
            file.seek(0)
            yield file
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path} is missing, truncated or damaged ({error}); fetch it again") from error


def _header(line: bytes) -> tuple[int, int] | None:
    match = re.fullmatch(rb"([1-9]\d*)[ \t]([1-9]\d*)\s*", line)
    return None if match is None else (int(match[1]), int(match[2]))


def _from_text(file: io.BufferedIOBase, path: Path, wanted: frozenset[bytes]) -> _Found:
    first = file.readline().removeprefix(codecs.BOM_UTF8)
    header = _header(first)
    count, dim = header or (None, first.rstrip().count(b" "))
    lines = file if header else itertools.chain([first], file)
    found, words = {}, 0
    for number, line in enumerate(lines, start=2 if header else 1):
        line = line.rstrip()  # fastText and word2vec end a line in a space
        if not line:
            continue
        where = f"{path}, line {number}"
        word = _word(line, dim, where)
        if word in wanted or words == 0:
            vector = _numbers(line[len(word) + 1 :], where)
            if word in wanted:
                found.setdefault(word, vector)
        words += 1
    if not words or words != (count or words):
        promised = f" where its first line promises {count}" if count else ""
        raise InputError(f"{path} holds {words} words{promised}: truncated; fetch it again")
    return found, dim


def _word(line: bytes, dim: int, where: str) -> bytes:
    """The line without its last `dim` fields; a word may hold spaces."""
    fields = line.count(b" ")
    if fields < dim or dim == 0:
        raise InputError(
            f"{where}: {fields} numbers where there should be {max(dim, 1)}: cut off, or no text of word "
            "vectors (word2vec's binary is named .bin); fetch it again"
        )
    if fields == dim:
        return line[: line.find(b" ")]
    word = line.rsplit(b" ", dim)[0]
    if re.search(rb" [-+]?\d*\.\d+(e[-+]?\d+)?$", word):
        raise InputError(f"{where}: more than {dim} numbers, unlike the lines before; fetch the file again")
    return word


def _numbers(text: bytes, where: str) -> np.ndarray:
    try:
        return np.array([float(field) for field in text.split(b" ")])
    except ValueError as error:
        raise InputError(f"{where}: no row of numbers ({error}); fetch the file again") from error


def _from_binary(file: io.BufferedIOBase, path: Path, wanted: frozenset[bytes]) -> _Found:
    header = _header(file.readline(64))
    if header is None:
        raise InputError(f"{path}, line 1: no `words dim`, so no word2vec binary; name a text file .txt")
    count, dim = header
    found = {}
    for word, vector in _records(file, path, count, 4 * dim):
        if word in wanted:
            found.setdefault(word, np.frombuffer(vector, "<f4"))
    return found, dim


def _records(file: io.BufferedIOBase, path: Path, count: int, width: int) -> Iterator[tuple[bytes, bytes]]:
    """Each word and the `width` bytes after its space; a newline may end a record."""
    buffer, at = b"", 0
    for number in range(count):
        space = buffer.find(b" ", at)
        while space < 0 or len(buffer) <= space + width:
            piece = file.read(_CHUNK)
            if not piece or (space < 0 and len(buffer) - at > _LONGEST_WORD):
                raise InputError(
                    f"{path}, word {number + 1} of {count}: the file is truncated or damaged; fetch it again"
                )
            buffer, at = buffer[at:] + piece, 0
            space = buffer.find(b" ")
        end = space + 1 + width
        yield buffer[at:space].lstrip(b"\n"), buffer[space + 1 : end]
        at = end
    if (buffer[at:] + file.read(2)).strip(b"\n"):
        raise InputError(f"{path} goes on after its {count} words: damaged; fetch it again")


def _vocabulary_beside(path: Path) -> Path:
    beside = [path.with_suffix(suffix) for suffix in (".txt", ".vocab")]
    for candidate in beside:
        if candidate.exists():
            return candidate
    raise InputError(
        f"{path} has no {beside[0].name} or {beside[1].name} beside it; give the file of its words, one a line"
    )


def _from_npy(path: Path, wanted: frozenset[bytes], vocabulary: Path) -> _Found:
    try:
        words = vocabulary.read_bytes().removeprefix(codecs.BOM_UTF8).splitlines()
        matrix = np.load(path, mmap_mode="r")
    except (OSError, EOFError, ValueError) as error:
        raise InputError(
            f"{path} with the words of {vocabulary} cannot be read ({error}); write them again"
        ) from error
    return _rows(words, matrix, f"{path} with the words of {vocabulary}", wanted)


def _from_npz(path: Path, wanted: frozenset[bytes]) -> _Found:
    try:
        with open(path, "rb") as file, np.load(file) as arrays:
            words, matrix = np.asarray(arrays["words"]).tolist(), np.asarray(arrays["vectors"])
        encoded = [word if isinstance(word, bytes) else str(word).encode() for word in words]
    except (OSError, EOFError, KeyError, ValueError, TypeError, zipfile.BadZipFile, zlib.error) as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"{path} cannot be read ({reason}); save it by np.savez(path, words=[words] strings, "
            "vectors=[words, d] floats)"
        ) from error
    return _rows(encoded, matrix, str(path), wanted)


def _rows(words: Sequence[bytes], matrix: np.ndarray, where: str, wanted: frozenset[bytes]) -> _Found:
    if matrix.ndim != 2 or not np.issubdtype(matrix.dtype, np.floating):
        raise InputError(
            f"{where}: {matrix.dtype} of shape {matrix.shape} is no matrix of floats [words, d]; save one"
        )
    if len(words) != len(matrix):
        raise InputError(
            f"{where}: {len(words)} words for {len(matrix)} vectors; give the two files that belong together"
        )
    places: dict[bytes, int] = {}
    for place, word in enumerate(words):
        if word in wanted:
            places.setdefault(word, place)
    return {word: np.array(matrix[place]) for word, place in places.items()}, matrix.shape[1]
