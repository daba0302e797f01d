"""Emotions in music: 593 song excerpts, 72 features of each, six labels that may hold together.

Raw: `mulan_emotions/emotions.npz` with `X` [songs, 72], `Y` [songs, 6] of 0 and 1, and their names
`features` and `labels`. Source: Trohidis, Tsoumakas, Kalliris and Vlahavas 2008, ISMIR.
"""

from collections.abc import Iterator, Mapping

import numpy as np

from mer_jax.data.builders.nonfinite import FeatureFileBuilder
from mer_jax.data.builders.raw_files import damaged, named_array, read_arrays
from mer_jax.data.schema import UNSPLIT, CorpusSpec, Modality, Utterance

FILE = "emotions.npz"
NOTES = (
    "One step of 72 features a song, 8 of rhythm and 64 of timbre: there is no course over time.",
    "The six labels are 0 or 1 and may hold together: as intensities they take 27 distinct values in all.",
    "There is no split: use cross_validation. Which songs share an album is not known, so folds may share one.",
    "Labels are spelt as in the file.",
)


class MulanEmotions(FeatureFileBuilder, skip_registration=True):
    """593 excerpts of 30 seconds."""

    folder = "mulan_emotions"

    def describe(self) -> CorpusSpec:
        """The spec, with the names the file has."""
        path = self.require(FILE)
        arrays = read_arrays(path)
        self._songs, self._labels = (named_array(arrays, name, path) for name in ("X", "Y"))
        columns, emotions = (named_array(arrays, name, path) for name in ("features", "labels"))
        shapes = (len(self._songs), len(columns)), (len(self._songs), len(emotions))
        if (self._songs.shape, self._labels.shape) != shapes:
            raise damaged(path, "its arrays do not agree in shape")
        if not np.isin(self._labels, (0, 1)).all():
            raise damaged(path, "a label is neither 0 nor 1")
        return CorpusSpec(
            name="mulan_emotions",
            modalities=(Modality("audio", len(columns), columns=tuple(map(str, columns))),),
            intensities=tuple(map(str, emotions)),
            splits=(UNSPLIT,),
            description="Emotions in music: song excerpts with six labels of the Tellegen-Watson-Clark model.",
            licence="None stated.",
            notes=NOTES,
        )

    def read(self) -> Mapping[str, Iterator[Utterance]]:
        """Songs in the order of the file."""
        return {UNSPLIT: self._excerpts()}

    def _excerpts(self) -> Iterator[Utterance]:
        for index, (song, labels) in enumerate(zip(self._songs, self._labels, strict=True)):
            name = f"song[{index}]"
            yield Utterance(
                id=name,
                speaker=name,
                dialogue=name,
                features={"audio": song[None].astype(np.float32)},
                intensities=labels.astype(np.float32),
            )
