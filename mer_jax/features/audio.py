"""From a waveform to frames: log-mel bands, cepstra and prosody, as jitted functions.

All take waveforms [..., samples] in float32 at `rate` hertz and return [..., frames, ...].
Frame t covers samples [t hop, t hop + n_fft); with `center` the waveform is first padded
with n_fft // 2 zeros at both ends, so that frame t is centred on sample t hop. Samples
that fill no whole frame at the end are left out.
"""

import functools
import math
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import scipy.fft
import scipy.signal
from jaxtyping import Array, Float

from mer_jax.errors import InputError

LOWEST_POWER = 1e-10


def read(path: Path) -> tuple[np.ndarray, int]:
    """A sound file as a mono waveform [samples] in [-1, 1] and its rate in hertz; channels are averaged.

    Raises InputError where the file is damaged or empty, or soundfile is not installed.
    """
    try:
        import soundfile
    except ImportError as error:
        raise InputError("reading sound files needs soundfile; run: pip install 'mer-jax[audio]'") from error
    try:
        with soundfile.SoundFile(path) as file:
            promised, rate = file.frames, file.samplerate
            waveform = file.read(dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, OSError) as error:
        raise InputError(
            f"{path} is missing, truncated or no sound file ({error}); fetch it again"
        ) from error
    if len(waveform) == 0 or len(waveform) != promised:
        raise InputError(f"{path} holds {len(waveform)} of {promised} samples: truncated; fetch it again")
    return waveform.mean(axis=1), rate


