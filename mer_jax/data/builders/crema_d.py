"""CREMA-D with its media: sound, action units and votes of acted clips (Cao et al. 2014).

    crema_d/AudioWAV/1001_DFA_ANG_XX.wav   16 kHz; in the distribution by git-lfs
    crema_d/OpenFace/1001_DFA_ANG_XX.csv   made by you from VideoFlash/*.flv, or
    crema_d/pyfeat/1001_DFA_ANG_XX.csv     the same by py-feat
    crema_d/tabulatedVotes.csv             optional, here or in processedResults/
    crema_d/VideoDemographics.csv          optional

A clip is named `<actor>_<sentence>_<intended emotion>_<level>`.
"""

import collections
import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

import numpy as np

from mer_jax.data.builders.base import CorpusBuilder
from mer_jax.data.builders.crema_d_media import (
    COLUMNS,
    CONDITIONS,
    HOP,
    RATE,
    cepstra_and_slopes,
    describe_actors,
    files_by_clip,
    read_waveform,
    votes_by_clip,
)
from mer_jax.data.builders.crema_d_votes import CLASSES, FAULTY, clip_parts
from mer_jax.data.schema import UNSPLIT, CorpusSpec, Modality, Utterance
from mer_jax.errors import InputError
from mer_jax.features import face

FOLDERS = {"openface": "OpenFace", "pyfeat": "pyfeat"}
GET_SOUND = (
    "clone the repository CREMA-D of CheyneyComputerScience on GitHub and fetch its sound with `git lfs pull`"
)
GET_FACES = {
    "openface": "run OpenFace on the videos: FeatureExtraction -f VideoFlash/CLIP.flv -aus -out_dir OpenFace",
    "pyfeat": "run py-feat's Detector on the videos and save each result as pyfeat/CLIP.csv",
}
NOTES = (
    "The label is the emotion the actor was asked for.",
    "Every sentence is spoken by every actor, so texts repeat by design and carry no emotion.",
    "mfcc: 26 cepstral coefficients (64 mel bands, 32 ms every 10 ms) and their slopes. M. Schmitz' notebook "
    "says 52 dimensions and not which.",
)
VOTED = (
    "votes: how many chose each emotion after seeing and hearing the clip (both/...), hearing it (voice/...) "
    "or seeing it (face/...)."
)


@dataclasses.dataclass(frozen=True)
class CremaDOptions:
    """Where the media are, and what becomes of frames without a face.

    Attributes:
        audio: the folder of sound.
        face_tool: what made the face CSVs.
        faces: the folder of face CSVs; empty: OpenFace or pyfeat.
        min_confidence: frames the tool trusts less failed.
        failed: failed frames are interpolated over short gaps, dropped, or zero.
        longest_gap: failed frames in a row that are interpolated; longer gaps are dropped.
        video_rate: frames per second of the videos.
    """

    audio: str = "AudioWAV"
    face_tool: Literal["openface", "pyfeat"] = "openface"
    faces: str = ""
    min_confidence: float = face.OPENFACE_CONFIDENCE
    failed: face.Failed = "interpolate"
    longest_gap: int = 5
    video_rate: float = 29.97

    def __post_init__(self) -> None:
        if self.longest_gap < 0 or self.video_rate <= 0:
            raise InputError(
                f"crema_d: longest_gap={self.longest_gap} must be at least 0 and "
                f"video_rate={self.video_rate} above 0"
            )


