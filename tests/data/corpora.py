"""Corpora for tests: read by a builder without writing them, or made of a few utterances."""

import numpy as np

from mer_jax.data.builders import corpus_builder
from mer_jax.data.corpus import Corpus
from mer_jax.data.schema import CorpusSpec, Modality, Utterance


def read_corpus(name, source, data_dir, options=None):
    """What the builder reads, as a corpus; nothing is stored."""
    builder = corpus_builder(name)(source, options, data_dir=str(data_dir))
    rows = [(split, u) for split, utterances in builder.read().items() for u in utterances]
    splits = np.array([split for split, _ in rows])
    return Corpus(builder.spec, "0" * 64, tuple(u for _, u in rows), splits)


def utterance(name="a", **fields):
    defaults = {"speaker": f"s-{name}", "dialogue": f"d-{name}", "start": 0.0, "end": 1.0}
    return Utterance(id=name, **{**defaults, **fields})


def corpus_of(utterances, splits=None, **spec):
    """A corpus of these utterances, all in train unless `splits` says otherwise."""
    named = np.array(splits or ["train"] * len(utterances))
    kept = tuple(s for s in ("train", "dev", "test", "all") if s in named)
    spec = {"modalities": (Modality("audio", 2),), "classes": ("no", "yes"), "splits": kept, **spec}
    return Corpus(CorpusSpec("made", **spec), "0" * 64, tuple(utterances), named)
