"""openTSNE beside our map: the same states, the same measures, where it is installed."""

import importlib
import time
from typing import Any

import numpy as np

from mer_jax.emotion_space.corpus_states import CorpusStates
from mer_jax.emotion_space.distinct_rows import distinct_rows
from mer_jax.emotion_space.space import measure
from mer_jax.errors import InputError

PERPLEXITY = 30  # its default


class _Placed:
    """An openTSNE embedding, with `transform` of new states by its own optimisation."""

    def __init__(self, embedding: Any):
        self.embedding = embedding

    def transform(self, states: np.ndarray) -> np.ndarray:
        return np.asarray(self.embedding.transform(np.asarray(states, np.float64)))


def opentsne_module() -> Any:
    """openTSNE, which is no dependency. Raises InputError where it is not installed."""
    try:
        return importlib.import_module("openTSNE")
    except ImportError as error:
        raise InputError(
            "openTSNE is not installed; run: pip install openTSNE, or leave out --opentsne"
        ) from error


def opentsne(states: CorpusStates, seed: int) -> dict[str, Any]:
    """Its figures, as `space.measure` gives ours, and the CPU seconds of its fit.

    It is fitted to the distinct states: of copies it is known to make something else. Raises InputError
    where openTSNE is not installed.
    """
    peer = opentsne_module()
    rows = distinct_rows(states.train).rows.astype(np.float64)
    before = time.process_time()
    embedding = peer.TSNE(perplexity=PERPLEXITY, random_state=seed, n_jobs=-1).fit(rows)
    seconds = time.process_time() - before
    return {"fit_cpu_seconds": seconds, "version": peer.__version__} | measure(_Placed(embedding), states)
