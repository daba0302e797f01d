"""Small corpora in memory, and predictions on them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mer_jax.data.corpus import Corpus
from mer_jax.data.schema import SPLITS, CorpusSpec, Modality, Utterance
from mer_jax.evaluation.floors import Floor, fit_floors, pool_floors, summaries_of
from mer_jax.evaluation.predictions import Predictions
from mer_jax.evaluation.protocol import Protocol, ProtocolConfig

CLASSES = ("neutral", "joy", "anger")
WORDS = {
    "neutral": ["well", "yes", "so"],
    "joy": ["great", "wonderful", "love"],
    "anger": ["hate", "stop", "out"],
}


def _utterance(
    rng: np.random.Generator, d: int, i: int, y: int, features: dict[str, np.ndarray], intensities: bool
) -> Utterance:
    """Utterance i of dialogue d, of class y; its words lean to the class."""
    topic = CLASSES[y] if rng.random() < 0.7 else str(rng.choice(CLASSES))
    said = [*rng.choice(WORDS[topic], 2), *rng.choice(["the", "a", "it", "that"], 2), f"w{d}", f"x{d}.{i}"]
    felt = (np.eye(3)[y] * 2 + rng.random(3)).astype(np.float32) if intensities else None
    return Utterance(
        id=f"d{d:03d}u{i:02d}",
        speaker=f"s{d}",
        dialogue=f"d{d:03d}",
        features=features,
        transcript=" ".join(said),
        label="" if intensities else CLASSES[y],
        intensities=felt,
    )


def corpus(
    *,
    dialogues: int = 60,
    per_dialogue: int = 8,
    signal: float = 0.8,
    learned: float = 0.0,
    speaker_sd: float = 0.0,
    missing: float = 0.0,
    intensities: bool = False,
    split: bool = True,
    seed: int = 0,
) -> Corpus:
    """Audio sequences and one-frame text vectors around a mean per class.

    signal: distance of the class means in audio. learned: how much further apart they are
    in train and dev, as in features learned with their labels. speaker_sd: a mean of its
    own for each dialogue, spoken by one speaker. missing: share of utterances without text.
    """
    rng = np.random.default_rng(seed)
    utterances, splits = [], []
    for d in range(dialogues):
        part = "train" if d < 0.6 * dialogues else "dev" if d < 0.75 * dialogues else "test"
        shift = rng.normal(size=6) * speaker_sd
        for i in range(per_dialogue):
            y = int(rng.choice(3, p=[0.5, 0.3, 0.2]))
            far = signal + (learned if part != "test" else 0.0)
            audio = rng.normal(size=(int(rng.integers(2, 6)), 6)) + shift
            audio[:, y] += far
            features = {"audio": audio.astype(np.float32)}
            if rng.random() >= missing:
                features["text"] = (rng.normal(size=(1, 4)) + 0.5 * np.eye(4)[y]).astype(np.float32)
            utterances.append(_utterance(rng, d, i, y, features, intensities))
            splits.append(part if split else "all")
    spec = CorpusSpec(
        "small",
        (Modality("audio", 6), Modality("text", 4)),
        classes=() if intensities else CLASSES,
        intensities=CLASSES if intensities else (),
        splits=SPLITS if split else ("all",),
        generated=True,
    )
    return Corpus(spec, "0" * 64, tuple(utterances), np.array(splits))


def bound(data: Corpus, **config: object) -> Protocol:
    task = "regression" if data.spec.intensities else "classification"
    return Protocol.bind(ProtocolConfig(**{"task": task} | config), data)


def floors_of(data: Corpus, protocol: Protocol) -> dict[str, Floor]:
    folds, names = protocol.folds(data), data.spec.modality_names
    summaries = summaries_of(data, names)
    return pool_floors(
        data, folds, protocol, [fit_floors(data, fold, protocol, names, summaries) for fold in folds]
    )


def predicted(data: Corpus, protocol: Protocol, strength: float = 2.0, seed: int = 0) -> Predictions:
    """Predictions that know the truth to a degree."""
    rng = np.random.default_rng(seed)
    parts = []
    for number, fold in enumerate(protocol.folds(data)):
        for split in SPLITS:
            rows = getattr(fold, split)
            columns = {f"{name}s": data.column(name)[rows] for name in ("id", "dialogue", "speaker")}
            columns |= {"splits": [split] * len(rows), "folds": [number] * len(rows)}
            if data.spec.intensities:
                truth = protocol.intensities(data)[rows]
                guess = truth * strength / 4 + rng.normal(size=truth.shape) * 0.3
                parts.append(Predictions.make(**columns, intensities=truth, predicted_intensities=guess))
            else:
                labels = protocol.labels(data)[rows]
                logits = rng.gumbel(size=(len(rows), 3)) + strength * np.eye(3)[labels]
                parts.append(Predictions.make(**columns, labels=labels, probabilities=softmax(logits)))
    return Predictions.concatenate(parts)


def softmax(logits: np.ndarray) -> np.ndarray:
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def classified(labels: Sequence[int], probabilities: np.ndarray, dialogues: Sequence[str] | None = None):
    """Test predictions from labels and probabilities alone."""
    n = len(labels)
    return Predictions.make(
        ids=[f"u{i:05d}" for i in range(n)],
        splits=["test"] * n,
        folds=[0] * n,
        dialogues=[f"d{i}" for i in range(n)] if dialogues is None else dialogues,
        speakers=["s"] * n,
        labels=labels,
        probabilities=probabilities,
    )


def mosi(folder: Path) -> Corpus:
    """The npz as it is: one feature vector per utterance, no dev part."""
    with np.load(folder / "mosi" / "mosi_trimodal.npz") as file:
        raw = {name: file[name] for name in file.files}
    names = ("text", "audio", "video")
    utterances, splits = [], []
    for split in ("train", "test"):
        for v, length in enumerate(raw[f"{split}_len"]):
            video = str(raw[f"{split}_vid"][v])
            for t in range(length):
                features = {m: raw[f"{split}_{m}"][v, t : t + 1] for m in names}
                label = ("negative", "positive")[int(raw[f"{split}_label"][v, t])]
                utterances.append(Utterance(f"{video}[{t}]", video, video, features=features, label=label))
                splits.append(split)
    modalities = tuple(Modality(m, raw[f"train_{m}"].shape[2]) for m in names)
    spec = CorpusSpec("mosi", modalities, ("negative", "positive"), splits=("train", "test"))
    return Corpus(spec, "0" * 64, tuple(utterances), np.array(splits))
