"""The front end against librosa, scipy and what is known of sines."""

import jax
import jax.numpy as jnp
import librosa
import numpy as np
import pytest
import soundfile

from mer_jax.errors import InputError
from mer_jax.features import audio

RATE = 16000


@pytest.fixture(scope="module")
def speech():
    """A second of something like speech: a gliding harmonic tone in bursts, and noise."""
    rng = np.random.default_rng(0)
    time = np.arange(RATE) / RATE
    phase = 2 * np.pi * np.cumsum(120 + 40 * np.sin(5 * time)) / RATE
    tone = sum(np.sin(k * phase) / k for k in range(1, 20))
    waveform = tone * (0.5 + 0.5 * np.sin(20 * time)) + 0.02 * rng.standard_normal(RATE)
    return (0.2 * waveform).astype(np.float32)


@pytest.mark.parametrize("center", [False, True])
@pytest.mark.parametrize(("n_fft", "hop"), [(512, 160), (400, 100), (1024, 512)])
def test_power_spectrum_is_librosas(speech, n_fft, hop, center):
    ours = audio.power_spectrum(jnp.asarray(speech), n_fft=n_fft, hop=hop, center=center)
    theirs = np.abs(librosa.stft(speech, n_fft=n_fft, hop_length=hop, center=center)).T ** 2
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6 * theirs.max())


