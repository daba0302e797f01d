"""Files of CREMA-D as distributed: sound, votes and actors, clip by clip."""

import collections
from collections.abc import Iterable
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from mer_jax.data.builders.crema_d_votes import CLASSES, clip_parts, read_judgements
from mer_jax.data.builders.raw_files import number, read_table
from mer_jax.errors import InputError
from mer_jax.features import audio

RATE, FRAME, HOP, N_MFCC = 16000, 512, 160, 26
CEPSTRA = tuple(f"mfcc_{i}" for i in range(N_MFCC))
COLUMNS = (*CEPSTRA, *(f"slope_{name}" for name in CEPSTRA))
UNKNOWN_SIZE = 2**32  # a stream's header
CONDITIONS = ("both", "voice", "face")


def cepstra_and_slopes(waveform: np.ndarray) -> np.ndarray:
    """[frames, 52] cepstra and slopes of [samples] at 16 kHz, 100 frames a second.

    Computed at lengths of whole seconds, so that few of them compile.
    """
    size = -(-len(waveform) // RATE) * RATE
    padded = jnp.asarray(np.pad(waveform, (0, size - len(waveform))))
    count = audio.frame_count(len(waveform), n_fft=FRAME, hop=HOP)
    cepstra = np.asarray(audio.mfcc(padded, RATE, n_mfcc=N_MFCC, n_fft=FRAME, hop=HOP))[:count]
    return np.concatenate([cepstra, audio.delta(cepstra)], axis=1).astype(np.float32)


def read_waveform(path: Path) -> np.ndarray:
    """[samples] at 16 kHz. Raises InputError for a damaged or empty file, or a pointer of git-lfs."""
    with open(path, "rb") as file:
        head = file.read(12)
    if head == b"version http":
        raise InputError(f"crema_d: {path} is a git-lfs pointer, not sound; run `git lfs pull` in its clone")
    promised = (
        int.from_bytes(head[4:8], "little") + 8
    )  # RIFF; libsndfile reads a truncated file without a word
    if head[:4] == b"RIFF" and path.stat().st_size < promised < UNKNOWN_SIZE:
        raise InputError(
            f"crema_d: {path} has {path.stat().st_size} of {promised} bytes: truncated; fetch it again"
        )
    waveform = audio.resample(*audio.read(path), RATE)
    if len(waveform) < FRAME:
        raise InputError(f"crema_d: {path} holds {len(waveform)} samples; fetch it again, or take it away")
    return waveform


def files_by_clip(folder: Path, suffix: str) -> dict[str, Path]:
    """Clip -> file. Raises InputError for a file that is not named as a clip."""
    paths = sorted(path for path in folder.glob(f"*{suffix}") if not path.name.startswith("."))
    for path in paths:
        if clip_parts(path.stem) is None:
            raise InputError(
                f"crema_d: {path} is not named actor, sentence, emotion, level (1001_DFA_ANG_XX{suffix}); "
                "move it away"
            )
    return {path.stem: path for path in paths}


def votes_by_clip(path: Path) -> dict[str, np.ndarray]:
    """Clip -> [18] votes, condition by condition; 0 for a condition that was not judged."""
    found: dict[str, np.ndarray] = {}
    for judgement in read_judgements(path):
        votes = found.setdefault(judgement.clip, np.zeros((len(CONDITIONS), len(CLASSES)), np.float32))
        votes[CONDITIONS.index(judgement.condition)] = judgement.votes
    return {clip: votes.ravel() for clip, votes in found.items()}


def describe_actors(path: Path, clips: Iterable[str]) -> str:
    """How many of the clips' actors VideoDemographics.csv knows, their sex and their ages."""
    here = {clip[:4] for clip in clips}
    rows = enumerate(read_table(path, ("ActorID", "Age", "Sex")), start=2)
    known = [(number(r["Age"], path, i, "Age"), r["Sex"]) for i, r in rows if r["ActorID"] in here]
    counts = collections.Counter(sex.lower() for _, sex in known)
    if not known:
        return "VideoDemographics.csv knows none of the actors."
    ages = [age for age, _ in known]
    shown = ", ".join(f"{count} {sex}" for sex, count in sorted(counts.items()))
    return f"{len(known)} actors in VideoDemographics.csv: {shown}; {min(ages):.0f} to {max(ages):.0f} years old."
