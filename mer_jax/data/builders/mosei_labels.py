"""CMU-MOSEI labels: sentiment and six emotion intensities per segment; no features.

Raw: `mosei/mosei_labels.csv`. Source: Zadeh et al. 2018, ACL P18-1208.
"""

import collections
import dataclasses
from collections.abc import Iterator, Mapping

import numpy as np

from mer_jax.data.builders.base import CorpusBuilder
from mer_jax.data.builders.raw_files import damaged, number, read_table
from mer_jax.data.schema import CorpusSpec, Utterance

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

    def read(self) -> Mapping[str, Iterator[Utterance]]:
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


def _in_time(by_video: Mapping[str, list[Utterance]]) -> Iterator[Utterance]:
    for video, segments in by_video.items():
        for index, segment in enumerate(sorted(segments, key=lambda u: u.start)):
            yield dataclasses.replace(segment, id=f"{video}[{index}]")
