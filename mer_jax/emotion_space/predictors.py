"""Predictors of emotion states without a network: K nearest neighbours, and ridge regression.

Both read what a recurrent network reads, pooled: the mean over time of every modality, of words
the mean of their vectors, each number standardised on train. They give intensities at once for
any part of an utterance, so that both have a course over time too.
"""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any, Literal

import numpy as np
from jaxtyping import Float
from sklearn.linear_model import Ridge
from sklearn.neighbors import KNeighborsRegressor
from sklearn.preprocessing import StandardScaler

from mer_jax.data.examples import ExampleSet
from mer_jax.data.vocabulary import WORDS
from mer_jax.errors import InputError
from mer_jax.evaluation.metrics import regression_metrics
from mer_jax.evaluation.protocol import SELECTION

Regressor = Callable[[np.ndarray], np.ndarray]


@dataclasses.dataclass(frozen=True)
class NeighboursConfig:
    """The mean intensities of the k nearest train utterances (Fix and Hodges 1951).

    Attributes:
        neighbours: values of k to choose from on dev.
        weights: every neighbour counts alike, or by the inverse of its distance.
    """

    neighbours: tuple[int, ...] = (1, 2, 5, 10, 20, 40, 80, 160)
    weights: Literal["uniform", "distance"] = "uniform"

    def __post_init__(self) -> None:
        if not self.neighbours or min(self.neighbours) < 1:
            raise InputError(f"model.neighbours={self.neighbours} must name at least one number of 1 or more")

    def fits(self, inputs: np.ndarray, targets: np.ndarray) -> Iterator[tuple[dict[str, Any], Regressor]]:
        """A regressor per k that train is large enough for, and what it is called."""
        for k in self.neighbours:
            if k <= len(inputs):
                model = KNeighborsRegressor(k, weights=self.weights).fit(inputs, targets)
                yield {"neighbours": k}, model.predict


@dataclasses.dataclass(frozen=True)
class RidgeConfig:
    """Linear least squares with squared penalty alpha (Hoerl and Kennard 1970).

    Attributes:
        alphas: penalties to choose from on dev.
    """

    alphas: tuple[float, ...] = (1.0, 10.0, 100.0, 1000.0, 10_000.0)

    def __post_init__(self) -> None:
        if not self.alphas or min(self.alphas) <= 0:
            raise InputError(f"model.alphas={self.alphas} must name at least one number above 0")

    def fits(self, inputs: np.ndarray, targets: np.ndarray) -> Iterator[tuple[dict[str, Any], Regressor]]:
        """A regressor per alpha, and what it is called."""
        for alpha in self.alphas:
            yield {"alpha": alpha}, Ridge(alpha=alpha).fit(inputs, targets).predict


PREDICTORS = {"neighbours": NeighboursConfig, "ridge": RidgeConfig}


@dataclasses.dataclass(frozen=True)
class Fitted:
    """A predictor fitted on train. targets: how many intensities it predicts. tried: every setting with
    its dev scores, the chosen one marked."""

    scaler: StandardScaler
    regressor: Regressor
    words: np.ndarray | None
    targets: int
    tried: tuple[dict[str, Any], ...]

    @classmethod
    def fit(
        cls,
        config: NeighboursConfig | RidgeConfig,
        train: ExampleSet,
        dev: ExampleSet,
        names: tuple[str, ...],
        select: str = "loss",
        words: np.ndarray | None = None,
    ) -> "Fitted":
        """Of the config's settings the one that is best on dev.

        train, dev: preprocessed, with intensities as targets. names: of the intensities. select:
        loss (mean squared error), mae or ccc. words: [vocabulary, dim] the vectors of the words' ids.
        """
        if SELECTION.get(select) is None or select not in ("loss", "mae", "ccc"):
            raise InputError(
                f"protocol.select={select!r} is no score of a regression; choose loss, mae or ccc"
            )
        raw, (targets, truth) = pooled(train, words), (_targets(train), _targets(dev))
        scaler = StandardScaler().fit(raw)
        inputs, dev_inputs = scaler.transform(raw), scaler.transform(pooled(dev, words))
        tried, regressors = [], []
        for setting, regressor in config.fits(inputs, targets):
            scores = regression_metrics(truth, regressor(dev_inputs).reshape(truth.shape), names)
            tried.append({**setting, "loss": scores["mse"], "mae": scores["mae"], "ccc": scores["ccc"]})
            regressors.append(regressor)
        if not tried:
            raise InputError(
                f"model.neighbours are all above the {len(inputs)} utterances of train; name smaller ones"
            )
        sign = 1 if SELECTION[select] == "max" else -1
        best = int(np.argmax([-np.inf if row[select] is None else sign * row[select] for row in tried]))
        marked = tuple({**row, "chosen": number == best} for number, row in enumerate(tried))
        return cls(scaler, regressors[best], words, len(names), marked)

    def __call__(self, examples: ExampleSet) -> Float[np.ndarray, "n targets"]:
        """Intensities of preprocessed examples."""
        if not len(examples):
            return np.zeros((0, self.targets), np.float32)
        inputs = self.scaler.transform(pooled(examples, self.words))
        return self.regressor(inputs).reshape(len(examples), -1).astype(np.float32)


def pooled(examples: ExampleSet, words: np.ndarray | None = None) -> Float[np.ndarray, "n features"]:
    """[n, features] the mean over time of every modality, side by side; zeros, which is the mean of
    scaled features, where an example does not have one.

    words: [vocabulary, dim] the vectors of the words' ids. Raises InputError where the examples
    have words and there are no vectors, or where an example is a dialogue.
    """
    if examples.unit == "dialogue":
        raise InputError("neighbours and ridge regression predict utterances; set --data.unit utterance")
    columns = []
    for name, sequences in examples.features.items():
        if name == WORDS:
            if words is None:
                raise InputError("the mean of words needs their vectors; pass --data.vectors FILE")
            sequences = [words[ids[:, 0].astype(int)] for ids in sequences]
        empty = np.zeros(sequences[0].shape[1] if len(sequences) else 0)
        columns.append([x.mean(axis=0, dtype=np.float64) if len(x) else empty for x in sequences])
    return np.concatenate([np.array(column) for column in columns], axis=1)


def _targets(examples: ExampleSet) -> np.ndarray:
    assert examples.targets is not None
    return np.concatenate(list(examples.targets)).astype(np.float64)
