"""EmoDB (Burkhardt et al., Interspeech 2005): ten German sentences acted in seven emotions.

emodb/audio/03a01Fa.flac       speaker 03, sentence a01, emotion F, version a
emodb/syllables/03a01Fa.silb   a line per syllable: its first second, the syllable; `.` and `(` are pauses
emodb/perception_test.txt      what listeners recognised, in percent, with a decimal comma
"""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np

from mer_jax.data.builders.base import CorpusBuilder
from mer_jax.data.builders.sound_features import (
    FRAME,
    RATE,
    SoundOptions,
    sound_features,
    sound_modalities,
)
from mer_jax.data.schema import UNSPLIT, CorpusSpec, Utterance
from mer_jax.errors import InputError
from mer_jax.features import audio

CLASSES = {
    "W": "anger",
    "L": "boredom",
    "E": "disgust",
    "A": "fear",
    "F": "happiness",
    "T": "sadness",
    "N": "neutral",
}
# Hyphens part the syllables the annotators marked; without them the words read as written.
SENTENCES = {
    "a01": "Der Lap-pen liegt auf dem Eis-schrank.",
    "a02": "Das will sie am Mitt-woch ab-ge-ben.",
    "a04": "Heu-te A-bend könn-te ich es ihm sa-gen.",
    "a05": "Das schwar-ze Blatt Pa-pier be-fin-det sich da o-ben ne-ben dem Holz-stück.",
    "a07": "In sie-ben Stun-den wird es so-weit sein.",
    "b01": "Was sind denn das für Tü-ten, die da un-ter dem Tisch ste-hen?",
    "b02": "Sie ha-ben es ge-ra-de hoch-ge-tra-gen und jetzt ge-hen sie wie-der run-ter.",
    "b03": "An den Wo-chen-en-den bin ich jetzt im-mer nach Hau-se ge-fah-ren und ha-be Ag-nes be-sucht.",
    "b09": "Ich will das e-ben weg-brin-gen und dann mit Karl was trin-ken gehn.",
    "b10": "Die wird auf dem Platz sein, wo wir sie im-mer hin-le-gen.",
}
_PAUSES = (".", "(")


@dataclasses.dataclass(frozen=True)
class EmodbOptions(SoundOptions):
    """Which features are computed from EmoDB's sound."""


class Emodb(CorpusBuilder):
    """535 clips of 10 speakers, cut at 2.0 s; the zeros that pad short ones are taken away."""

    Options = EmodbOptions
    folder = "emodb"

    def describe(self) -> CorpusSpec:
        """Log-mel bands, cepstra with slopes and prosody, and the waveform; no official split."""
        self.require("audio")
        self.require("syllables")
        return CorpusSpec(
            name="emodb",
            modalities=sound_modalities(self.options),
            classes=tuple(CLASSES.values()),
            splits=(UNSPLIT,),
            truth={"recognised": ()},
            description="Berlin Database of Emotional Speech: ten sentences, ten actors, seven emotions.",
            licence="CC0-1.0",
            notes=(
                "clips are the first 2.0 s of each recording; 126 of the 535 are shorter, and their padding "
                "of zeros is removed",
                "each sentence is spoken in every emotion, so its words tell nothing; but words after 2.0 s "
                "are left out, so how many are left tells how fast they were spoken",
                "truth/recognised: share of listeners who heard the intended emotion; not for models",
            ),
        )

    def read(self) -> Mapping[str, Iterable[Utterance]]:
        """All clips by name; splits are a protocol's affair."""
        return {UNSPLIT: self._clips()}

    def _clips(self) -> Iterator[Utterance]:
        recognised = read_recognised(self.require("perception_test.txt"))
        paths = sorted(self.require("audio").glob("*.flac"))
        if not paths:
            raise InputError(f"emodb: {self.source / 'audio'} holds no .flac file; fetch the corpus again")
        for path in paths:
            yield self._clip(path, recognised)

    def _clip(self, path: Path, recognised: Mapping[str, float]) -> Utterance:
        name = path.stem
        if len(name) < 6 or name[5] not in CLASSES or name[2:5] not in SENTENCES:
            raise InputError(f"emodb: {path} is not named speaker, sentence, emotion, version (03a01Fa.flac)")
        waveform, rate = audio.read(path)
        waveform = audio.resample(np.trim_zeros(waveform, "b"), rate, RATE)
        if len(waveform) < FRAME:
            raise InputError(
                f"emodb: {path} holds {len(waveform)} samples of sound before its padding; fetch it again"
            )
        seconds = len(waveform) / RATE
        words, spans = read_words(self.require("syllables", f"{name}.silb"), SENTENCES[name[2:5]], seconds)
        if name not in recognised:
            raise InputError(f"emodb: {self.source / 'perception_test.txt'} lacks {name}; fetch it again")
        return Utterance(
            id=name,
            speaker=name[:2],
            dialogue=name,
            start=0.0,
            end=seconds,
            transcript=SENTENCES[name[2:5]].replace("-", ""),
            features=sound_features(waveform, self.options),
            label=CLASSES[name[5]],
            words=words,
            word_spans=spans,
            truth={"recognised": np.array(recognised[name], np.float32)},
        )


def read_words(path: Path, sentence: str, seconds: float) -> tuple[tuple[str, ...], np.ndarray]:
    """Words and their spans [words, 2] from a syllable file, those that begin before `seconds`.

    A line gives the second at which its syllable or pause begins. An empty file gives no
    words. Raises InputError where syllables and sentence differ in number.
    """
    lines = [line.split() for line in path.read_text(encoding="latin-1").splitlines() if line.strip()]
    if not lines:
        return (), np.zeros((0, 2), np.float32)
    try:
        starts = [float(time) for time, _ in lines]
    except ValueError as error:
        raise InputError(f"{path}: {error}; each line is a time and a syllable") from error
    ends = [*starts[1:], seconds]
    syllables = [(a, b) for (_, text), a, b in zip(lines, starts, ends, strict=True) if text not in _PAUSES]
    words = [word.strip(".,?") for word in sentence.split()]
    counts = [word.count("-") + 1 for word in words]
    if sum(counts) != len(syllables):
        raise InputError(f"{path} has {len(syllables)} syllables, its sentence {sum(counts)}; fetch it again")
    last = np.cumsum(counts) - 1
    first = last - np.array(counts) + 1
    table = [(syllables[i][0], min(syllables[j][1], seconds)) for i, j in zip(first, last, strict=True)]
    heard = [k for k, (start, end) in enumerate(table) if start < end]
    spans = np.array([table[k] for k in heard], np.float32).reshape(-1, 2)
    return tuple(words[k].replace("-", "") for k in heard), spans


def read_recognised(path: Path) -> dict[str, float]:
    """Clip -> share of listeners who recognised its emotion, from the perception test's table."""
    table = {}
    text = path.read_text(encoding="utf-8", errors="replace")
    for number, line in enumerate(text.splitlines()[1:], start=2):
        fields = line.split()
        if len(fields) != 4 or not fields[1].endswith(".wav"):
            raise InputError(
                f"{path}, line {number}: expected number, file, recognised, natural; fetch it again"
            )
        try:
            table[fields[1].removesuffix(".wav")] = float(fields[2].replace(",", ".")) / 100
        except ValueError as error:
            raise InputError(f"{path}, line {number}: {error}; fetch it again") from error
    return table
