"""Generated corpora for tests: made whole, and one without anything planted."""

import numpy as np

from mer_jax.data.simulation import Options, resolve, simulate

CALM = Options(
    dialogues=20,
    redundancy=1.0,
    noise_text=0.0,
    noise_audio=0.0,
    noise_face=0.0,
    noise_measured=0.0,
    speaker_effect=0.0,
    confound=0.0,
    interaction=0.0,
    dead_text=0.0,
    dead_audio=0.0,
    dead_face=0.0,
)


def made(options):
    """Every utterance of resolved options by split."""
    return {split: list(simulate(resolve(options), split)) for split in ("train", "dev", "test")}


def everything(options):
    return [u for utterances in made(options).values() for u in utterances]


def unexplained(source, target):
    """Share of the target's variance that a linear function of the source leaves."""
    source = np.column_stack([source, np.ones(len(source))])
    weights = np.linalg.lstsq(source, target, rcond=None)[0]
    return np.sum((target - source @ weights) ** 2) / np.sum((target - target.mean(axis=0)) ** 2)
