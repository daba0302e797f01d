"""A corpus and example sets small enough to train on in a test."""

import dataclasses

import numpy as np

from mer_jax.data.corpus import Corpus
from mer_jax.data.schema import WAVEFORM, CorpusSpec, Modality, Utterance

CLASSES = ("happy", "sad", "anger")
DIMS = {"text": 4, "audio": 6}


def tiny_corpus(dialogues=16, per_dialogue=6, seed=0, missing=0.1, splits=True):
    """Two modalities that both carry the label, some utterances without text."""
    random = np.random.default_rng(seed)
    utterances, stored = [], []
    for d in range(dialogues):
        for u in range(per_dialogue):
            label = int(random.integers(3))
            time = int(random.integers(5, 30))
            features = {
                "audio": random.normal(size=(time, 6)) + 1.2 * np.eye(6)[label],
                "text": random.normal(size=(1 + time // 6, 4)) + 1.2 * np.eye(4)[label],
            }
            if random.random() < missing:
                del features["text"]
            utterances.append(
                Utterance(
                    id=f"d{d:02d}u{u}",
                    speaker=f"s{d % 5}",
                    dialogue=f"d{d:02d}",
                    start=float(u),
                    end=u + time / 10,
                    transcript=f"{CLASSES[label]} thing number {d} {u}",
                    features={m: x.astype(np.float32) for m, x in features.items()},
                    label=CLASSES[label],
                    intensities=np.eye(3)[label].astype(np.float32)
                    + random.normal(0, 0.1, 3).astype(np.float32),
                )
            )
            part = "test" if d % 4 == 3 else "dev" if d % 4 == 2 else "train"
            stored.append(part if splits else "all")
    spec = CorpusSpec(
        "tiny",
        tuple(Modality(m, dim) for m, dim in DIMS.items()),
        classes=CLASSES,
        intensities=CLASSES,
        splits=("train", "dev", "test") if splits else ("all",),
    )
    return Corpus(spec, f"{seed:064x}", tuple(utterances), np.array(stored))


SOUND_RATE, AUDIO_RATE = 100.0, 20.0


def spoken_corpus(dialogues=16, seed=0):
    """`tiny_corpus` with a word for each step of the text, evenly spread over a short sound."""
    corpus = tiny_corpus(dialogues, seed=seed)
    random, utterances = np.random.default_rng(seed), []
    for utterance in corpus.utterances:
        frames = len(utterance.features["audio"])
        count = len(utterance.features.get("text", ()))
        edges = np.linspace(0, frames / AUDIO_RATE, count + 1)
        sound = random.normal(size=(round(frames * SOUND_RATE / AUDIO_RATE), 1)).astype(np.float32)
        utterances.append(
            dataclasses.replace(
                utterance,
                features={**utterance.features, WAVEFORM: sound},
                transcript=utterance.transcript if count else "",
                words=tuple(f"{utterance.label}{k % 3}" for k in range(count)),
                word_spans=np.stack([edges[:-1], edges[1:]], axis=1).astype(np.float32),
            )
        )
    streams = (Modality("text", 4), Modality("audio", 6, AUDIO_RATE), Modality(WAVEFORM, 1, SOUND_RATE))
    spec = dataclasses.replace(corpus.spec, modalities=streams)
    return dataclasses.replace(corpus, spec=spec, utterances=tuple(utterances))
