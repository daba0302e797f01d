"""CREMA-D: what listeners and viewers perceived in acted clips; votes without media.

Raw: `crema_d/tabulatedVotes.csv`, a row per clip and condition. A clip is named
`<actor>_<sentence>_<intended emotion>_<level>`. Source: Cao et al. 2014,
doi:10.1109/TAFFC.2014.2336244.
"""

import collections
from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from mer_jax.data.builders.base import CorpusBuilder
from mer_jax.data.builders.raw_files import damaged, number, read_table
from mer_jax.data.schema import UNSPLIT, CorpusSpec, Utterance
from mer_jax.errors import InputError

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
        path = self.require("tabulatedVotes.csv")
        clips: dict[str, list[Utterance]] = collections.defaultdict(list)
        for line, row in enumerate(read_table(path, ("", *VOTES, "fileName", *LEVELS)), start=2):
            clip = row["fileName"]
            parts, condition = clip.split("_"), CONDITIONS.get(row[""][:1])
            if len(parts) != 4 or parts[2] not in INTENDED or condition is None:
                raise damaged(path, f"row {line} names clip {clip!r}, judgement {row['']!r}")
            values = [number(row[name], path, line, name) for name in (*VOTES, *LEVELS)]
            levels = np.array(values[len(VOTES) :], np.float32)
            utterance = Utterance(
                id=f"{clip}/{condition}",
                speaker=parts[0],
                dialogue=clip,
                transcript=SENTENCES.get(parts[1], ""),
                label=INTENDED[parts[2]],
                intensities=np.where(levels < 0, np.float32(0), levels),
                votes=np.array(values[: len(VOTES)], np.float32),
            )
            clips[clip].append(utterance)
        for clip_utterances in clips.values():
            yield from clip_utterances


def human_ceiling(utterances: Iterable[Utterance]) -> dict[str, float]:
    """Share of clips whose majority vote is the intended emotion, by condition.

    A tie goes to the first of `CLASSES`. Raises InputError for an utterance without votes.
    """
    met: dict[str, list[bool]] = collections.defaultdict(list)
    for utterance in utterances:
        if utterance.votes is None or not utterance.votes.sum():
            raise InputError(f"{utterance.id} has no votes; leave it out")
        majority = CLASSES[int(np.argmax(utterance.votes))]
        met[utterance.id.rpartition("/")[2]].append(majority == utterance.label)
    return {condition: float(np.mean(values)) for condition, values in met.items()}
