"""M3ER's modality check: which modalities of a sample say nothing that the others bear out.

Mittal et al., AAAI 2020, arXiv 1911.05659, section 3.2.
"""

import dataclasses
import functools
import itertools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Bool, Float

from mer_jax import records
from mer_jax.errors import InputError, nearest
from mer_jax.robustness.arrays_file import damaged, read_arrays, write_arrays
from mer_jax.robustness.cca import CCA, FIELDS, fit_cca
from mer_jax.robustness.vectors import TrainingExamples, availability, example_vectors

FEWEST_PAIRS = 20  # samples with both modalities; of fewer a quantile says nothing
WORST = 2.0  # tau - rho lies in [-2, 2]
KIND = "modality check 1"


@dataclasses.dataclass(frozen=True)
class CheckConfig:
    """What counts as ineffective.

    Attributes:
        rule: a modality is ineffective where its correlation is too low with all others, or with
            any (as printed: one bad modality then takes the good ones with it).
        tau: correlation below which it is too low, for every pair; None: calibrated on train.
        quantile: of train's correlations, the calibrated tau of each pair.
        folds: train's correlations are those of parts that CCA was not fitted on, of so many; 1: of
            the samples it was fitted on, which it flatters.
        dims: canonical coordinates at most.
        ridge: added to the variance, 1, of standardised columns.
        weighted: whether a coordinate weighs as much as its canonical correlation; if not, all
            weigh the same, as printed, and those that correlate by chance hide those that don't.
        steps: vectors of an utterance, evenly spaced (one where no train sequence is longer).
        points: vectors that CCA is fitted on, at most; drawn at random, always the same.

    Raises:
        InputError: where a field is out of range.
    """

    rule: Literal["all", "any"] = "all"
    tau: float | None = None
    quantile: float = 0.05
    folds: int = 5
    dims: int = 100
    ridge: float = 0.01
    weighted: bool = True
    steps: int = 16
    points: int = 50_000

    def __post_init__(self) -> None:
        if self.tau is not None and not -1 <= self.tau <= 1:
            raise InputError(f"modality check: tau={self.tau} is no correlation; give -1 to 1, or none")
        if not 0 <= self.quantile <= 1:
            raise InputError(f"modality check: quantile={self.quantile} must lie in [0, 1]")
        if not 1 <= self.folds <= FEWEST_PAIRS:
            raise InputError(f"modality check: folds={self.folds}; give 1 to {FEWEST_PAIRS}")
        for name in ("dims", "steps", "points"):
            if getattr(self, name) < 1:
                raise InputError(f"modality check: {name}={getattr(self, name)} must be at least 1")


class Verdicts(struct.PyTreeNode):
    """Per sample and modality.

    ineffective: [samples, modalities] bool; a missing modality is, one that nothing can judge isn't.
    score: [samples, modalities] in [-2, 2], positive where ineffective: the detector's score.
    rho: [samples, modalities, modalities]; 0 where a pair can't be compared.
    """

    ineffective: Any
    score: Any
    rho: Any


class ModalityCheck(struct.PyTreeNode):
    """CCA of every pair of modalities that train has together, and each pair's tau.

    ccas: one per entry of `pairs`. tau: [modalities, modalities], NaN where there is no pair.
    rows: utterance numbers it was fitted on. steps: vectors of a sample.
    """

    ccas: Any
    tau: Any
    rows: Any
    modalities: tuple[str, ...] = struct.field(pytree_node=False)
    pairs: tuple[tuple[int, int], ...] = struct.field(pytree_node=False)
    steps: int = struct.field(pytree_node=False)
    config: CheckConfig = struct.field(pytree_node=False)

    @classmethod
    def fit(
        cls,
        train: TrainingExamples,
        config: CheckConfig = CheckConfig(),
        groups: np.ndarray | None = None,
    ) -> "ModalityCheck":
        """Fits on train.

        groups: [samples] whose samples are in one part when tau is calibrated, speakers for instance:
            a new one's modalities go together less well than those of one CCA has met.
        Raises InputError where no two modalities have samples in common.
        """
        groups = np.arange(len(train.examples)) if groups is None else groups
        names = tuple(train.examples.features)
        longest = max(int(train.examples.lengths(name).max()) for name in names)
        steps = max(min(config.steps, longest), 1)
        vectors, available = example_vectors(train.examples, steps), availability(train.examples)
        tau = np.full((len(names), len(names)), np.nan, np.float32)
        ccas, pairs = [], []
        for i, j in itertools.combinations(range(len(names)), 2):
            both = available[:, i] & available[:, j]
            if both.sum() < FEWEST_PAIRS:
                continue
            x, y = vectors[names[i]][both], vectors[names[j]][both]
            ccas.append(_fit(x, y, config))
            if steps * len(ccas[-1].correlations) < 2:
                raise InputError(
                    f"modality check: {names[i]} and {names[j]} share one canonical coordinate at one step, "
                    "which has no correlation; give more features or steps"
                )
            pairs.append((i, j))
            tau[i, j] = tau[j, i] = _calibrated(x, y, groups[both], ccas[-1], config)
        if not pairs:
            raise InputError(
                f"modality check: no two of {', '.join(names)} have {FEWEST_PAIRS} train samples in common; "
                "there is nothing to compare"
            )
        return cls(tuple(ccas), tau, train.rows, names, tuple(pairs), steps, config)

    def __call__(
        self,
        vectors: Mapping[str, Float[Any, "samples _steps _dim"]],
        available: Bool[Any, "samples modalities"],
    ) -> Verdicts:
        """Verdicts on samples with the given vectors (`example_vectors`), jitted.

        With rho_ij the Pearson correlation of i's and j's canonical coordinates over a sample's
        coordinates and steps, i is ineffective iff rho_ij < tau_ij for all (any) j available.
        """
        for name in self.modalities:
            if name not in vectors:
                raise InputError(f"modality check: no vectors of {name!r}; {nearest(name, vectors)}")
        return _judge(self, {name: vectors[name] for name in self.modalities}, available)

    def save(self, path: Path) -> None:
        """Writes an .npz atomically."""
        arrays = {
            "modalities": np.array(self.modalities),
            "pairs": np.array(self.pairs),
            "steps": np.array(self.steps),
            "tau": np.asarray(self.tau),
            "rows": np.asarray(self.rows),
            "config": np.array(json.dumps(dataclasses.asdict(self.config))),
        }
        for number, cca in enumerate(self.ccas):
            arrays |= {f"{name}_{number}": value for name, value in cca.arrays().items()}
        write_arrays(path, KIND, arrays)

    @classmethod
    def load(cls, path: Path) -> "ModalityCheck":
        """Reads what `save` wrote. Raises InputError where the file is missing or damaged."""
        arrays = read_arrays(path, KIND)
        try:
            pairs = tuple((int(i), int(j)) for i, j in arrays["pairs"])
            ccas = tuple(CCA(**{f: arrays[f"{f}_{n}"] for f in FIELDS}) for n in range(len(pairs)))
            config = records.from_json(CheckConfig, json.loads(str(arrays["config"])))
            names = tuple(arrays["modalities"].tolist())
            return cls(ccas, arrays["tau"], arrays["rows"], names, pairs, int(arrays["steps"]), config)
        except (KeyError, ValueError, TypeError) as error:
            raise damaged(path, KIND, error) from error


