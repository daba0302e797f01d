"""From the latent state to what is seen and heard: feature sequences on their own clocks."""

import dataclasses
import functools

import numpy as np

from mer_jax.data.randomness import autoregressive, stream, stretches
from mer_jax.data.simulation.emotion import EMOTIONS, OPPOSITE, at
from mer_jax.data.simulation.options import MODALITIES, Options
from mer_jax.data.simulation.vocabulary import SIGNATURE, vocabulary

TEXT_MARKS = ("emphasis", "irony")

_SENSITIVITY = {  # happy, sad, anger, surprise, disgust, fear
    "text": np.array([0.8, 0.9, 0.1, 0.1, 1.0, 0.3]),
    "audio": np.array([0.1, 0.4, 1.0, 0.5, 0.1, 0.9]),
    "face": np.array([0.9, 0.1, 0.4, 1.0, 0.4, 0.1]),
}
_SIGNATURE_GAIN = {"text": 0.7, "audio": 0.7, "face": 0.0}
_ARTICULATION_SIGN = {"text": 0.0, "audio": 1.0, "face": -1.0}
_DEAD_SECONDS = 0.6
_MEMORY_SECONDS = 0.5
_LASTING = 0.6


@dataclasses.dataclass(frozen=True)
class Scene:
    """What happens in an utterance, before anything renders it.

    states, decoy, articulation: [steps, 6] at 10 Hz: the true state, the one shown outside
    emphasised words, and the movement of speaking.
    stray: [6], how far every modality strays from the state, as far as they are redundant.
    words: indices into the vocabulary; spans: their [words, 2] seconds.
    """

    seconds: float
    states: np.ndarray
    decoy: np.ndarray
    articulation: np.ndarray
    stray: np.ndarray
    words: np.ndarray
    spans: np.ndarray
    emphasised: np.ndarray
    ironic: bool


@dataclasses.dataclass(frozen=True)
class Voice:
    """A speaker's own offset [dim] and gain in each modality."""

    offset: dict[str, np.ndarray]
    gain: dict[str, float]


@functools.cache
def voice(options: Options, speaker: int) -> Voice:
    """How a speaker differs from the others, whatever the corpus' size."""
    rng = stream(options.seed, "speaker", speaker)
    size = options.speaker_effect
    offset = {m: size * rng.standard_normal(_dim(options, m)) for m in MODALITIES}
    return Voice(offset, {m: float(np.exp(0.5 * size * rng.standard_normal())) for m in MODALITIES})


def _dim(options: Options, modality: str) -> int:
    return getattr(options, f"{modality}_dim")


@functools.cache
def loadings(modality: str, dim: int) -> tuple[np.ndarray, np.ndarray]:
    """Fixed random maps of the emotions [6, dim] and of word signatures [8, dim] to features."""
    rng = stream(0, f"loadings {modality}", dim)
    emotion = rng.standard_normal((len(EMOTIONS), dim)) / np.sqrt(len(EMOTIONS))
    signature = rng.standard_normal((SIGNATURE, dim)) / np.sqrt(SIGNATURE)
    return emotion, _SIGNATURE_GAIN[modality] * signature


def _word_at(spans: np.ndarray, times: np.ndarray) -> np.ndarray:
    """The word spoken at each time, or -1 in a pause."""
    inside = (spans[:, 0] <= times[:, None]) & (times[:, None] < spans[:, 1])
    return np.where(inside.any(axis=1), inside.argmax(axis=1), -1)


def _clock(options: Options, scene: Scene, modality: str) -> np.ndarray:
    if modality == "text":
        return scene.spans.mean(axis=1)
    rate = getattr(options, f"{modality}_rate")
    return (np.arange(max(1, round(scene.seconds * rate))) + 0.5) / rate


def _shown(options: Options, scene: Scene, modality: str, times: np.ndarray, word: np.ndarray) -> np.ndarray:
    """The state [times, 6] a modality shows: the true one, save for irony and emphasis in the audio."""
    states = at(scene.states, times)
    if modality != "audio":
        return states
    if scene.ironic:
        states = states[:, OPPOSITE]
    wrong = options.emphasis * ~(scene.emphasised[word] & (word >= 0))[:, None]
    return (1 - wrong) * states + wrong * at(scene.decoy, times)


def render(
    rng: np.random.Generator, options: Options, scene: Scene, speaker: Voice, modality: str
) -> np.ndarray:
    """One modality [time, dim] of a scene.

        x_t = gain (s * z(t - lag) + noise_t + confound a(t - lag)) E + signature(t - lag) S + offset + white

    with s the modality's sensitivity to each emotion, E and S the fixed loadings.
    """
    clock = _clock(options, scene, modality)
    times = clock - options.of("lag", modality)
    word = _word_at(scene.spans, times)
    sensitivity = options.redundancy + (1 - options.redundancy) * _SENSITIVITY[modality]
    expression = sensitivity * _shown(options, scene, modality, times, word)
    expression += options.of("noise", modality) * _strayed(rng, clock, scene.stray, options.redundancy)
    expression += options.confound * _ARTICULATION_SIGN[modality] * at(scene.articulation, times)
    emotion, signature = loadings(modality, _dim(options, modality))
    patterns = np.where(word[:, None] >= 0, vocabulary().signature[scene.words[word]], 0)
    out = speaker.gain[modality] * (expression @ emotion) + patterns @ signature
    out += speaker.offset[modality] + options.noise_measured * rng.standard_normal(out.shape)
    if modality == "text":
        out[:, 0] = scene.emphasised + 0.1 * rng.standard_normal(len(out))
        out[:, 1] = (-1 if scene.ironic else 1) + 0.5 * rng.standard_normal(len(out))
    frame = 1.0 if modality == "text" else getattr(options, f"{modality}_rate") * _DEAD_SECONDS
    out[stretches(rng, len(out), options.of("dead", modality), frame)] = 0
    return out


def _strayed(
    rng: np.random.Generator, clock: np.ndarray, shared: np.ndarray, redundancy: float
) -> np.ndarray:
    """Unit-variance noise [time, 6]: what lasts the utterance, shared in part, and what moves."""
    step = float(np.mean(np.diff(clock))) if len(clock) > 1 else 1.0
    moving = autoregressive(rng, len(clock), len(EMOTIONS), float(np.exp(-step / _MEMORY_SECONDS)))
    own = rng.standard_normal(len(EMOTIONS))
    lasting = np.sqrt(redundancy) * shared + np.sqrt(1 - redundancy) * own
    return _LASTING * lasting + np.sqrt(1 - _LASTING**2) * moving


def bury(rng: np.random.Generator, features: np.ndarray, snr_db: float) -> np.ndarray:
    """Features plus white Gaussian noise scaled to exactly this signal-to-noise ratio.

    10 log10(sum x^2 / sum n^2) = snr_db over the utterance.
    """
    noise = rng.standard_normal(features.shape)
    scale = np.sqrt(np.sum(features**2) / np.sum(noise**2) * 10 ** (-snr_db / 10))
    return features + scale * noise
