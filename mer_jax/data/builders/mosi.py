"""CMU-MOSI: opinions about films, one vector per modality and utterance.

Raw: `mosi/mosi_trimodal.npz`, per split `<split>_{text,audio,video}` [videos, 63, dim] with
`_len`, `_label`, `_sentiment`, `_vid` and `_transcript`.
Source: Zadeh et al. 2016, arXiv 1606.06259; features: Poria et al. 2017 (bc-LSTM).
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from mer_jax.data.builders.nonfinite import FeatureFileBuilder
from mer_jax.data.builders.raw_files import damaged, named_array, read_arrays
from mer_jax.data.schema import CorpusSpec, Modality, Utterance

MODALITIES = ("text", "audio", "video")
CLASSES = ("negative", "positive")
SPLITS = ("train", "test")
NOTES = (
    "One vector per modality and utterance: time runs over the utterances of a video, not over words.",
    "There is no dev split: take one out of train by video.",
    "The text and video vectors were learned with the train labels, so scores on a dev split taken out of "
    "train are far too high (.98 for text where test gives .78): selecting on it is blind.",
    "A sentiment of exactly 0 counts as positive.",
    "Audio is unscaled: standardise it on train.",
    "Audio alone and video alone score below the majority class on test with a linear model.",
)


class Mosi(FeatureFileBuilder, skip_registration=True):
    """93 videos by as many speakers, 2199 utterances, sentiment in [-3, 3]."""

    folder = "mosi"

    def describe(self) -> CorpusSpec:
        """The spec, with the dimensions the file has."""
        path = self.require("mosi_trimodal.npz")
        self._arrays = read_arrays(path)
        dims = {m: named_array(self._arrays, f"train_{m}", path).shape[-1] for m in MODALITIES}
        return CorpusSpec(
            name="mosi",
            modalities=tuple(Modality(m, dims[m]) for m in MODALITIES),
            classes=CLASSES,
            intensities=("sentiment",),
            splits=SPLITS,
            description="CMU-MOSI: spoken film reviews with sentiment, utterance-level features.",
            licence="CMU research corpus; feature files from a repository under MIT.",
            notes=NOTES,
        )

    def read(self) -> Mapping[str, Iterator[Utterance]]:
        """Utterances in video order."""
        path = self.require("mosi_trimodal.npz")
        return {split: _utterances(self._arrays, split, path) for split in SPLITS}


def _utterances(arrays: dict[str, np.ndarray], split: str, path: Path) -> Iterator[Utterance]:
    fields = (*MODALITIES, "len", "label", "sentiment", "vid", "transcript")
    columns = {name: named_array(arrays, f"{split}_{name}", path) for name in fields}
    grids = {values.shape[:2] for name, values in columns.items() if name not in ("len", "vid")}
    videos, longest = next(iter(grids))
    lengths_fit = len(columns["len"]) == len(columns["vid"]) == videos and columns["len"].max() <= longest
    if len(grids) != 1 or not lengths_fit:
        raise damaged(path, f"the {split} arrays do not agree in shape")
    for video, length in enumerate(columns["len"]):
        name = str(columns["vid"][video])
        for index in range(int(length)):
            yield Utterance(
                id=f"{name}[{index}]",
                speaker=name,
                dialogue=name,
                transcript=str(columns["transcript"][video, index]),
                features={m: columns[m][video, index][None].astype(np.float32) for m in MODALITIES},
                label=CLASSES[int(columns["label"][video, index])],
                intensities=columns["sentiment"][video, index][None].astype(np.float32),
            )
