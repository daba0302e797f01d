"""Files of IEMOCAP as distributed: evaluations and transcripts, dialogue by dialogue.

EmoEvaluation/Ses01F_impro01.txt     [6.2901 - 8.2357]  Ses01F_impro01_F000  neu  [2.5000, 2.5000, 2.5000]
                                     C-E2:  Neutral; Anger;  (comment)      an evaluator's classes
                                     C-F1, A-E3, A-M1 ...                   self-reports, and scales
transcriptions/Ses01F_impro01.txt    Ses01F_impro01_F000 [006.2901-008.2357]: Excuse me.
"""

import dataclasses
import re
from pathlib import Path

import numpy as np

from mer_jax.errors import InputError, nearest

CODES = {
    "ang": "anger",
    "hap": "happiness",
    "exc": "excited",
    "sad": "sadness",
    "neu": "neutral",
    "fru": "frustration",
    "fea": "fear",
    "sur": "surprise",
    "dis": "disgust",
    "oth": "other",
    "xxx": "",
}
CLASSES = tuple(name for name in CODES.values() if name)
INTENSITIES = ("valence", "activation", "dominance")
_SAID = {name: name for name in CLASSES} | {"neutral state": "neutral"}
_SUMMARY = re.compile(r"\[\s*(\S+)\s+-\s+(\S+?)\s*\]\s+(\S+)\s+(\S+)\s+\[(\S+),\s*(\S+),\s*(\S+?)\s*\]")
_EVALUATOR = re.compile(r"C-E\d+:([^(]*)")
_SPOKEN = re.compile(r"(Ses\S+)\s+\[[^]]*\]\s*:(.*)")


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """What evaluators said of one utterance.

    start, end: seconds in the dialogue's recording.
    label: the class most evaluators chose, "" where none was.
    intensities: [3] means of valence, activation, dominance, 1 to 5.
    votes: [10] how often each class was named; an evaluator may name several.
    """

    id: str
    start: float
    end: float
    label: str
    intensities: np.ndarray
    votes: np.ndarray


def read_evaluations(path: Path) -> tuple[Evaluation, ...]:
    """The utterances of a dialogue in the order of their starts. Raises InputError for a damaged line."""
    found: list[Evaluation] = []
    for number, line in enumerate(_lines(path), start=1):
        where = f"{path}, line {number}"
        if line.startswith("["):
            found.append(_evaluation(line, where))
        elif match := _EVALUATOR.match(line):
            if not found:
                raise InputError(f"{where}: an evaluator speaks before an utterance; copy it again")
            _count(found[-1].votes, match[1], where)
    return tuple(sorted(found, key=lambda evaluation: evaluation.start))


def read_transcripts(path: Path) -> dict[str, str]:
    """Utterance -> words; lines without an utterance's id, those of nobody's turn, are left out."""
    matches = (_SPOKEN.match(line) for line in _lines(path))
    return {match[1]: match[2].strip() for match in matches if match}


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="latin-1").split("\n")


def _evaluation(line: str, where: str) -> Evaluation:
    match = _SUMMARY.match(line)
    if match is None:
        raise InputError(f"{where}: expected [start - end], utterance, class, [v, a, d]; copy it again")
    start, end, name, code, *scales = match.groups()
    if code not in CODES:
        raise InputError(f"{where}: class {code!r} is unknown; {nearest(code, CODES)}")
    try:
        seconds = float(start), float(end)
        means = np.array([float(scale) for scale in scales], np.float32)
    except ValueError as error:
        raise InputError(f"{where}: {error}; copy it again") from error
    return Evaluation(name, *seconds, CODES[code], means, np.zeros(len(CLASSES), np.float32))


def _count(votes: np.ndarray, said: str, where: str) -> None:
    for name in filter(None, (part.strip().lower() for part in said.split(";"))):
        if name not in _SAID:
            raise InputError(f"{where}: an evaluator says {name!r}; {nearest(name, _SAID)}")
        votes[CLASSES.index(_SAID[name])] += 1
