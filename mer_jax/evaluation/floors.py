"""Floors: what a score must beat before it means anything.

Every floor is fitted on a fold's train rows. What it has to choose (a regularisation, a
modality) it chooses on dev by the protocol's own metric; it never sees a test target.

classification: `majority`, `prior`, `linear`, `best_single_modality`, `tfidf`.
regression: `mean`, `median` (of all constants the one with the least MAE), `linear`, `best_single_modality`, `tfidf`.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge

from mer_jax.data.corpus import Corpus
from mer_jax.data.splits import Fold
from mer_jax.data.vocabulary import WORDS
from mer_jax.errors import InputError
from mer_jax.evaluation.metrics import classification_metrics, regression_metrics
from mer_jax.evaluation.predictions import Predictions
from mer_jax.evaluation.protocol import SELECTION, Protocol
from mer_jax.evaluation.summaries import Summary, design, summarise

LINEAR_C = (0.0003, 0.003, 0.03, 0.3)
TFIDF_C = (0.3, 1.0, 3.0, 10.0)
RIDGE_ALPHA = (10_000.0, 1000.0, 100.0, 10.0, 1.0)
TEXT_SHARE = 0.5
_LINEAR = {"classification": LINEAR_C, "regression": RIDGE_ALPHA}
_TFIDF = {"classification": TFIDF_C, "regression": RIDGE_ALPHA}
_Predictor = Callable[[Any], np.ndarray]


@dataclasses.dataclass(frozen=True)
class FloorPrediction:
    """One floor on one fold: [n_dev, K] and [n_test, K] probabilities (or intensities)."""

    dev: np.ndarray
    test: np.ndarray
    detail: str


@dataclasses.dataclass(frozen=True)
class Floor:
    """One floor on all folds."""

    predictions: Predictions
    detail: str


@dataclasses.dataclass(frozen=True)
class _Task:
    """One fold's targets and how its linear models are fitted and judged."""

    fold: Fold
    protocol: Protocol
    targets: np.ndarray

    @property
    def train_targets(self) -> np.ndarray:
        return self.targets[self.fold.train]

    def dev_score(self, predicted: np.ndarray) -> float:
        """The protocol's selection metric on dev, larger is better."""
        return _selection_score(self.protocol, self.targets[self.fold.dev], predicted)


class _Linear(NamedTuple):
    """Score on dev, predictions of dev and test, and what was chosen."""

    score: float
    dev: np.ndarray
    test: np.ndarray
    detail: str


def summaries_of(corpus: Corpus, modalities: Sequence[str]) -> dict[str, Summary]:
    """The summaries that `fit_floors` needs; make them once where there are many folds."""
    return {name: summarise(corpus, name) for name in modalities if name != WORDS}


def fit_floors(
    corpus: Corpus,
    fold: Fold,
    protocol: Protocol,
    modalities: Sequence[str],
    summaries: Mapping[str, Summary] | None = None,
) -> dict[str, FloorPrediction]:
    """Every floor of one fold. `tfidf` is there where half of train has transcripts.

    modalities: those the model is given; the linear model of words is `tfidf`, and `linear` is it
    too where there is nothing else. summaries: `summaries_of(corpus, modalities)`,
    to save time. Raises InputError for an unknown modality or non-finite features.
    """
    summaries = summaries_of(corpus, modalities) if summaries is None else summaries
    regression = protocol.config.task == "regression"
    task = _Task(fold, protocol, protocol.intensities(corpus) if regression else protocol.labels(corpus))
    floors = _constants(task) if regression else {"majority": _majority(task), "prior": _prior(task)}
    text = _tfidf(task, corpus)
    streams = [name for name in modalities if name != WORDS]
    floors |= _feature_floors(task, summaries, streams, text if WORDS in modalities else None)
    return floors if text is None else floors | {"tfidf": _prediction(text)}


def pool_floors(
    corpus: Corpus,
    folds: Sequence[Fold],
    protocol: Protocol,
    per_fold: Sequence[Mapping[str, FloorPrediction]],
) -> dict[str, Floor]:
    """The floors of all folds as predictions; a floor that a fold lacks is left out.

    Raises InputError where `per_fold` does not hold one entry per fold.
    """
    if len(folds) != len(per_fold):
        raise InputError(f"floors: {len(per_fold)} fits for {len(folds)} folds; fit each fold once, in order")
    names = [name for name in per_fold[0] if all(name in floors for floors in per_fold)]
    rows = _Rows(corpus, protocol)
    out = {}
    for name in names:
        parts = []
        for number, (fold, floors) in enumerate(zip(folds, per_fold, strict=True)):
            parts += [rows.take(fold.dev, number, "dev", floors[name].dev)]
            parts += [rows.take(fold.test, number, "test", floors[name].test)]
        details = dict.fromkeys(floors[name].detail for floors in per_fold)
        out[name] = Floor(Predictions.concatenate(parts), "; ".join(details))
    return out


class _Rows:
    """Turns utterance numbers and values into `Predictions`."""

    def __init__(self, corpus: Corpus, protocol: Protocol):
        self.regression = protocol.config.task == "regression"
        self.columns = {f"{name}s": corpus.column(name) for name in ("id", "dialogue", "speaker")}
        self.targets = protocol.intensities(corpus) if self.regression else protocol.labels(corpus)

    def take(self, rows: np.ndarray, fold: int, split: str, values: np.ndarray) -> Predictions:
        columns: dict[str, Any] = {name: column[rows] for name, column in self.columns.items()}
        columns |= {"splits": [split] * len(rows), "folds": np.full(len(rows), fold)}
        if self.regression:
            return Predictions.make(**columns, intensities=self.targets[rows], predicted_intensities=values)
        return Predictions.make(**columns, labels=self.targets[rows], probabilities=values)


