"""ICT-MMMO: film reviews as 20 word-level steps of audio, face and word vectors.

Raw: `mmmo/{audio,video}_{train,valid,test}.h5`, `text_{valid,test}_emb.h5`, `y_*.h5`, each
with one array `d1`. Source: Woellmer et al. 2013, doi:10.1109/MIS.2013.34.
"""

from collections.abc import Iterator, Mapping

import numpy as np

from mer_jax.data.builders.nonfinite import FeatureFileBuilder
from mer_jax.data.builders.raw_files import damaged
from mer_jax.data.schema import CorpusSpec, Modality, Utterance
from mer_jax.errors import InputError

SPLITS = {"train": "train", "dev": "valid", "test": "test"}
FILES = {"audio": "audio_{}.h5", "video": "video_{}.h5", "text": "text_{}_emb.h5"}
WITHOUT_TEXT = "train"
KEY = "d1"
CLASSES = ("negative", "positive")
NEUTRAL = 3.0
NOTES = (
    "Train has no text: a real missing modality.",
    "The 36 video columns are FACET outputs with emotion scores among them: not raw measurements of a face.",
    "Audio holds outliers of +-255: clip it or scale it robustly, fitted on train.",
    "Sentiment of a review, 1 to 5, not emotion; below 3 is negative, above 3 positive, and the 29 reviews "
    "at exactly 3 carry no class, as only 3 of them are in dev and 6 in test.",
    "Steps that are zero in every modality at either end are padding and were cut; rows of zeros inside a "
    "clip, mostly of video (no face found), were kept.",
    "The files name no speakers, so every review counts as its own: leakage by speaker can't be checked.",
)


class Mmmo(FeatureFileBuilder, skip_registration=True):
    """340 reviews of at most 20 steps."""

    folder = "mmmo"

    def describe(self) -> CorpusSpec:
        """The spec, with the dimensions the files have."""
        self._arrays = {split: self._read_split(raw) for split, raw in SPLITS.items()}
        dims = {name: self._arrays["test"][name].shape[-1] for name in FILES}
        return CorpusSpec(
            name="mmmo",
            modalities=tuple(Modality(name, dim) for name, dim in dims.items()),
            classes=CLASSES,
            intensities=("sentiment",),
            splits=tuple(SPLITS),
            description="ICT-MMMO: film reviews with sentiment of 1 to 5; word-level audio, face and text.",
            licence="Feature files from a repository under MIT; the reviews belong to their makers.",
            notes=NOTES,
        )

    def read(self) -> Mapping[str, Iterator[Utterance]]:
        """Reviews in the order of the files."""
        return {split: _utterances(split, arrays) for split, arrays in self._arrays.items()}

    def _read_split(self, raw: str) -> dict[str, np.ndarray]:
        names = {m: f.format(raw) for m, f in FILES.items() if (m, raw) != ("text", WITHOUT_TEXT)}
        arrays = {name: self._array(file) for name, file in {**names, "y": f"y_{raw}.h5"}.items()}
        for name, values in arrays.items():
            if len(values) != len(arrays["y"]) or values.ndim != (1 if name == "y" else 3):
                raise damaged(self.require(f"y_{raw}.h5"), f"its reviews are not those of {name}_{raw}")
        return arrays

    def _array(self, file: str) -> np.ndarray:
        path = self.require(file)
        try:
            import h5py
        except ImportError as error:
            raise InputError("mmmo needs h5py; run: pip install 'mer-jax[hdf5]'") from error
        try:
            with h5py.File(path) as opened:
                return opened[KEY][:].astype(np.float32)
        except (OSError, KeyError) as error:
            raise damaged(path, error) from error


def _utterances(split: str, arrays: Mapping[str, np.ndarray]) -> Iterator[Utterance]:
    modalities = [name for name in FILES if name in arrays]
    for index, level in enumerate(arrays["y"]):
        steps = _spoken({name: arrays[name][index] for name in modalities})
        name = f"{split}[{index}]"
        yield Utterance(
            id=name,
            speaker=name,
            dialogue=name,
            features={m: arrays[m][index][steps] for m in modalities},
            label="" if level == NEUTRAL else CLASSES[int(level > NEUTRAL)],
            intensities=np.array([level], np.float32),
        )


def _spoken(features: Mapping[str, np.ndarray]) -> slice:
    """The steps between the first and last that are not zero in every modality."""
    filled = np.any([values.any(axis=1) for values in features.values()], axis=0).nonzero()[0]
    return slice(int(filled[0]), int(filled[-1]) + 1) if len(filled) else slice(0, 0)
