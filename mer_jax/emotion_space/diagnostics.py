"""Whether predicted emotion states say what the true ones say, or have collapsed.

A model that minimises an error may reach a low one by predicting little: the mean of train for rare
emotions, one axis from happy to not happy for the rest. No error shows that; these measures do.
"""

import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mer_jax.emotion_space.clouds import EnergyDistance, Reach, effective_rank, energy_distance, reach
from mer_jax.emotion_space.separation import (
    TOLD,
    TOLD_BEYOND,
    Dimensions,
    dimensions,
    names_told,
)
from mer_jax.emotion_space.verdicts import Facts, Verdict, judge
from mer_jax.errors import InputError
from mer_jax.evaluation.metrics import number, regression_metrics
from mer_jax.evaluation.predictions import Predictions

FEWEST_ROWS = 10


@dataclasses.dataclass(frozen=True)
class EmotionDiagnosis:
    """One emotion.

    variance_ratio: variance of predictions over that of the truth. slope: of the truth regressed
    on the predictions; 1 where they are drawn to the mean as far as their error asks, above 1
    where further. auc, auc_error: whether it is present, from its predicted intensity.
    auc_beyond: the same with the strongest axis of the predictions taken out. told: `auc` is at
    least .6 and three standard errors above .5. None where a measure is not defined.
    """

    name: str
    mae: float
    mse: float
    variance_ratio: float | None
    slope: float | None
    pearson: float | None
    ccc: float | None
    auc: float | None
    auc_error: float | None
    auc_beyond: float | None
    told: bool


@dataclasses.dataclass(frozen=True)
class Diagnosis:
    """What predictions of one model are worth as emotion states.

    n: rows. mae, mse, ccc: means over emotions. variance_ratio: of the clouds' total variances.
    effective_rank, true_effective_rank: see `clouds.effective_rank`. dimensions,
    true_dimensions: axes in which emotions are told apart, by the predictions and by the truth
    itself (see `separation.dimensions`). axis: the emotion that the strongest axis follows.
    kind, collapsed, verdict: see `verdicts.judge`.
    """

    n: int
    mae: float
    mse: float
    ccc: float | None
    variance_ratio: float | None
    effective_rank: float
    true_effective_rank: float
    dimensions: int
    true_dimensions: int
    axis: str
    energy: EnergyDistance | None
    reach: Reach | None
    emotions: tuple[EmotionDiagnosis, ...]
    kind: str
    collapsed: bool
    verdict: str

    @property
    def told(self) -> tuple[str, ...]:
        """The emotions that are told apart."""
        return tuple(one.name for one in self.emotions if one.told)

    def to_json(self) -> dict[str, Any]:
        """Strict JSON: None for what is not defined."""
        return dataclasses.asdict(self)


def diagnose(
    truth: np.ndarray,
    predicted: np.ndarray,
    emotions: Sequence[str],
    *,
    transform: Callable[[np.ndarray], np.ndarray] | None = None,
    map_states: np.ndarray | None = None,
    groups: np.ndarray | None = None,
    seed: int = 0,
) -> Diagnosis:
    """Measures and a verdict of one model's predictions.

    Args:
        truth: [n, E] intensities; above 0 an emotion is present (see `separation.presence`).
        predicted: [n, E] of the same rows, in the same units.
        emotions: their names.
        transform: from states [n, E] to points of a map [n, 2]; None: `reach` is left out.
        map_states: [m, E] what the map was fitted on; None: the truth.
        groups: [n] what rows belong together (videos, speakers), for standard errors and halves.
        seed: of the halves and of the rows drawn for the energy distance.

    Raises InputError for shapes that disagree, fewer than ten rows, and values that are not finite.
    """
    truth, predicted = _checked(truth, predicted, emotions, groups)
    scores = regression_metrics(truth, predicted, emotions)
    found, own = dimensions(truth, predicted, groups), dimensions(truth, truth, groups)
    facts = Facts(
        emotions=names_told(own.direct, emotions, TOLD),
        told=names_told(found.direct, emotions, TOLD),
        beyond=names_told(found.beyond, emotions, TOLD_BEYOND),
        axis=_followed(found.axis, truth, emotions),
        widest=_followed(_widest(predicted), truth, emotions),
        spread=float(np.max(predicted.std(axis=0) / np.maximum(truth.std(axis=0), 1e-12))),
        variance_ratio=number(predicted.var(axis=0).sum() / max(truth.var(axis=0).sum(), 1e-12)),
        rank=effective_rank(predicted),
        true_rank=effective_rank(truth),
        dimensions=found.count,
        true_dimensions=own.count,
        error=float(np.median([one.error for one in found.direct if one.error is not None] or [np.inf])),
    )
    verdict = judge(facts)
    return Diagnosis(
        n=len(truth),
        mae=scores["mae"],
        mse=scores["mse"],
        ccc=scores["ccc"],
        variance_ratio=facts.variance_ratio,
        effective_rank=facts.rank,
        true_effective_rank=facts.true_rank,
        dimensions=facts.dimensions,
        true_dimensions=facts.true_dimensions,
        axis=facts.axis,
        energy=energy_distance(truth, predicted, groups, seed),
        reach=None if transform is None else reach(transform, truth, predicted, map_states),
        emotions=_per_emotion(truth, predicted, scores["per_name"], found),
        **_said(verdict),
    )


