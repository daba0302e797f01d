"""What a builder of a speech corpus makes of a recording: waveform, log-mel bands, cepstra and prosody."""

import dataclasses
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from mer_jax.data.schema import Modality
from mer_jax.errors import InputError
from mer_jax.features import audio

RATE = 16000
FRAME, HOP = 512, 160
PIECE = 2 * RATE
_STREAM = 2**32  # a RIFF header says so where the length was unknown


@dataclasses.dataclass(frozen=True)
class SoundOptions:
    """Which features are computed from sound.

    Attributes:
        waveform: whether the waveform at 16 kHz is kept as a modality.
        n_mels: mel bands, 100 frames a second.
        n_mfcc: cepstral coefficients; their slopes and three prosodic columns follow them.
    """

    waveform: bool = True
    n_mels: int = 64
    n_mfcc: int = 20

    def __post_init__(self) -> None:
        if not 1 <= self.n_mfcc <= self.n_mels:
            raise InputError(f"n_mfcc = {self.n_mfcc}; give 1 to n_mels = {self.n_mels}")


def sound_modalities(options: SoundOptions) -> tuple[Modality, ...]:
    """The modalities that `sound_features` computes."""
    cepstra = [f"mfcc_{i}" for i in range(options.n_mfcc)]
    columns = (*cepstra, *(f"slope_{name}" for name in cepstra), *audio.PROSODY)
    frames = (
        Modality("log_mel", options.n_mels, 100.0),
        Modality("mfcc", len(columns), 100.0, columns),
    )
    return (*frames, Modality("waveform", 1, float(RATE))) if options.waveform else frames


def sound_features(waveform: np.ndarray, options: SoundOptions) -> dict[str, np.ndarray]:
    """Modality -> [time, dim] float32 of a waveform [samples] at 16 kHz.

    Frames are those of the true length, computed at lengths of whole 2 s so that few compile.
    """
    size = -(-len(waveform) // PIECE) * PIECE
    padded = jnp.asarray(np.pad(waveform, (0, size - len(waveform))))
    count = audio.frame_count(len(waveform), n_fft=FRAME, hop=HOP)
    bands = audio.log_mel(padded, RATE, n_fft=FRAME, hop=HOP, n_mels=options.n_mels)
    prosody = np.asarray(audio.prosody(padded, RATE, n_fft=FRAME, hop=HOP))[:count]
    cepstra = np.asarray(audio.cepstrum(bands, options.n_mfcc))[:count]
    table = {
        "log_mel": np.asarray(bands)[:count],
        "mfcc": np.concatenate([cepstra, audio.delta(cepstra), prosody], axis=1),
    }
    if options.waveform:
        table["waveform"] = waveform[:, None]
    return {name: np.asarray(array, np.float32) for name, array in table.items()}


def read_sound(path: Path) -> np.ndarray:
    """[samples] at 16 kHz. Raises InputError for a damaged file, or sound shorter than a frame (32 ms)."""
    waveform, rate = audio.read(path)
    with open(path, "rb") as file:
        head = file.read(8)
    promised = int.from_bytes(head[4:], "little") + 8
    if head[:4] == b"RIFF" and path.stat().st_size < promised < _STREAM:  # libsndfile says nothing
        raise InputError(
            f"{path} has {path.stat().st_size} of {promised} bytes: truncated; copy it again from its source"
        )
    waveform = audio.resample(waveform, rate, RATE)
    if len(waveform) < FRAME:
        raise InputError(
            f"{path} lasts {len(waveform) / RATE:.3f} s, less than a frame of 0.032 s; leave it out"
        )
    return waveform
