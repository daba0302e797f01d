"""IEMOCAP (Busso et al. 2008, doi:10.1007/s10579-008-9076-6): ten actors in pairs, five sessions.

iemocap/Session1/dialog/EmoEvaluation/Ses01F_impro01.txt
iemocap/Session1/dialog/transcriptions/Ses01F_impro01.txt
iemocap/Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_F000.wav
iemocap/Session1/sentences/ForcedAlignment/Ses01F_impro01/Ses01F_impro01_F000.wdseg

All ten classes are kept; a protocol's label map makes the usual tasks of them:

IEMOCAP_4: 5,531 utterances: 1,636 happy or excited, 1,084 sad, 1,103 angry, 1,708 neutral.
IEMOCAP_3: 3,895 of them: 1,084 sad, 1,103 angry, 1,708 neutral.
"""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np

from mer_jax.data.builders.base import CorpusBuilder
from mer_jax.data.builders.iemocap_files import (
    CLASSES,
    INTENSITIES,
    Evaluation,
    read_evaluations,
    read_transcripts,
)
from mer_jax.data.builders.sound_features import (
    RATE,
    SoundOptions,
    read_sound,
    sound_features,
    sound_modalities,
)
from mer_jax.data.schema import UNSPLIT, CorpusSpec, Utterance
from mer_jax.data.word_times import WordTimes, read_wdseg, within
from mer_jax.errors import InputError

IEMOCAP_4 = ("excited=happiness", "frustration=", "fear=", "surprise=", "disgust=", "other=")
IEMOCAP_3 = ("happiness=", "excited=", *IEMOCAP_4[1:])
SESSIONS = tuple(f"Session{number}" for number in range(1, 6))
NOTES = (
    "An utterance without a class is one whose evaluators did not agree (xxx).",
    "votes: how often evaluators named each class, self-reports left out; one evaluator may name several.",
    "valence, activation and dominance are means of the evaluators' 1 to 5.",
    "Words and their times are those of the forced alignment that comes with the corpus, in lower case; "
    "the few utterances without its file have none, and about 1 in 30 differs from the transcript.",
    "Both actors of a session speak in its dialogues: only leave_one_session_out keeps speakers and "
    "dialogues apart.",
)


@dataclasses.dataclass(frozen=True)
class IemocapOptions(SoundOptions):
    """Which features are computed from IEMOCAP's sound."""


class Iemocap(CorpusBuilder, skip_registration=True):
    """10,039 utterances in 151 dialogues, or those of the sessions that are there."""

    Options = IemocapOptions
    folder = "iemocap"

    def describe(self) -> CorpusSpec:
        """Log-mel bands, cepstra with slopes and prosody, and the waveform; no official split."""
        self._sessions = [name for name in SESSIONS if (self.source / name).exists()]
        if not self._sessions:
            self.require(SESSIONS[0])
        absent = [name for name in SESSIONS if name not in self._sessions]
        return CorpusSpec(
            name="iemocap",
            modalities=sound_modalities(self.options),
            classes=CLASSES,
            intensities=INTENSITIES,
            votes=CLASSES,
            splits=(UNSPLIT,),
            description="IEMOCAP: scripted and improvised dialogues of ten actors, ten emotions.",
            licence="By request from USC SAIL, for research; nothing is downloaded.",
            notes=(*NOTES, f"Not there: {', '.join(absent)}.") if absent else NOTES,
        )

    def read(self) -> Mapping[str, Iterable[Utterance]]:
        """All utterances by session, dialogue and time; splits are a protocol's affair."""
        return {UNSPLIT: self._utterances()}

    def require(self, *names: str) -> Path:
        """A raw file, or an InputError that says how to get it."""
        path = self.source.joinpath(*names)
        if not path.exists():
            raise InputError(
                f"iemocap: {path} does not exist; copy it from the distribution, which USC SAIL gives on "
                "request (https://sail.usc.edu/iemocap), and pass --data-dir (or set MER_DATA) so that "
                f"{self.folder}/{'/'.join(names)} lies below it"
            )
        return path

    def _utterances(self) -> Iterator[Utterance]:
        for session in self._sessions:
            folder = self.require(session, "dialog", "EmoEvaluation")
            dialogues = sorted(path.stem for path in folder.glob("Ses*.txt"))
            if not dialogues:
                raise InputError(f"iemocap: {folder} holds no Ses*.txt; copy it again from the distribution")
            for dialogue in dialogues:
                yield from self._dialogue(session, dialogue)

    def _dialogue(self, session: str, dialogue: str) -> Iterator[Utterance]:
        evaluations = self.require(session, "dialog", "EmoEvaluation", f"{dialogue}.txt")
        transcriptions = self.require(session, "dialog", "transcriptions", f"{dialogue}.txt")
        transcripts = read_transcripts(transcriptions)
        for evaluation in read_evaluations(evaluations):
            name = evaluation.id
            if not name.startswith((f"{dialogue}_F", f"{dialogue}_M")):
                raise InputError(f"iemocap: {evaluations} holds {name}, of another dialogue; copy it again")
            if name not in transcripts:
                raise InputError(f"iemocap: {transcriptions} lacks {name}; copy it again")
            yield self._utterance(session, dialogue, evaluation, transcripts[name])

    def _utterance(self, session: str, dialogue: str, said: Evaluation, transcript: str) -> Utterance:
        waveform = read_sound(self.require(session, "sentences", "wav", dialogue, f"{said.id}.wav"))
        words, spans = self._word_times(session, dialogue, said.id, len(waveform) / RATE)
        return Utterance(
            id=said.id,
            speaker=said.id[: len("Ses01")] + said.id[len(dialogue) + 1],
            dialogue=dialogue,
            start=said.start,
            end=said.end,
            transcript=transcript,
            features=sound_features(waveform, self.options),
            label=said.label,
            intensities=said.intensities,
            votes=said.votes,
            words=words,
            word_spans=spans,
        )

    def _word_times(self, session: str, dialogue: str, name: str, seconds: float) -> WordTimes:
        """Words of the forced alignment up to the end of the sound; none where it lacks the utterance."""
        path = self.source.joinpath(session, "sentences", "ForcedAlignment", dialogue, f"{name}.wdseg")
        if not path.exists():
            return (), np.zeros((0, 2), np.float32)
        words, spans = within(*read_wdseg(path), 0.0, seconds)
        return tuple(word.lower() for word in words), spans
