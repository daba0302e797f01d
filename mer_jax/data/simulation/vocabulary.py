"""An invented vocabulary whose words lean to emotions, some to two of them, some to none."""

import dataclasses
import functools

import numpy as np

from mer_jax.data.randomness import pick, stream
from mer_jax.data.simulation.emotion import EMOTIONS

SIGNATURE = 8
IRONY = "ironia"

_CONSONANTS = "bdfgklmnprstvz"
_VOWELS = "aeiou"
_LEANING, _AMBIGUOUS, _PLAIN = 12, 60, 120
_ATTRACTION = 0.8


@dataclasses.dataclass(frozen=True)
class Vocabulary:
    """words; leaning [words, 6] to each emotion; signature [words, 8], the word's own pattern."""

    words: tuple[str, ...]
    leaning: np.ndarray
    signature: np.ndarray

    def draw(self, rng: np.random.Generator, state: np.ndarray) -> int:
        """A word for a state [6]: the likelier the more it leans to what is felt."""
        return pick(rng, np.exp(_ATTRACTION * (self.leaning @ state)))


@functools.cache
def vocabulary() -> Vocabulary:
    """The vocabulary, the same in every generated corpus; its first word marks irony."""
    rng = stream(0, "vocabulary")
    leaning = np.repeat(np.eye(len(EMOTIONS)), _LEANING, axis=0)
    pairs = np.zeros((_AMBIGUOUS, len(EMOTIONS)))
    for row in pairs:
        row[rng.permutation(len(EMOTIONS))[:2]] = 0.8
    leaning = np.concatenate(
        [np.zeros((1, len(EMOTIONS))), leaning, pairs, np.zeros((_PLAIN, len(EMOTIONS)))]
    )
    words = {IRONY: None}
    while len(words) < len(leaning):
        words[_word(rng)] = None
    return Vocabulary(tuple(words), leaning, rng.standard_normal((len(leaning), SIGNATURE)))


def _word(rng: np.random.Generator) -> str:
    syllables = 2 + int(rng.integers(2))
    alphabets = (_CONSONANTS, _VOWELS) * syllables
    return "".join(letters[int(rng.integers(len(letters)))] for letters in alphabets)
