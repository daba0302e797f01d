"""From a selected state to the predictions of a fold's train, dev and test utterances."""

import numpy as np
from scipy.special import softmax

from mer_jax.data.corpus import Corpus
from mer_jax.data.examples import View, make_examples
from mer_jax.data.preprocessing import Preprocessing
from mer_jax.data.splits import Fold
from mer_jax.evaluation.predictions import Predictions
from mer_jax.evaluation.protocol import Protocol
from mer_jax.training.program import Program
from mer_jax.training.state import TrainState


def predict_rows(
    program: Program,
    states: TrainState,
    preprocessing: Preprocessing,
    corpus: Corpus,
    rows: np.ndarray,
    view: View,
) -> np.ndarray:
    """[members, rows, targets] logits of stacked states in the order of `rows`; no target is
    looked at."""
    examples = preprocessing(make_examples(corpus, rows, view, None))
    placed = program.parallel.place_state(states)
    logits, found = program.logits(placed, examples, preprocessing.buckets)
    return logits[:, np.searchsorted(found, rows)]


def fold_predictions(
    program: Program,
    states: TrainState,
    preprocessing: Preprocessing,
    corpus: Corpus,
    protocol: Protocol,
    fold: Fold,
    number: int,
    view: View,
) -> list[Predictions]:
    """Each member's predictions of fold `number`, the true targets beside them."""
    parts: list[list[Predictions]] = []
    for split in ("train", "dev", "test"):
        rows = getattr(fold, split)
        logits = predict_rows(program, states, preprocessing, corpus, rows, view)
        parts.append([as_predictions(corpus, protocol, rows, split, number, one) for one in logits])
    return [Predictions.concatenate(of_member) for of_member in zip(*parts, strict=True)]


def as_predictions(
    corpus: Corpus, protocol: Protocol, rows: np.ndarray, split: str, fold: int, logits: np.ndarray
) -> Predictions:
    """Logits as probabilities (or intensities) beside what is known of the utterances."""
    columns = {f"{name}s": corpus.column(name)[rows] for name in ("id", "dialogue", "speaker")}
    columns |= {"splits": np.full(len(rows), split), "folds": np.full(len(rows), fold)}
    if protocol.config.task == "regression":
        truth = protocol.intensities(corpus)[rows]
        return Predictions.make(**columns, intensities=truth, predicted_intensities=logits)
    probabilities = softmax(logits.astype(np.float64), axis=1)
    return Predictions.make(**columns, labels=protocol.labels(corpus)[rows], probabilities=probabilities)
