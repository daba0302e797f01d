"""CREMA-D: what listeners and viewers perceived in acted clips; votes without media.

Raw: `crema_d/tabulatedVotes.csv`, a row per clip and condition. A clip is named
`<actor>_<sentence>_<intended emotion>_<level>`. Source: Cao et al. 2014,
doi:10.1109/TAFFC.2014.2336244.
"""

import collections
import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from mer_jax.data.builders.base import CorpusBuilder
from mer_jax.data.builders.raw_files import damaged, number, read_table
from mer_jax.data.schema import UNSPLIT, CorpusSpec, Utterance

CONDITIONS = {"1": "voice", "2": "face", "3": "both"}
CLASSES = ("anger", "disgust", "fear", "happiness", "neutral", "sadness")
INTENDED = dict(zip(("ANG", "DIS", "FEA", "HAP", "NEU", "SAD"), CLASSES, strict=True))
VOTES = ("A", "D", "F", "H", "N", "S")
LEVELS = tuple(f"mean{name}Resp" for name in ("Anger", "Disgust", "Fear", "Happy", "Neutral", "Sad"))
SENTENCES = {
    "IEO": "It's eleven o'clock.",
    "TIE": "That is exactly what happened.",
    "IOM": "I'm on my way to the meeting.",
    "IWW": "I wonder what this is about.",
    "TAI": "The airplane is almost full.",
    "MTI": "Maybe tomorrow it will be cold.",
    "IWL": "I would like a new alarm clock.",
    "ITH": "I think I have a doctor's appointment.",
    "DFA": "Don't forget a jacket.",
    "ITS": "I think I've seen this before.",
    "TSI": "The surface is slick.",
    "WSI": "We'll stop in a couple of minutes.",
}
FAULTY = ("1076_MTI_", "1064_TIE_SAD_", "1064_IEO_DIS_")
NOTES = (
    "Votes and levels only: there is no sound or picture here.",
    "The label is the emotion the actor was asked for; the votes are what people perceived.",
    "The majority vote meets the label for .455 of clips by voice, .690 by face, .748 by both (ties: the "
    "first letter): the human ceiling.",
    "An intensity is the mean level, 1 to 100, among those who chose the emotion; 0 where nobody did "
    "(-1 in the file).",
    "The media of 1076_MTI_*, 1064_TIE_SAD_* and 1064_IEO_DIS_* are known to be faulty; their votes are "
    "kept: leave the clips out when you join the media.",
    "Every sentence is spoken by every actor, so texts repeat by design and carry no emotion.",
)


@dataclasses.dataclass(frozen=True)
class Judgement:
    """What the annotators of one condition said of one clip.

    votes: [6] how many chose each of `CLASSES`. levels: [6] their mean level, 1 to 100;
    0 where nobody chose the emotion.
    """

    clip: str
    condition: str
    votes: np.ndarray
    levels: np.ndarray


def clip_parts(clip: str) -> tuple[str, str, str] | None:
    """Actor, sentence and intended emotion of a clip's name; None where it is no such name."""
    parts = clip.split("_")
    if len(parts) != 4 or parts[2] not in INTENDED:
        return None
    return parts[0], SENTENCES.get(parts[1], ""), INTENDED[parts[2]]


def read_judgements(path: Path) -> Iterator[Judgement]:
    """The rows of tabulatedVotes.csv. Raises InputError for a row that is no judgement."""
    for line, row in enumerate(read_table(path, ("", *VOTES, "fileName", *LEVELS)), start=2):
        clip, condition = row["fileName"], CONDITIONS.get(row[""][:1])
        if clip_parts(clip) is None or condition is None:
            raise damaged(path, f"row {line} names clip {clip!r}, judgement {row['']!r}")
        votes, levels = (
            np.array([number(row[name], path, line, name) for name in names], np.float32)
            for names in (VOTES, LEVELS)
        )
        yield Judgement(clip, condition, votes, np.where(levels < 0, np.float32(0), levels))


class CremaDVotes(CorpusBuilder, skip_registration=True):
    """7,442 clips of 91 actors, each judged by voice, by face and by both."""

    folder = "crema_d"

    def describe(self) -> CorpusSpec:
        """The spec."""
        self.require("tabulatedVotes.csv")
        return CorpusSpec(
            name="crema_d_votes",
            classes=CLASSES,
            intensities=CLASSES,
            votes=CLASSES,
            splits=(UNSPLIT,),
            description="CREMA-D: perceived emotion of acted clips by voice, face and both; votes, no media.",
            licence="ODbL 1.0 (database), DbCL 1.0 (contents).",
            notes=NOTES,
        )

    def read(self) -> Mapping[str, Iterator[Utterance]]:
        """Clips in the order of the table, each with its conditions together."""
        return {UNSPLIT: self._utterances()}

    def _utterances(self) -> Iterator[Utterance]:
        clips: dict[str, list[Utterance]] = collections.defaultdict(list)
        for judgement in read_judgements(self.require("tabulatedVotes.csv")):
            clips[judgement.clip].append(_utterance(judgement))
        for clip_utterances in clips.values():
            yield from clip_utterances


def _utterance(judgement: Judgement) -> Utterance:
    parts = clip_parts(judgement.clip)
    assert parts is not None
    speaker, transcript, label = parts
    return Utterance(
        id=f"{judgement.clip}/{judgement.condition}",
        speaker=speaker,
        dialogue=judgement.clip,
        transcript=transcript,
        label=label,
        intensities=judgement.levels,
        votes=judgement.votes,
    )
