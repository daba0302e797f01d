"""Finds the same text, nearly the same text, and the same features in two sets of rows."""

import hashlib
import re
import unicodedata
from collections.abc import Iterable
from typing import Any

import numpy as np
import scipy.sparse as sp
from sklearn.feature_extraction.text import CountVectorizer

SHINGLE = 5
NEAR = 0.7
LONG = 5


def normalised(text: str) -> str:
    """Lower case, plain apostrophes, no punctuation, single spaces."""
    text = unicodedata.normalize("NFKC", text).replace("\u2019", "'").lower()
    return " ".join(re.findall(r"[\w']+", text))


def is_long(text: str) -> bool:
    """Whether a normalised text has so many words that equality is hardly chance."""
    return len(text.split()) >= LONG


def repeated(known: Iterable[object], asked: Iterable[object]) -> np.ndarray:
    """[asked] bool: what of `asked` is in `known`; None and empty never are."""
    seen = {item for item in known if item}
    return np.array([bool(item) and item in seen for item in asked], bool)


def nearly_repeated(known: Iterable[str], asked: Iterable[str], threshold: float = NEAR) -> np.ndarray:
    """[asked] bool: whether a long text has a near-duplicate in `known`.

    Texts are sets of character 5-grams; near means Jaccard |a & b| / |a | b| >= threshold.
    Exact, by prefix filtering (Chaudhuri et al., ICDE 2006): two sets that near share one
    of the first |x| - ceil(threshold |x|) + 1 of their 5-grams, rarest first, so only
    pairs that share a rare 5-gram are compared. Short texts are never near.
    """
    a, b = [sorted({t for t in texts if is_long(t)}) for texts in (known, asked)]
    near: set[str] = set()
    if a and b:
        near = {b[row] for row in _near_rows(a, b, threshold)}
    return np.array([text in near for text in asked], bool)


def _near_rows(known: list[str], asked: list[str], threshold: float) -> set[int]:
    sets = CountVectorizer(analyzer="char", ngram_range=(SHINGLE, SHINGLE), binary=True, dtype=np.int32)
    x: Any = sp.csr_matrix(sets.fit_transform(known + asked))
    by_rarity = np.argsort(np.argsort(np.asarray(x.sum(axis=0)).ravel(), kind="stable"))
    sizes = np.diff(x.indptr)
    prefixes: Any = _prefixes(x, by_rarity, sizes, threshold)
    pairs = (prefixes[len(known) :] @ prefixes[: len(known)].T).tocoo()
    i, j = pairs.row + len(known), pairs.col
    possible = np.minimum(sizes[i], sizes[j]) >= threshold * np.maximum(sizes[i], sizes[j])
    i, j = i[possible], j[possible]
    shared = np.asarray(x[i].multiply(x[j]).sum(axis=1)).ravel()
    near = shared >= threshold * (sizes[i] + sizes[j] - shared)
    return set((i[near] - len(known)).tolist())


def _prefixes(x: sp.csr_matrix, rank: np.ndarray, sizes: np.ndarray, threshold: float) -> sp.csr_matrix:
    """`x` with only the rarest entries of each row."""
    row = np.repeat(np.arange(len(sizes)), sizes)
    order = np.lexsort((rank[x.indices], row))
    place = np.arange(len(order)) - np.repeat(x.indptr[:-1], sizes)
    keep = place < (sizes - np.ceil(threshold * sizes) + 1)[row]
    chosen = order[keep]
    return sp.csr_matrix((x.data[chosen], (row[keep], x.indices[chosen])), shape=x.shape)


def sequence_digest(sequence: np.ndarray | None) -> bytes | None:
    """SHA-256 of a feature sequence; None where it is missing or the same number throughout."""
    if sequence is None or sequence.size == 0 or np.ptp(sequence) == 0:
        return None
    array = np.ascontiguousarray(sequence, dtype="<f4")
    return hashlib.sha256(f"{array.shape}".encode() + array.tobytes()).digest()