def sample_correlation(
    x: Float[Array, "samples steps dims"],
    y: Float[Array, "samples steps dims"],
    weights: Float[Array, " dims"],
) -> Float[Array, " samples"]:
    """Weighted Pearson correlation of each sample's coordinates over steps and dims.

        rho = sum w (x - mean x)(y - mean y) / sqrt(sum w (x - mean x)^2 sum w (y - mean y)^2)

    with weighted means; 0 where a sample's coordinates are all the same.
    """
    share = (weights / jnp.maximum(weights.sum() * x.shape[1], 1e-30))[None, None, :]

    def total(values: Array) -> Array:
        return (share * values).sum(axis=(1, 2))

    x, y = (v - total(v)[:, None, None] for v in (x, y))
    spread = total(x * x) * total(y * y)
    rho = total(x * y) * jax.lax.rsqrt(jnp.where(spread > 0, spread, 1))
    return jnp.clip(jnp.where(spread > 0, rho, 0), -1, 1)


def _fit(x: np.ndarray, y: np.ndarray, config: CheckConfig) -> CCA:
    """CCA of all steps of all samples [samples, steps, dim]."""
    x, y = x.reshape(-1, x.shape[-1]), y.reshape(-1, y.shape[-1])
    if len(x) > config.points:
        drawn = np.random.default_rng(0).choice(len(x), config.points, replace=False)
        x, y = x[drawn], y[drawn]
    return fit_cca(x, y, dims=config.dims, ridge=config.ridge)


def _calibrated(x: np.ndarray, y: np.ndarray, groups: np.ndarray, cca: CCA, config: CheckConfig) -> float:
    """tau as given, or the quantile of train's correlations, cross-fitted between groups."""
    if config.tau is not None:
        return config.tau
    names = np.unique(groups)
    if config.folds == 1 or len(names) == 1:
        return float(np.quantile(_correlation(cca, x, y, config.weighted), config.quantile))
    rho = []
    for own in np.array_split(names, min(config.folds, len(names))):
        part = np.isin(groups, own)
        rest = ~part
        fitted = _fit(x[rest], y[rest], config)
        rho.append(_correlation(fitted, x[part], y[part], config.weighted))
    return float(np.quantile(np.concatenate(rho), config.quantile))


@functools.partial(jax.jit, static_argnames="weighted")
def _correlation(cca: CCA, x: Array, y: Array, weighted: bool) -> Array:
    weights = jnp.asarray(cca.correlations)
    weights = weights if weighted else jnp.ones_like(weights)
    return sample_correlation(cca.project_x(x), cca.project_y(y), weights)


@jax.jit
def _judge(check: ModalityCheck, vectors: Mapping[str, Array], available: Array) -> Verdicts:
    count = len(check.modalities)
    rho = jnp.zeros((len(available), count, count), jnp.float32)
    comparable = jnp.zeros(rho.shape, bool)
    for (i, j), cca in zip(check.pairs, check.ccas, strict=True):
        x, y = (vectors[check.modalities[k]] for k in (i, j))
        both = available[:, i] & available[:, j]
        found = jnp.where(both, _correlation(cca, x, y, check.config.weighted), 0)
        for a, b in ((i, j), (j, i)):
            rho, comparable = rho.at[:, a, b].set(found), comparable.at[:, a, b].set(both)
    deficit = jnp.where(comparable, check.tau[None] - rho, 0)
    if check.config.rule == "all":
        score = jnp.where(comparable, deficit, WORST).min(axis=2)
    else:
        score = jnp.where(comparable, deficit, -WORST).max(axis=2)
    score = jnp.where(comparable.any(axis=2), score, -WORST)
    score = jnp.where(available, score, WORST)
    return Verdicts(score > 0, score, rho)