def resample(waveform: np.ndarray, rate: int, to: int) -> np.ndarray:
    """A waveform [samples] at another rate, low-passed below half of the lower one."""
    if rate == to:
        return np.asarray(waveform, np.float32)
    common = np.gcd(rate, to)
    return scipy.signal.resample_poly(waveform, to // common, rate // common).astype(np.float32)


def frame_count(samples: int, *, n_fft: int, hop: int) -> int:
    """Whole frames in so many samples, without centring."""
    return 0 if samples < n_fft else 1 + (samples - n_fft) // hop


@functools.partial(jax.jit, static_argnames=("n_fft", "hop", "center"))
def frame(
    waveform: Float[Array, "*batch samples"], *, n_fft: int, hop: int, center: bool = False
) -> Float[Array, "*batch frames n_fft"]:
    """Overlapping frames of n_fft samples, one every hop. Raises InputError where there is not one."""
    if center:
        pad = [(0, 0)] * (waveform.ndim - 1) + [(n_fft // 2, n_fft // 2)]
        waveform = jnp.pad(waveform, pad)
    count = frame_count(waveform.shape[-1], n_fft=n_fft, hop=hop)
    if count == 0:
        raise InputError(f"waveform of {waveform.shape[-1]} samples is shorter than one frame of {n_fft}; "
                         "pad it or take a smaller n_fft")  # fmt: skip
    index = hop * np.arange(count)[:, None] + np.arange(n_fft)
    return waveform[..., index]


@functools.partial(jax.jit, static_argnames=("n_fft", "hop", "center"))
def power_spectrum(
    waveform: Float[Array, "*batch samples"], *, n_fft: int, hop: int, center: bool = False
) -> Float[Array, "*batch frames bins"]:
    """|STFT|^2 with a periodic Hann window; bins = n_fft // 2 + 1, bin k at k rate / n_fft hertz."""
    hann = np.asarray(scipy.signal.get_window("hann", n_fft), np.float32)
    frames = frame(waveform, n_fft=n_fft, hop=hop, center=center)
    spectrum = jnp.fft.rfft(frames * hann.reshape((1,) * (frames.ndim - 1) + (-1,)))
    return jnp.square(spectrum.real) + jnp.square(spectrum.imag)


def _mel(hertz: float) -> float:
    """Slaney's mel scale: linear up to 1 kHz (15 mel), logarithmic above, 27 mel to a factor of 6.4."""
    return 3 * hertz / 200 if hertz < 1000 else 15 + 27 * math.log(hertz / 1000) / math.log(6.4)


def _hertz(mel: np.ndarray) -> np.ndarray:
    return np.where(mel < 15, 200 * mel / 3, 1000 * 6.4 ** ((mel - 15) / 27))


@functools.cache
def mel_filters(rate: int, n_fft: int, n_mels: int, fmin: float, fmax: float) -> np.ndarray:
    """Triangular filters [bins, n_mels] evenly spaced in mel, each of unit area in hertz (Slaney 1998).

    Raises InputError for an impossible range, or where a band is too narrow to hold a bin.
    """
    if not 0 <= fmin < fmax <= rate / 2:
        raise InputError(f"mel range {fmin}..{fmax} Hz; give 0 <= fmin < fmax <= {rate / 2} (half the rate)")
    edges = _hertz(np.linspace(_mel(fmin), _mel(fmax), n_mels + 2))
    bins = np.arange(n_fft // 2 + 1)[:, None] * rate / n_fft
    rise = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    fall = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    filters = np.maximum(0, np.minimum(rise, fall)) * 2 / (edges[2:] - edges[:-2])
    if not filters.any(axis=0).all():
        raise InputError(
            f"n_mels = {n_mels} leaves empty bands at n_fft = {n_fft}; take fewer bands or a larger n_fft"
        )
    return filters.astype(np.float32)


@functools.partial(jax.jit, static_argnames=("rate", "n_fft", "hop", "n_mels", "fmin", "fmax", "center"))
def log_mel(
    waveform: Float[Array, "*batch samples"],
    rate: int,
    *,
    n_fft: int = 512,
    hop: int = 160,
    n_mels: int = 64,
    fmin: float = 0.0,
    fmax: float | None = None,
    center: bool = False,
) -> Float[Array, "*batch frames n_mels"]:
    """Mel band powers in decibels, 10 log10(max(power, 1e-10)), without a floor below the loudest."""
    filters = mel_filters(rate, n_fft, n_mels, fmin, rate / 2 if fmax is None else fmax)
    mel = power_spectrum(waveform, n_fft=n_fft, hop=hop, center=center) @ filters
    return 10 * jnp.log10(jnp.maximum(mel, LOWEST_POWER))


@functools.partial(jax.jit, static_argnames="n_mfcc")
def cepstrum(
    bands: Float[Array, "*batch frames n_mels"], n_mfcc: int
) -> Float[Array, "*batch frames n_mfcc"]:
    """The first n_mfcc coefficients of the orthonormal DCT-II of log-mel bands."""
    size = bands.shape[-1]
    if not 1 <= n_mfcc <= size:
        raise InputError(f"n_mfcc = {n_mfcc}; give 1 to {size}, the number of mel bands")
    basis = scipy.fft.dct(np.eye(size), norm="ortho")[:, :n_mfcc].astype(np.float32)
    return bands @ basis


def mfcc(
    waveform: Float[Array, "*batch samples"], rate: int, *, n_mfcc: int = 20, n_mels: int = 64, **mel_options
) -> Float[Array, "*batch frames n_mfcc"]:
    """Mel-frequency cepstral coefficients: `cepstrum` of `log_mel` (and its options)."""
    return cepstrum(log_mel(waveform, rate, n_mels=n_mels, **mel_options), n_mfcc)


def delta(
    features: Float[Array | np.ndarray, "*batch frames dim"], reach: int = 4
) -> Float[Array | np.ndarray, "*batch frames dim"]:
    """Slope per frame of the line fitted to 2 reach + 1 frames; the ends repeat. Numpy in, numpy out.

    d_t = sum_n n (x_{t+n} - x_{t-n}) / (2 sum_n n^2), n = 1..reach.
    """
    steps = np.arange(features.shape[-2])
    ahead = [np.minimum(steps + n, len(steps) - 1) for n in range(1, reach + 1)]
    behind = [np.maximum(steps - n, 0) for n in range(1, reach + 1)]
    pairs = zip(ahead, behind, strict=True)
    rises = [n * (features[..., a, :] - features[..., b, :]) for n, (a, b) in enumerate(pairs, start=1)]
    return sum(rises[1:], rises[0]) / (2 * sum(n * n for n in range(1, reach + 1)))


PROSODY = ("rms_db", "zero_crossing_rate", "spectral_centroid_khz")


@functools.partial(jax.jit, static_argnames=("rate", "n_fft", "hop", "center"))
def prosody(
    waveform: Float[Array, "*batch samples"],
    rate: int,
    *,
    n_fft: int = 512,
    hop: int = 160,
    center: bool = False,
) -> Float[Array, "*batch frames 3"]:
    """Energy in decibels, zero crossings per sample and spectral centroid in kHz of each frame.

    Centroid = sum_k f_k |X_k| / sum_k |X_k|; 0 in silence. Zero counts as positive.
    """
    frames = frame(waveform, n_fft=n_fft, hop=hop, center=center)
    energy = 10 * jnp.log10(jnp.maximum(jnp.mean(jnp.square(frames), axis=-1), LOWEST_POWER))
    sign = frames < 0
    crossings = jnp.sum(sign[..., 1:] != sign[..., :-1], axis=-1).astype(jnp.float32) / n_fft
    magnitude = jnp.sqrt(power_spectrum(waveform, n_fft=n_fft, hop=hop, center=center))
    kilohertz = (np.arange(n_fft // 2 + 1) * rate / n_fft / 1000).astype(np.float32)
    loudness = jnp.sum(magnitude, axis=-1)
    centroid = magnitude @ kilohertz / jnp.where(loudness > 0, loudness, jnp.ones_like(loudness))
    return jnp.stack([energy, crossings, centroid], axis=-1)
