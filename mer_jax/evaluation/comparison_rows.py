"""One system of a comparison: what goes in, and its row."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from mer_jax.evaluation.additive import LOWER_IS_BETTER
from mer_jax.evaluation.attention_record import AttentionRecord
from mer_jax.evaluation.calibration import calibration
from mer_jax.evaluation.metrics import number
from mer_jax.evaluation.predictions import Predictions
from mer_jax.evaluation.significance import Replicates, mean_interval

CALIBRATION = ("temperature", "ece", "ece_scaled", "log_loss", "log_loss_scaled")


@dataclasses.dataclass(frozen=True)
class Contender:
    """One system of a comparison, trained with several seeds under one protocol.

    name: unique, shown ("early fusion", "unimodal (text)").
    config: as named on the command line ("unimodal_mosi:data.modalities=text").
    predictions: one per seed; train, dev and test rows of all folds.
    metrics: one per seed: the content of metrics.json.
    cost: `parameters` (int), `seconds` (float, per seed), `epoch_seconds` (float or None, the
        same of an epoch), `memory_mib` (float or None), `seeds_at_once` (int).
    runs: the run folder of each seed.
    attention: one per seed where it attends to audio at known word times, else none.
    """

    name: str
    config: str
    modalities: tuple[str, ...]
    seeds: tuple[int, ...]
    predictions: tuple[Predictions, ...]
    metrics: tuple[Mapping[str, Any], ...]
    cost: Mapping[str, Any]
    runs: tuple[str, ...]
    attention: tuple[AttentionRecord, ...] = ()


def row_of(c: Contender, metric: str, replicates: Replicates) -> dict[str, Any]:
    """The row of comparison.json: scores over seeds, interval, floors, calibration, cost.

    `above_floor`: more than half of the seeds beat the best floor by the paired bootstrap
    of metrics.json; where that is of another metric, the interval of the mean lies beyond
    the floor. None where there is no floor.
    """
    tests = [m["test"] for m in c.metrics]
    low, high = mean_interval(replicates)
    overall = statistic([scores[metric] for scores in tests])
    floors = {name: row[metric] for name, row in c.metrics[0]["floors"].items() if row[metric] is not None}
    best = (min if metric in LOWER_IS_BETTER else max)(floors, key=lambda name: floors[name], default=None)
    row = {
        "config": c.config,
        "name": c.name,
        "modalities": list(c.modalities),
        "metric": metric,
        **overall,
        "n": len(c.seeds),
        "low": number(low),
        "high": number(high),
        "dev_mean": _dev(c, lambda dev: dev[metric])["mean"],
        "floor": None if best is None else floors[best],
        "floor_name": best,
        "majority": floors.get("majority", floors.get("mean")),
        "linear": floors.get("linear"),
        "above_floor": None if best is None else _above(c, metric, best, floors[best], (low, high)),
        "collapsed": any(m["collapsed"] for m in c.metrics),
        "collapsed_seeds": sum(bool(m["collapsed"]) for m in c.metrics),
        "metrics": {name: statistic([scores[name] for scores in tests]) for name in _scalars(tests[0])},
        "dev_metrics": {name: _dev(c, lambda dev, k=name: dev[k]) for name in _scalars(tests[0])},
        "cost": dict(c.cost),
        "runs": list(c.runs),
        "seeds": list(c.seeds),
    }
    return row | (_classification(c, tests) if "confusion" in tests[0] else _regression(tests))


def statistic(values: Sequence[float | None]) -> dict[str, float | None]:
    """Mean and standard deviation over seeds: None where a seed's value is undefined, and no
    deviation for one seed."""
    defined = [v for v in values if v is not None]
    if len(defined) < len(values) or not defined:
        return {"mean": None, "sd": None}
    sd = float(np.std(defined, ddof=1)) if len(defined) > 1 else None
    return {"mean": float(np.mean(defined)), "sd": sd}


def _scalars(scores: Mapping[str, Any]) -> list[str]:
    return [name for name, value in scores.items() if name != "n" and not isinstance(value, dict | list)]


def _dev(c: Contender, value: Callable[[Mapping[str, Any]], float | None]) -> dict[str, float | None]:
    return statistic([None if m["dev"] is None else value(m["dev"]) for m in c.metrics])


def _above(c: Contender, metric: str, best: str, floor: float, interval: tuple[float, float]) -> bool:
    differences = [m["differences"].get(best) for m in c.metrics]
    known = [d for d in differences if d is not None and d["metric"] == metric]
    if len(known) == len(differences):
        return 2 * sum(d["above"] for d in known) > len(known)
    low, high = interval
    return bool(high < floor if metric in LOWER_IS_BETTER else low > floor)


def _classification(c: Contender, tests: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    per_class = {}
    for name, first in tests[0]["per_class"].items():
        seeds = [scores["per_class"][name] for scores in tests]
        own = {key: statistic([seed[key] for seed in seeds]) for key in first if key != "support"}
        per_class[name] = {"support": first["support"], **own}
    confusion = np.sum([scores["confusion"] for scores in tests], axis=0)
    out = {"per_class": per_class, "confusion": confusion.tolist()}
    if any(set(p.folds[p.splits == "dev"]) != set(p.folds) for p in c.predictions):
        return out  # a fold without dev rows has no temperature
    found = [calibration(predictions) for predictions in c.predictions]
    scaled: dict[str, Any] = {k: statistic([getattr(one, k) for one in found]) for k in CALIBRATION}
    return out | {"calibration": scaled | {"at_bound": sum(one.at_bound for one in found)}}


def _regression(tests: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    names = tests[0]["per_name"]
    return {
        "per_name": {
            name: {key: statistic([scores["per_name"][name][key] for scores in tests]) for key in names[name]}
            for name in names
        }
    }