class CremaD(CorpusBuilder, skip_registration=True):
    """Clips that have sound, a face track or both; known faulty ones are left out."""

    Options = CremaDOptions
    folder = "crema_d"

    def describe(self) -> CorpusSpec:
        """The spec, from what media there are. Raises InputError, with what to fetch, where there are none."""
        self._find_media()
        notes = list(NOTES) + ([VOTED] if self._votes else ["There is no tabulatedVotes.csv: no votes."])
        if not self._sound:
            notes.append(f"There is no sound in {self.options.audio}: {GET_SOUND}.")
        if not self._faces:
            notes.append(f"There is no face CSV in {self._face_folder}: {GET_FACES[self.options.face_tool]}.")
        actors = self._root / "VideoDemographics.csv"
        if actors.is_file():
            notes.append(describe_actors(actors, {*self._sound, *self._faces}))
        return CorpusSpec(
            name="crema_d",
            modalities=self._modalities(),
            classes=CLASSES,
            votes=tuple(f"{c}/{name}" for c in CONDITIONS for name in CLASSES) if self._votes else (),
            splits=(UNSPLIT,),
            description="CREMA-D: acted emotion in voice and face; 91 actors, 12 sentences, 6 emotions.",
            licence="ODbL 1.0 (database), DbCL 1.0 (contents).",
            notes=tuple(notes),
        )

    def read(self) -> Mapping[str, Iterator[Utterance]]:
        """Clips in order of their names."""
        return {UNSPLIT: self._clips()}

    def _find_media(self) -> None:
        options = self.options
        self._face_folder = options.faces or FOLDERS[options.face_tool]
        for root in (self.source, self.source.parent):
            self._root = root
            self._sound = files_by_clip(root / options.audio, ".wav")
            self._faces = files_by_clip(root / self._face_folder, ".csv")
            if self._sound or self._faces:
                break
        else:
            raise InputError(
                f"crema_d: {self.source} holds neither {options.audio}/*.wav nor {self._face_folder}/*.csv; "
                f"{GET_SOUND}, and {GET_FACES[options.face_tool]}"
            )
        tables = [self._root / name for name in ("tabulatedVotes.csv", "processedResults/tabulatedVotes.csv")]
        self._votes = next((votes_by_clip(table) for table in tables if table.is_file()), {})

    def _modalities(self) -> tuple[Modality, ...]:
        found = [Modality("mfcc", len(COLUMNS), RATE / HOP, COLUMNS)] if self._sound else []
        if self._faces:
            columns = self._track(next(iter(self._faces.values()))).columns
            rate = self.options.video_rate if self.options.failed == "zero" else None
            found.append(Modality("action_units", len(columns), rate, columns))
        return tuple(found)

    def _clips(self) -> Iterator[Utterance]:
        self._seen: collections.Counter[str] = collections.Counter()
        scores: set[str] = set()
        for clip in sorted({*self._sound, *self._faces}):
            if clip.startswith(FAULTY):
                self._seen["faulty"] += 1
                continue
            features, seconds = {}, []
            if clip in self._sound:
                waveform = read_waveform(self._sound[clip])
                features["mfcc"] = cepstra_and_slopes(waveform)
                seconds.append(len(waveform) / RATE)
            if clip in self._faces:
                track = self._track(self._faces[clip])
                scores.update(track.emotion_scores)
                features["action_units"] = self._frames(track, self._faces[clip])
                seconds.append(float(track.times[-1]) + 1 / self.options.video_rate)
            self._seen.update(f"no {m}" for m in self.spec.modality_names if not len(features.get(m, ())))
            self._seen["no votes"] += clip not in self._votes
            yield self._utterance(clip, features, seconds[0])
        notes = (*self.spec.notes, *self._counted(sorted(scores)))
        self.spec = dataclasses.replace(self.spec, notes=notes)

    def _utterance(self, clip: str, features: dict[str, np.ndarray], seconds: float) -> Utterance:
        parts = clip_parts(clip)
        assert parts is not None
        speaker, transcript, label = parts
        return Utterance(
            id=clip,
            speaker=speaker,
            dialogue=clip,
            start=0.0,
            end=seconds,
            transcript=transcript,
            features={name: frames for name, frames in features.items() if len(frames)},
            label=label,
            votes=self._votes.get(clip),
        )

    def _track(self, path: Path) -> face.FaceTrack:
        options = self.options
        if options.face_tool == "openface":
            return face.read_openface(path, rate=options.video_rate, min_confidence=options.min_confidence)
        return face.read_pyfeat(path, rate=options.video_rate, min_confidence=options.min_confidence)

    def _frames(self, track: face.FaceTrack, path: Path) -> np.ndarray:
        columns = self.spec.modality("action_units").columns
        if track.columns != columns:
            raise InputError(
                f"{path} has {len(track.columns)} action units where the first file has {len(columns)}; "
                "run one version of the tool on all clips"
            )
        kept = face.without_failed(track, self.options.failed, self.options.longest_gap)
        counts = {"frames": len(track), "failed frames": int((~track.valid).sum())}
        self._seen.update(counts | {"lost frames": len(track) - len(kept), "other faces": track.other_faces})
        return kept.values

    def _counted(self, scores: list[str]) -> Iterator[str]:
        seen, how = self._seen, self.options.failed
        if seen["faulty"]:
            yield f"{seen['faulty']} clips known to be faulty were left out ({'*, '.join(FAULTY)}*)."
        for name in self.spec.modality_names:
            if seen[f"no {name}"]:
                yield f"{name} is missing in {seen[f'no {name}']} clips (no file, or no valid frame)."
        if self._votes and seen["no votes"]:
            yield f"{seen['no votes']} clips have no votes."
        if seen["failed frames"]:
            done = {"zero": "set to 0", "drop": "taken out"}.get(
                how, "interpolated over short gaps, else taken out"
            )
            yield (
                f"The face failed in {seen['failed frames']} of {seen['frames']} frames; they were {done} "
                f"({seen['lost frames']} taken out)."
            )
        if seen["other faces"]:
            yield f"{seen['other faces']} faces beside the most confident one of a frame were left out."
        if scores:
            yield f"The face CSVs hold emotion scores ({', '.join(scores)}): they are no features and were left out."
