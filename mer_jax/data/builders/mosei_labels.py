"""CMU-MOSEI labels: sentiment and six emotion intensities per segment; no features. And its segments with text.

Raw: `mosei/mosei_labels.csv`. Source: Zadeh et al. 2018, ACL P18-1208.
"""

import collections
import dataclasses
from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from mer_jax.data.builders.base import CorpusBuilder
from mer_jax.data.builders.raw_files import damaged, number, read_table
from mer_jax.data.schema import UNSPLIT, CorpusSpec, Utterance
from mer_jax.errors import InputError

FILE = "mosei_labels.csv"
COLUMNS = {
    "happiness": "happy",
    "sadness": "sad",
    "anger": "anger",
    "surprise": "surprise",
    "disgust": "disgust",
    "fear": "fear",
    "sentiment": "sentiment",
}
SPLITS = {"train": "train", "valid": "dev", "test": "test"}
UNUSED = "unused"
NOTES = (
    "Labels and some transcripts only: no sound, picture or features.",
    "Transcripts exist for dev and test alone: a text model needs a new split of these two, by video.",
    "Six intensities of 0 to 3 and sentiment of -3 to 3; there is no single class.",
    "Intensities are means over few annotators in steps of 1/3 (few of 1/6): exact duplicates by the "
    "thousand, which distances and neighbours must expect.",
    "The 399 segments outside the official split (`unused`) are left out.",
    "The speaker is the video: who speaks in two videos is not known.",
)
TEXT_NOTES = (
    "The segments with a transcript, which are those of the official valid and test parts: train has none. The "
    "official split is given up: divide by video (split=dialogue), and compare with no score of the official test.",
    "The first six intensities are emotions, 0 to 3; sentiment, -3 to 3, is none (protocol.intensities chooses).",
    *NOTES[3:4],
    NOTES[-1],
    "Marks of the transcribers, such as (umm) and (stutter), are words of the text.",
)


class MoseiLabels(CorpusBuilder, skip_registration=True):
    """22,860 segments of the official split."""

    folder = "mosei"

    def describe(self) -> CorpusSpec:
        """The spec."""
        self.require(FILE)
        return CorpusSpec(
            name="mosei_labels",
            intensities=tuple(COLUMNS),
            description="CMU-MOSEI: sentiment and emotion intensities of spoken opinions; labels only.",
            licence="CMU research corpus.",
            notes=NOTES,
        )

    def read(self) -> Mapping[str, Iterable[Utterance]]:
        """Segments by video, in the order of time within it."""
        path = self.require(FILE)
        videos = {split: collections.defaultdict[str, list[Utterance]](list) for split in SPLITS.values()}
        columns = ("id", "start", "end", "split", "text", *COLUMNS.values())
        for line, row in enumerate(read_table(path, columns), start=2):
            if row["split"] == UNUSED:
                continue
            if row["split"] not in SPLITS:
                raise damaged(path, f"row {line} has split {row['split']!r}")
            times = [number(row[name], path, line, name) for name in ("start", "end")]
            levels = [number(row[name], path, line, name) for name in COLUMNS.values()]
            utterance = Utterance(
                id="",
                speaker=row["id"],
                dialogue=row["id"],
                start=times[0],
                end=times[1],
                transcript=" ".join(row["text"].split()),
                intensities=np.array(levels, np.float32),
            )
            videos[SPLITS[row["split"]]][row["id"]].append(utterance)
        return {split: _in_time(by_video) for split, by_video in videos.items()}


class MoseiText(MoseiLabels, skip_registration=True):
    """6,533 segments of 976 videos, their words and intensities."""

    def describe(self) -> CorpusSpec:
        """The spec."""
        return dataclasses.replace(
            super().describe(),
            name="mosei_text",
            splits=(UNSPLIT,),
            description="CMU-MOSEI: transcripts of spoken opinions with sentiment and emotion intensities.",
            notes=TEXT_NOTES,
        )

    def read(self) -> Mapping[str, Iterable[Utterance]]:
        """Segments with a transcript, by video, in the order of time within it."""
        spoken = [u for segments in super().read().values() for u in segments if u.transcript]
        if not spoken:
            raise InputError(
                f"{self.require(FILE)}: no segment has a transcript; give the labels with their texts"
            )
        return {UNSPLIT: spoken}


def _in_time(by_video: Mapping[str, list[Utterance]]) -> Iterator[Utterance]:
    for video, segments in by_video.items():
        for index, segment in enumerate(sorted(segments, key=lambda u: u.start)):
            yield dataclasses.replace(segment, id=f"{video}[{index}]")
