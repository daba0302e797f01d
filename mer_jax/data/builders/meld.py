"""MELD: the dialogue of *Friends* with seven emotions; text only.

Raw: `meld/{train,dev,test}_sent_emo.csv`. Source: Poria et al. 2019, arXiv 1810.02508.
"""

import re
from collections.abc import Iterator, Mapping

import numpy as np

from mer_jax.data.builders.base import CorpusBuilder
from mer_jax.data.builders.raw_files import read_table
from mer_jax.data.schema import SPLITS, CorpusSpec, Utterance
from mer_jax.errors import InputError

CLASSES = ("anger", "disgust", "fear", "joy", "neutral", "sadness", "surprise")
SENTIMENTS = {"negative": -1.0, "neutral": 0.0, "positive": 1.0}
COLUMNS = (
    "Utterance", "Speaker", "Emotion", "Sentiment", "Dialogue_ID", "Utterance_ID", "StartTime", "EndTime",
)  # fmt: skip
NOTES = (
    "Text only: these tables name the clips but hold neither sound nor picture.",
    "142 of the 143 episodes of test also occur in train, and so do most of its speakers.",
    "About one test text in eight occurs word for word in train, mostly short ones.",
    "Times are as written: two test clips are far too long and one has no duration.",
    "Typographic quotes and spacing were brought to ASCII; nothing else in the texts was changed.",
)

_ASCII = str.maketrans({"\u2018": "'", "\u2019": "'", "\u201a": "'", "\u201b": "'", "\u00b4": "'",
                        "\u201c": '"', "\u201d": '"', "\u201e": '"', "\u00a0": " "})  # fmt: skip
_CP1252 = {n: bytes([n]).decode("cp1252", errors="replace") for n in range(0x80, 0xA0)}
_TIME = re.compile(r"(\d+):(\d+):(\d+),(\d+)")


class Meld(CorpusBuilder, skip_registration=True):
    """13,708 utterances of 1,432 dialogues."""

    folder = "meld"

    def describe(self) -> CorpusSpec:
        """The spec."""
        for split in SPLITS:
            self.require(f"{split}_sent_emo.csv")
        return CorpusSpec(
            name="meld",
            classes=CLASSES,
            intensities=("sentiment",),
            description="MELD: dialogue of the series Friends, seven emotions and sentiment; text only.",
            licence="Labels and text from a repository under GPL-3.0; the script belongs to its owners.",
            notes=NOTES,
        )

    def read(self) -> Mapping[str, Iterator[Utterance]]:
        """Utterances in the order of the tables."""
        return {split: self._utterances(split) for split in SPLITS}

    def _utterances(self, split: str) -> Iterator[Utterance]:
        path = self.require(f"{split}_sent_emo.csv")
        for number, row in enumerate(read_table(path, COLUMNS), start=2):
            dialogue = f"{split}/dia{row['Dialogue_ID']}"
            where = f"{path}, row {number}"
            yield Utterance(
                id=f"{dialogue}_utt{row['Utterance_ID']}",
                speaker=" ".join(row["Speaker"].split()),
                dialogue=dialogue,
                start=seconds(row["StartTime"], where),
                end=seconds(row["EndTime"], where),
                transcript=plain(row["Utterance"]),
                label=row["Emotion"].strip(),
                intensities=_sentiment(row["Sentiment"].strip(), where),
            )


def plain(text: str) -> str:
    """`text` with ASCII quotes and single spaces; bytes of cp1252 read as controls are restored."""
    return " ".join(text.translate(_CP1252).translate(_ASCII).split())


def seconds(time: str, where: str) -> float:
    """Seconds of `hh:mm:ss,mmm`. Raises InputError naming `where`."""
    match = _TIME.fullmatch(time.strip())
    if match is None:
        raise InputError(f"{where}: {time!r} is not a time like 00:20:57,256; correct the file")
    hours, minutes, whole, thousandths = (int(part) for part in match.groups())
    return hours * 3600 + minutes * 60 + whole + thousandths / 1000


def _sentiment(name: str, where: str) -> np.ndarray:
    if name not in SENTIMENTS:
        raise InputError(f"{where}: sentiment {name!r} is none of {', '.join(SENTIMENTS)}; correct the file")
    return np.array([SENTIMENTS[name]], np.float32)
