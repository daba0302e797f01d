"""From what was said to numbers: tokens, and a vocabulary fitted on train."""

import collections
import dataclasses
import functools
import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Int32

from mer_jax import records
from mer_jax.data.schema import Utterance
from mer_jax.errors import InputError

WORDS = "words"  # the modality whose frames are token ids
UNKNOWN = 0

_REPLACED: dict[str, str] = {
    **dict.fromkeys("\u2018\u2019\u201a\u201b\u2032\u02bc\u00b4\u0060\uff07", "'"),
    **dict.fromkeys("\u201c\u201d\u201e\u201f\u2033\u00ab\u00bb", '"'),
    **dict.fromkeys("\u00ad\u200b\ufeff", ""),  # soft hyphen, zero-width space, byte order mark
    "\u2026": "...",
    "\u00a0": " ",
}
_ASCII = str.maketrans(_REPLACED)
_TOKEN = re.compile(
    r"""
      \d+(?:[.,:]\d+)+                                       # 1,000  3.5  10:30
    | (?:mr|mrs|ms|dr|prof|jr|sr|st)\.                       # abbreviations keep their point
    | (?:[^\W\d_]\.){2,}                                     # u.s.  p.m.
    | '(?:s|m|d|re|ve|ll|em|cause|till?|bout|n)(?!\w)        # parted already, or cut at the front
    | y'(?!\w)
    | \w+(?:['-]\w+)*
    | \.{2,} | -{2,}
    | [^\w\s]
    """,
    re.VERBOSE,
)
_CONTRACTION = re.compile(r"(.+)(n't|'(?:s|m|d|re|ve|ll))")
_YOU = re.compile(r"(y')(.+)")
_RUNS = {"..": "...", "--": "--"}


def tokenize(text: str) -> tuple[str, ...]:
    """Lower-cased words and punctuation marks; contractions parted as in the Penn Treebank.

    "Don't!" -> do n't !; "it's" -> it 's; "y'know" -> y' know; "cannot", "gonna", hyphenated words
    and numbers stay whole; a run of dots is one ellipsis, of hyphens one dash. Typographic quotes
    become ASCII; letters of any language are kept, in composed form (NFC). The convention is that
    of the Stanford tokenizer that GloVe's corpora went through (Pennington et al. 2014).
    """
    plain = _plain(text).replace("''", '"')
    return tuple(part for token in _TOKEN.findall(plain) for part in _parted(token))


def tokens(utterance: Utterance) -> tuple[str, ...]:
    """One token a word where the utterance has words, so that their spans fit; else its transcript's.

    A word's token is the word in lower case with ASCII apostrophes; an empty word stays empty.
    """
    if utterance.words:
        return tuple(_plain(word).strip() for word in utterance.words)
    return tokenize(utterance.transcript)


@dataclasses.dataclass(frozen=True)
class Coverage:
    """How much of some text a set of known words covers; empty tokens don't count.

    tokens, types: running and distinct words of the text.
    share_of_tokens, share_of_types: those known, in [0, 1]; 1 for a text without words.
    missing: the ten most frequent unknown words with their counts.
    """

    tokens: int
    types: int
    share_of_tokens: float
    share_of_types: float
    missing: tuple[tuple[str, int], ...]

    @classmethod
    def measure(cls, token_sequences: Iterable[Sequence[str]], known: Collection[str]) -> "Coverage":
        """Of `token_sequences` by the words of `known`, a set, mapping or the like."""
        counts = _counts(token_sequences)
        missing = [(word, count) for word, count in counts.items() if word not in known]
        total = sum(counts.values())
        unknown = sum(count for _, count in missing)
        return cls(
            tokens=total,
            types=len(counts),
            share_of_tokens=1 - unknown / max(total, 1),
            share_of_types=1 - len(missing) / max(len(counts), 1),
            missing=tuple(sorted(missing, key=_by_frequency)[:10]),
        )

    def sentence(self, known: str = "the vocabulary") -> str:
        """One sentence for a report; `known` names what covers."""
        if not self.tokens:
            return "There are no words to cover."
        shares = (
            f"Of {self.tokens:,} tokens {self.share_of_tokens:.1%}, and of {self.types:,} distinct words "
            f"{self.share_of_types:.1%}, are in {known}"
        )
        if not self.missing:
            return f"{shares}."
        words = ", ".join(f"{word} ({count:,})" for word, count in self.missing)
        return f"{shares}; the most frequent missing: {words}."


@dataclasses.dataclass(frozen=True)
class Vocabulary:
    """words[k] has id k + 1; id 0 is any other word, and what padding holds, which is masked.

    size: rows of the embedding table, at least len(words) + 1 and the same for every fold of an
    experiment, so that all of them share one compiled program; rows may stay unused.

    Raises InputError where size is below 2 or too small, or a word occurs twice.
    """

    words: tuple[str, ...]
    size: int

    def __post_init__(self) -> None:
        if self.size < 2:
            raise InputError(
                f"vocabulary: size {self.size} leaves no row beside the unknown word's; give 2 or more"
            )
        if len(self.words) >= self.size:
            raise InputError(
                f"vocabulary: {len(self.words)} words and the unknown one need {len(self.words) + 1} rows, "
                f"size is {self.size}; give a larger size or fewer words"
            )
        if len(self._ids) != len(self.words):
            twice = collections.Counter(self.words).most_common(1)[0][0]
            raise InputError(f"vocabulary: {twice!r} occurs twice; fit the vocabulary again")

    @classmethod
    def fit(cls, token_sequences: Iterable[Sequence[str]], size: int) -> "Vocabulary":
        """The `size` - 1 most frequent words, of equally frequent ones the alphabetically first."""
        ranked = sorted(_counts(token_sequences).items(), key=_by_frequency)
        return cls(tuple(word for word, _ in ranked[: max(size - 1, 0)]), size)

    def encode(self, tokens: Sequence[str]) -> Int32[np.ndarray, "n"]:
        """[n] the tokens' ids."""
        return np.array([self._ids.get(token, UNKNOWN) for token in tokens], np.int32)

    def coverage(self, token_sequences: Iterable[Sequence[str]]) -> Coverage:
        """How much of other text the vocabulary knows."""
        return Coverage.measure(token_sequences, self._ids)

    def to_json(self) -> dict[str, Any]:
        return {"words": list(self.words), "size": self.size}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Vocabulary":
        """The inverse of `to_json`."""
        return records.from_json(cls, data)

    @functools.cached_property
    def _ids(self) -> dict[str, int]:
        return {word: number for number, word in enumerate(self.words, start=1)}


def _plain(text: str) -> str:
    return unicodedata.normalize("NFC", text.translate(_ASCII).lower())


def _parted(token: str) -> tuple[str, ...]:
    if token[:2] in _RUNS:
        return (_RUNS[token[:2]],)
    ends: list[str] = []
    while match := _CONTRACTION.fullmatch(token):
        token = match[1]
        ends.append(match[2])
    match = _YOU.fullmatch(token)
    return (*((token,) if match is None else match.groups()), *reversed(ends))


def _counts(token_sequences: Iterable[Sequence[str]]) -> collections.Counter[str]:
    return collections.Counter(token for sequence in token_sequences for token in sequence if token)


def _by_frequency(item: tuple[str, int]) -> tuple[int, str]:
    return -item[1], item[0]