def diagnose_run(run_folder: Path, split: str = "test", **options: Any) -> Diagnosis:
    """`diagnose` of a finished run's predictions, its groups those that the protocol resamples.

    options: as of `diagnose`. Raises InputError where the run predicts no intensities.
    """
    folder = Path(run_folder)
    found = Predictions.load(folder / "predictions.npz").part(split)
    protocol = json.loads((folder / "protocol.json").read_text())
    if not found.predicted_intensities.shape[1]:
        raise InputError(
            f"{folder} predicts classes, no intensities; name a run with protocol.task=regression"
        )
    options = {"groups": found.groups(protocol["config"]["resample_by"]), **options}
    return diagnose(found.intensities, found.predicted_intensities, protocol["targets"], **options)


def _said(verdict: Verdict) -> dict[str, Any]:
    return {"kind": verdict.kind, "collapsed": verdict.collapsed, "verdict": verdict.words}


def _checked(
    truth: np.ndarray, predicted: np.ndarray, emotions: Sequence[str], groups: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    truth, predicted = np.asarray(truth, np.float64), np.asarray(predicted, np.float64)
    if truth.ndim != 2 or truth.shape != predicted.shape or truth.shape[1] != len(emotions):
        raise InputError(
            f"diagnosis: truth {truth.shape} and predictions {predicted.shape} must both be "
            f"[n, {len(emotions)}] for {list(emotions)}"
        )
    if len(truth) < FEWEST_ROWS:
        raise InputError(f"diagnosis: {len(truth)} rows tell nothing; give at least {FEWEST_ROWS}")
    if groups is not None and len(groups) != len(truth):
        raise InputError(f"diagnosis: {len(groups)} groups for {len(truth)} rows; give one per row")
    for name, values in (("truth", truth), ("predictions", predicted)):
        bad = np.flatnonzero(~np.isfinite(values).all(axis=1))
        if len(bad):
            raise InputError(
                f"diagnosis: the {name} of {len(bad)} rows, first row {bad[0]}, are not finite; leave them out"
            )
    return truth, predicted


def _widest(states: np.ndarray) -> np.ndarray:
    """[n] the first principal component."""
    centred = states - states.mean(axis=0)
    return centred @ np.linalg.eigh(centred.T @ centred)[1][:, -1]


def _followed(axis: np.ndarray, truth: np.ndarray, emotions: Sequence[str]) -> str:
    """The emotion whose true intensity the axis follows most; "" where it follows none."""
    spread = np.where(truth.std(axis=0) > 0, truth.std(axis=0), np.inf)
    follows = np.abs((axis - axis.mean()) @ (truth - truth.mean(axis=0))) / spread
    return emotions[int(follows.argmax())] if follows.max() > 0 else ""


def _per_emotion(
    truth: np.ndarray, predicted: np.ndarray, scores: dict[str, dict[str, Any]], found: Dimensions
) -> tuple[EmotionDiagnosis, ...]:
    out = []
    for k, (name, score) in enumerate(scores.items()):
        t, p, direct = truth[:, k], predicted[:, k], found.direct[k]
        covariance = ((t - t.mean()) * (p - p.mean())).mean()
        out.append(
            EmotionDiagnosis(
                name=name,
                **score,
                variance_ratio=float(p.var() / t.var()) if t.var() > 0 else None,
                slope=None if score["pearson"] is None else float(covariance / p.var()),
                auc=direct.auc,
                auc_error=direct.error,
                auc_beyond=found.beyond[k].auc,
                told=direct.told(TOLD),
            )
        )
    return tuple(out)