def _constant(task: _Task, row: np.ndarray, detail: str) -> FloorPrediction:
    dev, test = (np.tile(row, (len(rows), 1)) for rows in (task.fold.dev, task.fold.test))
    return FloorPrediction(dev, test, detail)


def _frequencies(task: _Task) -> np.ndarray:
    counts = np.bincount(task.train_targets, minlength=len(task.protocol.targets))
    return counts / counts.sum()


def _majority(task: _Task) -> FloorPrediction:
    best = int(_frequencies(task).argmax())
    name = task.protocol.targets[best]
    return _constant(task, np.eye(len(task.protocol.targets))[best], f"always {name!r}")


def _prior(task: _Task) -> FloorPrediction:
    return _constant(task, _frequencies(task), "class frequencies of train as probabilities")


def _constants(task: _Task) -> dict[str, FloorPrediction]:
    return {
        "mean": _constant(task, task.train_targets.mean(axis=0), "mean intensities of train"),
        "median": _constant(task, np.median(task.train_targets, axis=0), "median intensities of train"),
    }


def _feature_floors(
    task: _Task, summaries: Mapping[str, Summary], streams: Sequence[str], words: _Linear | None
) -> dict[str, FloorPrediction]:
    """The linear model of all streams, and the best on dev of one stream each and of the words."""
    train = task.fold.train
    usable = [name for name in streams if summaries[name].present[train].any()]
    single = {name: _summarised(task, summaries, [name]) for name in usable}
    single |= {} if words is None else {WORDS: words}
    if not single:
        return {}
    best = max(single, key=lambda name: single[name].score)
    everything = _summarised(task, summaries, usable) if len(usable) > 1 else next(iter(single.values()))
    return {"linear": _prediction(everything), "best_single_modality": _prediction(single[best])}


def _summarised(task: _Task, summaries: Mapping[str, Summary], names: Sequence[str]) -> _Linear:
    model = "ridge regression" if task.protocol.config.task == "regression" else "logistic regression"
    found = _best_linear(task, design(summaries, names, task.fold.train), _LINEAR)
    return found._replace(detail=f"{model} on the utterance summaries of {'+'.join(names)}, {found.detail}")


def _prediction(found: _Linear) -> FloorPrediction:
    return FloorPrediction(found.dev, found.test, found.detail)


def _tfidf(task: _Task, corpus: Corpus) -> _Linear | None:
    texts = [u.transcript.replace("\u2019", "'").strip() for u in corpus.utterances]
    if np.mean([bool(texts[row]) for row in task.fold.train]) < TEXT_SHARE:
        return None
    words = TfidfVectorizer(
        ngram_range=(1, 2), sublinear_tf=True, dtype=np.float32, token_pattern=r"[\w']+|[!?]"
    )
    words.fit([texts[row] for row in task.fold.train])
    found = _best_linear(task, words.transform(texts), _TFIDF)
    return found._replace(detail=f"TF-IDF of words and word pairs, {found.detail}")


def _best_linear(task: _Task, inputs: Any, grid: Mapping[str, Sequence[float]]) -> _Linear:
    """The best on dev; the more regularised one where two are equal."""
    fold = task.fold
    kind = task.protocol.config.task
    fit = _ridge if kind == "regression" else _logistic
    x, best = inputs[fold.train], None
    models = fit(x, task.train_targets, grid[kind], len(task.protocol.targets))
    for strength, predict in zip(grid[kind], models, strict=True):
        dev = predict(inputs[fold.dev])
        score = task.dev_score(dev)
        if best is None or score > best.score:
            name = "alpha" if kind == "regression" else "C"
            best = _Linear(score, dev, predict(inputs[fold.test]), f"{name}={strength:g}")
    assert best is not None
    return best


def _logistic(x: Any, y: np.ndarray, grid: Sequence[float], classes: int) -> Iterator[_Predictor]:
    """A predictor of [n, classes] probabilities per C; each fit starts from the last."""
    present = np.unique(y)
    if len(present) == 1:
        raise InputError("floors: train holds one class only; choose another --protocol.split")
    model = LogisticRegression(warm_start=True, max_iter=2000, tol=1e-3)
    for c in grid:
        model.set_params(C=c).fit(x, y)
        yield lambda rows: _spread(model.predict_proba(rows), present, classes)


def _spread(probabilities: np.ndarray, present: np.ndarray, classes: int) -> np.ndarray:
    out = np.zeros((len(probabilities), classes))
    out[:, present] = probabilities
    return out


def _ridge(x: Any, y: np.ndarray, grid: Sequence[float], targets: int) -> Iterator[_Predictor]:
    del targets
    for alpha in grid:
        model = Ridge(alpha=alpha).fit(x, y)
        yield lambda rows, model=model: model.predict(rows).reshape(rows.shape[0], -1)


def _selection_score(protocol: Protocol, truth: np.ndarray, predicted: np.ndarray) -> float:
    regression = protocol.config.task == "regression"
    metrics: Callable[..., dict[str, Any]] = regression_metrics if regression else classification_metrics
    scores = metrics(truth, predicted, protocol.targets)
    name = protocol.config.select
    if name == "loss" or name not in scores:
        name = "mae" if regression else "log_loss"
    sign = -1 if name == "log_loss" or SELECTION.get(name) == "min" else 1
    value = scores[name]
    return -np.inf if value is None else sign * value