@pytest.mark.parametrize(
    ("rate", "n_fft", "n_mels", "fmin", "fmax"),
    [(16000, 512, 64, 0.0, 8000.0), (22050, 2048, 128, 0.0, 11025.0), (16000, 1024, 40, 50.0, 7600.0)],
)
def test_mel_filters_are_librosas(rate, n_fft, n_mels, fmin, fmax):
    ours = audio.mel_filters(rate, n_fft, n_mels, fmin, fmax)
    theirs = librosa.filters.mel(sr=rate, n_fft=n_fft, n_mels=n_mels, fmin=fmin, fmax=fmax)
    np.testing.assert_allclose(ours, theirs.T, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("center", [False, True])
def test_log_mel_and_mfcc_are_librosas(speech, center):
    bands = librosa.feature.melspectrogram(
        y=speech, sr=RATE, n_fft=512, hop_length=160, n_mels=64, center=center
    )
    decibels = librosa.power_to_db(bands, amin=1e-10, top_db=None)
    ours = audio.log_mel(jnp.asarray(speech), RATE, center=center)
    np.testing.assert_allclose(ours, decibels.T, rtol=1e-4, atol=2e-3)
    cepstra = librosa.feature.mfcc(S=decibels, n_mfcc=20)
    ours = audio.mfcc(jnp.asarray(speech), RATE, n_mfcc=20, center=center)
    np.testing.assert_allclose(ours, cepstra.T, rtol=1e-4, atol=5e-3)


@pytest.mark.parametrize("reach", [1, 4])
def test_delta_is_librosas(reach):
    features = np.random.default_rng(0).standard_normal((30, 7)).astype(np.float32)
    theirs = librosa.feature.delta(features, width=2 * reach + 1, axis=0, mode="nearest")
    np.testing.assert_allclose(audio.delta(features, reach), theirs, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(audio.delta(jnp.asarray(features), reach), theirs, rtol=1e-4, atol=1e-6)


def test_prosody_is_librosas(speech):
    ours = np.asarray(audio.prosody(jnp.asarray(speech), RATE))
    rms = librosa.feature.rms(y=speech, frame_length=512, hop_length=160, center=False)[0]
    np.testing.assert_allclose(ours[:, 0], 20 * np.log10(rms), rtol=1e-4)
    crossings = librosa.feature.zero_crossing_rate(speech, frame_length=512, hop_length=160, center=False)
    np.testing.assert_allclose(ours[:, 1], crossings[0], rtol=1e-6)
    centroid = librosa.feature.spectral_centroid(y=speech, sr=RATE, n_fft=512, hop_length=160, center=False)
    np.testing.assert_allclose(1000 * ours[:, 2], centroid[0], rtol=1e-4)


def test_frames_are_the_samples_they_say():
    frames = audio.frame(jnp.arange(10.0), n_fft=4, hop=3)
    np.testing.assert_array_equal(frames, [[0, 1, 2, 3], [3, 4, 5, 6], [6, 7, 8, 9]])
    centred = audio.frame(jnp.arange(1.0, 5.0), n_fft=4, hop=2, center=True)
    np.testing.assert_array_equal(centred, [[0, 0, 1, 2], [1, 2, 3, 4], [3, 4, 0, 0]])
    assert audio.frame_count(10, n_fft=4, hop=3) == 3
    assert audio.frame_count(3, n_fft=4, hop=3) == 0


def test_a_batch_is_its_rows_and_vmap_and_jit_agree(speech):
    batch = jnp.stack([jnp.asarray(speech), jnp.asarray(speech[::-1].copy())])
    for function in (audio.log_mel, audio.mfcc, audio.prosody):
        together = function(batch, RATE)
        np.testing.assert_allclose(together[1], function(batch[1], RATE), rtol=1e-4, atol=1e-3)
        mapped = jax.jit(jax.vmap(lambda row, f=function: f(row, RATE)))(batch)
        np.testing.assert_allclose(together, mapped, rtol=1e-4, atol=1e-3)


def test_silence_is_finite():
    silence = jnp.zeros(1000)
    assert np.all(np.asarray(audio.log_mel(silence, RATE)) == -100)
    assert np.all(np.isfinite(audio.mfcc(silence, RATE)))
    np.testing.assert_allclose(audio.prosody(silence, RATE), np.tile([-100.0, 0, 0], (4, 1)), atol=1e-4)


def test_a_sine_lies_in_the_band_of_its_frequency():
    sine = jnp.sin(2 * jnp.pi * 1000 * jnp.arange(RATE, dtype=jnp.float32) / RATE)
    loudest = np.asarray(audio.log_mel(sine, RATE)).argmax(axis=1)
    centres = librosa.mel_frequencies(n_mels=66, fmin=0, fmax=8000)[1:-1]
    assert set(loudest.tolist()) == {int(np.argmin(np.abs(centres - 1000)))}
    prosody = np.asarray(audio.prosody(sine, RATE))
    np.testing.assert_allclose(prosody[:, 0], 10 * np.log10(0.5), atol=0.01)
    np.testing.assert_allclose(prosody[:, 1], 2000 / RATE, atol=2 / 512)


@pytest.mark.parametrize(("rate", "to"), [(22050, 16000), (8000, 16000), (44100, 16000), (16000, 16000)])
def test_resampling_keeps_a_sine_and_drops_what_does_not_fit(rate, to):
    time = np.arange(rate) / rate
    kept = audio.resample(np.sin(2 * np.pi * 440 * time).astype(np.float32), rate, to)
    assert kept.dtype == np.float32
    assert len(kept) == to
    middle = slice(to // 10, -to // 10)
    np.testing.assert_allclose(kept[middle], np.sin(2 * np.pi * 440 * np.arange(to) / to)[middle], atol=2e-3)
    if rate > to:
        dropped = audio.resample(np.sin(2 * np.pi * 9500 * time).astype(np.float32), rate, to)
        assert np.abs(dropped[middle]).max() < 0.01


def test_sound_files_are_read_and_channels_averaged(tmp_path, speech):
    both = np.stack([speech, -0.5 * speech], axis=1)
    soundfile.write(tmp_path / "a.wav", both, RATE, subtype="FLOAT")
    waveform, rate = audio.read(tmp_path / "a.wav")
    assert rate == RATE
    np.testing.assert_allclose(waveform, 0.25 * speech, atol=1e-7)


@pytest.mark.parametrize("kept", [0, 20, 9000])
def test_a_truncated_file_is_named(tmp_path, speech, kept):
    soundfile.write(tmp_path / "whole.flac", speech, RATE)
    damaged = tmp_path / "damaged.flac"
    damaged.write_bytes((tmp_path / "whole.flac").read_bytes()[:kept])
    with pytest.raises(InputError, match=r"damaged\.flac.*fetch it again"):
        audio.read(damaged)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"none\.wav"):
        audio.read(tmp_path / "none.wav")


def test_without_soundfile_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "soundfile", None)
    with pytest.raises(InputError, match=r"pip install 'mer-jax\[audio\]'"):
        audio.read(tmp_path / "a.wav")


def test_bad_arguments_say_what_and_what_to_do():
    waveform = jnp.zeros(1000)
    with pytest.raises(InputError, match="1000 samples is shorter than one frame of 2048"):
        audio.log_mel(waveform, RATE, n_fft=2048)
    with pytest.raises(InputError, match=r"mel range 0.0\.\.9000.0 Hz"):
        audio.log_mel(waveform, RATE, fmax=9000.0)
    with pytest.raises(InputError, match="n_mels = 128 leaves empty bands at n_fft = 256"):
        audio.log_mel(waveform, RATE, n_fft=256, n_mels=128)
    with pytest.raises(InputError, match="n_mfcc = 30; give 1 to 20"):
        audio.mfcc(waveform, RATE, n_mfcc=30, n_mels=20)
