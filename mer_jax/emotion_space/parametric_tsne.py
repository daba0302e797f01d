"""Parametric t-SNE: a network that lays rows out by their affinities, and places rows it has not seen.

Source: van der Maaten 2009, "Learning a parametric embedding by preserving local structure" (AISTATS).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, no_type_check

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_random_state, validation

from mer_jax.emotion_space import fitting, network, saved_model
from mer_jax.emotion_space.distinct_rows import distinct_rows
from mer_jax.emotion_space.orientation import principal_scores, rotation_onto
from mer_jax.errors import InputError

Duplicates = Literal["merge", "weight", "jitter", "keep"]


class ParametricTSNE(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Rows of d features to places of 2 (or 1, or 3), by a network fitted to t-SNE's divergence.

        y = f(x),   min KL(P || Q),   q_ij ~ (1 + |y_i - y_j|^2 / v)^(-(v + 1) / 2),   v = max(1, components - 1)

    Up to 8,192 distinct rows every step descends the exact divergence of all pairs; beyond, P lies on the
    graph of the 3 x perplexity nearest neighbours, and each step draws edges from it. Of rows that occur
    several times the places are the same whatever their number, so they are merged before calibration:
    copies would leave many a row without any precision that reaches the perplexity.

    Args:
        n_components: dimensions of the map.
        perplexity: effective number of neighbours, 1 to the number of distinct rows less 1.
        learning_rate: Adam's first, which falls to 0 as a cosine; "auto": 5e-3.
        early_exaggeration: factor of the attraction over the first tenth of the steps.
        hidden: width of each hidden layer.
        max_iter: steps, rounded to calls of about 50; "auto": 400 with all pairs, 2,400 with drawn edges.
        batch_size: edges (or, with `affinities="batch"`, rows) of a step; "auto": 1,024.
        noise: standard deviation, in the unit of the rows, of Gaussian noise added anew to the rows of each
            step and thrown back at the ends of each feature's range: rows between the observed ones are
            then placed between them.
        noise_in_affinities: how far, 0 to 1, the affinities go with the noise: P is of rows moved by this
            share of it, their precisions as calibrated. At 0 the network must place a moved row where it
            was, which flattens the map; at 1 where it went, which leaves it free to tear. With drawn edges,
            whose affinities stay, only the rest of the noise is added.
        duplicates: what copies are: "merge": one row; "weight": one row with their number as its weight
            in P and Q; "jitter": rows of their own, moved by 1e-3 of the root mean square distance;
            "keep": rows of their own.
        affinities: "global": calibrated over all rows; "batch": within each step's batch, as in 2009.
        early_stopping: keep the parameters that are best on held-out distinct rows (trustworthiness),
            and stop where they have not improved for `n_iter_no_change` looks, one every 50 steps or so.
        validation_fraction: share of the distinct rows held out, at most 2,000 rows.
        n_iter_no_change: see above.
        align_to: a fitted map of as many features, whose orientation is taken over; None: that of the
            rows' principal components. Two fits of the same rows can be laid over each other.
        n_devices: how many of the local devices share the work; None: all.
        random_state: of the start, of draws and noise. The same number gives the same bytes.
        verbose: 1 shows a bar on stderr where it is a terminal.

    Attributes:
        embedding_: [n, n_components] float32, places of the rows it was fitted to.
        kl_divergence_: KL(P || Q) in nats over the rows of the fit; beyond 50,000 the mean of the last steps.
        n_iter_: steps taken. distinct_: number of distinct rows.
        infeasible_: share of distinct rows in which no precision reaches the perplexity.
        held_out_: trustworthiness on the held-out rows at each look; empty without early stopping.

    Raises InputError (a ValueError) for rows that are not finite (with their numbers), fewer than 3 distinct
    rows, a perplexity they are too few for, and arguments out of range, before anything is compiled.
    """

    @no_type_check  # scikit-learn's estimators take anything here and check in fit
    def __init__(
        self,
        n_components: int = 2,
        *,
        perplexity: float = 30.0,
        learning_rate: float | Literal["auto"] = "auto",
        early_exaggeration: float = 1.0,
        hidden: Sequence[int] = (128, 128, 128),
        max_iter: int | Literal["auto"] = "auto",
        batch_size: int | Literal["auto"] = "auto",
        noise: float = 0.0,
        noise_in_affinities: float = 0.0,
        duplicates: Duplicates = "merge",
        affinities: Literal["global", "batch"] = "global",
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 4,
        align_to: "ParametricTSNE | None" = None,
        n_devices: int | None = None,
        random_state: Any = None,
        verbose: int = 0,
    ):
        self.n_components = n_components
        self.perplexity = perplexity
        self.learning_rate = learning_rate
        self.early_exaggeration = early_exaggeration
        self.hidden = hidden
        self.max_iter = max_iter
        self.batch_size = batch_size
        self.noise = noise
        self.noise_in_affinities = noise_in_affinities
        self.duplicates = duplicates
        self.affinities = affinities
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.align_to = align_to
        self.n_devices = n_devices
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X: Any, y: Any = None) -> "ParametricTSNE":
        """Fits the map to rows [n, d]; `y` is not used."""
        del y
        rows = self._checked(X, reset=True)
        distinct = distinct_rows(rows)
        fitting.check(self, len(rows), len(distinct))
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        fitted = fitting.fit(self, rows, distinct, seed)
        self.center_, self.scale_ = fitted.center, fitted.scale
        self.layers_ = network.layers(fitted.params)
        self._orient(distinct.rows)
        self.embedding_ = self._places(distinct.rows)[distinct.inverse]
        self.distinct_, self.infeasible_ = len(distinct), fitted.infeasible
        self.kl_divergence_, self.n_iter_, self.held_out_ = fitted.divergence, fitted.steps, fitted.held_out
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Places of rows [n, d], [n, n_components] float32: the same bytes for a row alone and in any batch."""
        validation.check_is_fitted(self)
        return self._places(self._checked(X, reset=False))

    def fit_transform(self, X: Any, y: Any = None, **fit_params: Any) -> np.ndarray:
        """The places of the rows it is fitted to."""
        return self.fit(X, y, **fit_params).embedding_

    def save(self, path: str | Path) -> None:
        """Writes the fitted map to one .npz file, whole or not at all: arrays and a configuration, no pickle."""
        validation.check_is_fitted(self)
        saved_model.save(self, Path(path))

    @classmethod
    def load(cls, path: str | Path) -> "ParametricTSNE":
        """What `save` wrote. Raises InputError where the file is missing, damaged or of another version."""
        return saved_model.load(cls, Path(path))

    def __sklearn_tags__(self) -> Any:
        base: Any = super()
        tags = base.__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags

    @property
    def _n_features_out(self) -> int:
        return self.layers_[-1][1].shape[0]

    def _places(self, rows: np.ndarray) -> np.ndarray:
        return network.embed(network.with_layers(self.layers_), self.center_, self.scale_, rows)

    def _checked(self, X: Any, reset: bool) -> np.ndarray:
        check: Any = validation  # its type stubs are of an older scikit-learn
        rows = check.validate_data(
            self, X, reset=reset, dtype=[np.float32, np.float64], ensure_all_finite=False
        )
        bad = np.flatnonzero(~np.isfinite(rows).all(axis=1))
        if len(bad):
            shown = ", ".join(map(str, bad[:10])) + (" ..." if len(bad) > 10 else "")
            raise InputError(
                f"X holds NaN or inf in {len(bad)} of {len(rows)} rows (numbers {shown}); leave them out or fill them in"
            )
        return rows.astype(np.float32)

    def _orient(self, rows: np.ndarray) -> None:
        """Centres and rotates the last layer, so that the map looks the same way whatever its seed."""
        places = self._places(rows)
        target = principal_scores(rows, places.shape[1])
        if self.align_to is not None:
            target = self.align_to.transform(rows)
        rotation = rotation_onto(places, target)
        weights, bias = self.layers_[-1]
        shift = np.float64(bias) - places.mean(axis=0, dtype=np.float64)
        oriented = (np.float64(weights) @ rotation, shift @ rotation)
        self.layers_[-1] = (oriented[0].astype(np.float32), oriented[1].astype(np.float32))
