"""What the generated corpus can be asked for, and the named combinations later parts rely on."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from mer_jax.data.schema import SPLITS
from mer_jax.errors import InputError, nearest

MODALITIES = ("text", "audio", "face")
ANY = "any"


@dataclasses.dataclass(frozen=True)
class Options:
    """The generated corpus, its size and the difficulties planted in it.

    A field left at its default takes the value of the preset. Raises InputError where a
    field is out of range.

    Attributes:
        preset: a named combination: default, complementary (fusion early beats fusion late by
            far), redundant (every modality says the same, so it does not), lagged (the audio
            lags and only emphasised words tell), bad_modality (noise in place of a modality).
        seed: the same seed gives the same bytes.
        dialogues: number of dialogues, at least 3; more of them leave the earlier ones as they are.
        test_tenths: of ten dialogues (and speakers) so many, 1 to 8, are for the test, one for
            development and the others for training.
        utterances: fewest and most utterances of a dialogue.
        words: fewest and most words of an utterance.
        speakers: number of speakers in the corpus.
        shared_speakers: whether speakers may speak in more than one split.
        text_dim: features per word.
        audio_dim: features per audio frame.
        face_dim: features per face frame.
        audio_rate: audio frames per second.
        face_rate: face frames per second.
        noise_text: how far the text strays from the state, in units of intensity.
        noise_audio: the same of the audio.
        noise_face: the same of the face.
        noise_measured: white noise on every feature of every frame, whatever is expressed.
        lag_audio: seconds the audio lags behind the words; negative where it leads.
        lag_face: seconds the face lags behind the words; negative where it leads.
        dead_text: share of words whose features are zero, in stretches.
        dead_audio: share of audio frames that are zero, in stretches.
        dead_face: share of face frames that are zero, in stretches.
        missing_text: share of utterances without text features.
        missing_audio: share of utterances without audio.
        missing_face: share of utterances without a face.
        bad_modality: modality buried in white Gaussian noise: text, audio, face, any (one of
            them at random), or empty for none.
        bad_share: share of utterances where it is.
        bad_snr_db: power of an utterance's features over that of the noise, in decibels.
        bad_splits: splits where it happens.
        neutral_share: share of utterances planned as neutral.
        imbalance: how many times as often the commonest emotion is planned as the rarest.
        speaker_effect: size of each speaker's own offset and gain in every modality.
        annotators: votes per utterance.
        reliability: 1 where annotators see the state as it is, 0 where they see mostly noise.
        redundancy: 1 where each modality shows all six emotions, 0 where each shows its own.
        confound: movement of speaking that blurs audio and face in opposite directions: together
            they cancel it, alone they cannot.
        interaction: share of ironic utterances, times two: the audio shows the opposite emotion
            and only the text tells so.
        emphasis: 1 where the audio shows the true emotion in emphasised words only and a wrong
            one elsewhere; 0 where it shows it throughout.
    """

    preset: str = "default"
    seed: int = 0
    dialogues: int = 100
    test_tenths: int = 2
    utterances: tuple[int, int] = (8, 16)
    words: tuple[int, int] = (4, 14)
    speakers: int = 30
    shared_speakers: bool = False
    text_dim: int = 32
    audio_dim: int = 24
    face_dim: int = 17
    audio_rate: float = 20.0
    face_rate: float = 10.0
    noise_text: float = 1.0
    noise_audio: float = 0.6
    noise_face: float = 0.6
    noise_measured: float = 0.3
    lag_audio: float = 0.0
    lag_face: float = 0.0
    dead_text: float = 0.05
    dead_audio: float = 0.05
    dead_face: float = 0.1
    missing_text: float = 0.0
    missing_audio: float = 0.0
    missing_face: float = 0.0
    bad_modality: str = ""
    bad_share: float = 0.0
    bad_snr_db: float = 0.0
    bad_splits: tuple[str, ...] = SPLITS
    neutral_share: float = 0.2
    imbalance: float = 2.0
    speaker_effect: float = 0.3
    annotators: int = 5
    reliability: float = 0.7
    redundancy: float = 0.4
    confound: float = 1.0
    interaction: float = 0.3
    emphasis: float = 0.0

    def __post_init__(self) -> None:
        shares = [f"{kind}_{m}" for kind in ("dead", "missing") for m in MODALITIES]
        shares += ["bad_share", "neutral_share", "reliability", "redundancy", "interaction", "emphasis"]
        positive = ["imbalance", "audio_rate", "face_rate"]
        amounts = ["seed", "annotators", "speaker_effect", "confound", "noise_measured"]
        amounts += [f"noise_{m}" for m in MODALITIES]
        lags = ["lag_audio", "lag_face"]
        self._check(["dialogues"], 3.0, math.inf)
        self._check(["test_tenths"], 1.0, 8.0)
        self._check([f"{m}_dim" for m in MODALITIES], 3.0, math.inf)
        self._check(positive, 1.0, math.inf)
        self._check(amounts, 0.0, math.inf)
        self._check(shares, 0.0, 1.0)
        self._check(lags, -5.0, 5.0)
        self._check(["bad_snr_db"], -100.0, 100.0)
        for name in ("utterances", "words"):
            low, high = getattr(self, name)
            if not 1 <= low <= high:
                raise InputError(f"generated: {name} = {(low, high)}; give 1 <= fewest <= most")
        self._check_names("preset", [self.preset], PRESETS)
        self._check_names("bad_modality", [self.bad_modality], ("", ANY, *MODALITIES))
        self._check_names("bad_splits", self.bad_splits, SPLITS)

    def _check(self, names: list[str], low: float, high: float) -> None:
        for name in names:
            value = getattr(self, name)
            if not low <= value <= high or math.isinf(value):
                span = f"at least {low:g}" if math.isinf(high) else f"from {low:g} to {high:g}"
                raise InputError(f"generated: {name} = {value}; give a finite number {span}")

    def _check_names(self, field: str, names: Any, known: Any) -> None:
        for name in names:
            if name not in known:
                raise InputError(f"generated: {field} = {name!r} is unknown; {nearest(name, known)}")

    def of(self, kind: str, modality: str) -> float:
        """The option `<kind>_<modality>`; the text is the clock, so its lag is 0."""
        return 0.0 if (kind, modality) == ("lag", "text") else getattr(self, f"{kind}_{modality}")


PRESETS: Mapping[str, Mapping[str, Any]] = {
    "default": {},
    "complementary": {
        "redundancy": 0.2, "interaction": 0.6, "noise_text": 0.8, "noise_audio": 0.4, "noise_face": 0.4,
    },
    "redundant": {
        "redundancy": 1.0, "confound": 0.0, "interaction": 0.0,
        "noise_text": 1.5, "noise_audio": 1.5, "noise_face": 1.5,
    },
    "lagged": {
        "emphasis": 1.0, "lag_audio": 0.4, "interaction": 0.0, "confound": 0.0,
        "noise_text": 3.0, "noise_audio": 0.3, "noise_face": 2.0,
    },
    "bad_modality": {
        "bad_modality": ANY, "bad_share": 0.3, "redundancy": 1.0, "confound": 0.0, "interaction": 0.0,
        "speaker_effect": 0.0, "dead_text": 0.0, "dead_audio": 0.0, "dead_face": 0.0,
        "noise_text": 0.15, "noise_audio": 0.15, "noise_face": 0.15, "noise_measured": 0.1,
    },
}  # fmt: skip


def resolve(options: Options) -> Options:
    """The options with the preset's value in every field left at its default."""
    default = Options()
    values = {k: v for k, v in PRESETS[options.preset].items() if getattr(options, k) == getattr(default, k)}
    return dataclasses.replace(options, **values)
