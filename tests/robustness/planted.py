"""Corpora whose bad modalities are known: generated ones, and a small one of shared factors."""

import dataclasses
import functools

import numpy as np

from mer_jax.data.corpus import Corpus
from mer_jax.data.examples import ExampleSet, View, make_examples
from mer_jax.data.schema import SPLITS
from mer_jax.data.simulation import Options, describe, resolve, simulate
from mer_jax.data.simulation.options import MODALITIES
from mer_jax.data.splits import Fold, make_folds
from mer_jax.robustness.vectors import TrainingExamples


def fold_of(train, rows):
    rest = np.setdiff1d(np.arange(rows), train)
    return Fold("made", np.asarray(train), rest[: len(rest) // 2], rest[len(rest) // 2 :])


def shared_factors(
    samples=120, steps=6, seed=0, noise=0.3, missing=0.0, dims=(5, 4, 6), names=("a", "b", "c")
):
    """Examples of modalities that are linear maps of the same 3 factors, on one clock."""
    random = np.random.default_rng(seed)
    maps = np.random.default_rng(7)
    loadings = {name: maps.normal(size=(3, dim)) for name, dim in zip(names, dims, strict=True)}
    features = {name: [] for name in names}
    for _ in range(samples):
        factors = random.normal(size=(int(random.integers(3, steps + 1)), 3))
        for name, loading in loadings.items():
            x = factors @ loading
            x = x + noise * random.normal(size=x.shape) + 2
            features[name].append(x.astype(np.float32)[: 0 if random.random() < missing else None])
    return ExampleSet(features, [np.array([i]) for i in range(samples)], None, "utterance")


def part(examples, keep):
    keep = np.asarray(keep)
    features = {name: [xs[i] for i in keep] for name, xs in examples.features.items()}
    return ExampleSet(features, [examples.rows[i] for i in keep], None, examples.unit)


def training(examples, train=None, rows=1000):
    train = np.concatenate(examples.rows) if train is None else train
    return TrainingExamples(examples, fold_of(train, rows))


def ids_of(examples):
    return [f"u{rows[0]}" for rows in examples.rows]


@functools.cache
def generated(**options):
    """A generated corpus of the preset bad_modality, as it is."""
    resolved = resolve(Options(preset="bad_modality", **options))
    rows = [(split, u) for split in SPLITS for u in simulate(resolved, split)]
    return Corpus(describe(resolved), "0" * 64, tuple(u for _, u in rows), np.array([s for s, _ in rows]))


def on_words(corpus):
    """Every modality at the clock of the words: the mean of the frames spoken during each."""
    rates = {m.name: m.rate for m in corpus.spec.modalities}

    def collapse(frames, spans, rate):
        clock = (np.arange(len(frames)) + 0.5) / rate
        rows = []
        for start, end in spans:
            inside = (start <= clock) & (clock < end)
            nearest = np.abs(clock - (start + end) / 2).argmin()
            rows.append(frames[inside].mean(axis=0) if inside.any() else frames[nearest])
        return np.array(rows, np.float32)

    def aligned(u):
        features = {
            m: x if rates[m] is None else collapse(x, u.word_spans, rates[m]) for m, x in u.features.items()
        }
        return dataclasses.replace(u, features=features)

    return dataclasses.replace(corpus, utterances=tuple(aligned(u) for u in corpus.utterances))


def split_examples(corpus):
    """Train as training examples, dev and test together."""
    (fold,) = make_folds(corpus, "official", rows=np.arange(len(corpus)))
    train = make_examples(corpus, fold.train, View(MODALITIES), None)
    held_out = make_examples(corpus, np.concatenate([fold.dev, fold.test]), View(MODALITIES), None)
    return TrainingExamples(train, fold), held_out


def bad(corpus, examples):
    """[samples, modalities] where the generator buried a modality."""
    utterances = [corpus.utterances[rows[0]] for rows in examples.rows]
    return np.array([[u.truth[f"bad_{m}"] > 0 for m in MODALITIES] for u in utterances])
