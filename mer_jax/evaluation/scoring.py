"""What `metrics.json` says of a run: scores, floors, intervals, and whether it collapsed."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mer_jax.errors import InputError
from mer_jax.evaluation.additive import LOWER_IS_BETTER
from mer_jax.evaluation.collapse import collapsed_reasons
from mer_jax.evaluation.findings import Finding, by_severity
from mer_jax.evaluation.floors import Floor
from mer_jax.evaluation.intervals import bootstrap_interval, paired_difference
from mer_jax.evaluation.learned_features import score_gap
from mer_jax.evaluation.metrics import REGRESSION_SCORES, classification_metrics, number, regression_metrics
from mer_jax.evaluation.predictions import Predictions
from mer_jax.evaluation.protocol import Protocol

CLASSIFICATION_INTERVALS = ("accuracy", "balanced_accuracy", "macro_f1", "weighted_f1", "log_loss")
FEW_GROUPS = 20


def headline(protocol: Protocol) -> str:
    """The metric that statements are about: the selecting one, or accuracy / MAE for `loss`."""
    if protocol.config.task == "regression":
        return protocol.config.select if protocol.config.select in REGRESSION_SCORES else "mae"
    known = set(CLASSIFICATION_INTERVALS)
    return protocol.config.select if protocol.config.select in known else "accuracy"


def metrics_of(protocol: Protocol, predictions: Predictions) -> dict[str, Any]:
    """Every metric of the protocol's task on the given rows."""
    if protocol.config.task == "regression":
        truth, predicted = predictions.intensities, predictions.predicted_intensities
        return regression_metrics(truth, predicted, protocol.targets)
    return classification_metrics(predictions.labels, predictions.probabilities, protocol.targets)


def score(
    protocol: Protocol,
    predictions: Predictions,
    floors: Mapping[str, Floor],
    leakage: Sequence[Finding] = (),
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> dict[str, Any]:
    """The content of metrics.json; strict JSON, the same for the same input.

    predictions: of every fold, dev and test (train rows are not scored). floors: from
    `pool_floors`. leakage: the audit's findings; dev-above-test findings join them.

    Beyond the contract's keys: `not_above` holds a sentence for each floor the model does
    not beat (the interval of the paired difference of `headline` includes 0),
    `differences` those differences, `notes` what qualifies the intervals.
    Raises InputError where a floor's rows are not the model's, or there is no test row.
    """
    dev, test = (_ordered(predictions.part(split)) for split in ("dev", "test"))
    if len(test) == 0:
        raise InputError("score: predictions hold no test rows; give every fold's dev and test rows")
    parts = {name: _aligned(name, floor, dev, test) for name, floor in floors.items()}
    scores = metrics_of(protocol, test)
    floor_scores = {
        name: {**metrics_of(protocol, floor_test), "detail": floors[name].detail}
        | ({"dev": metrics_of(protocol, floor_dev)} if len(dev) else {})
        | {"intervals": _intervals(protocol, floor_test, resamples, seed)}
        for name, (floor_dev, floor_test) in parts.items()
    }
    reasons = collapsed_reasons(protocol, test, scores, floor_scores)
    differences = _differences(protocol, test, parts, resamples, seed)
    gaps = _gaps(protocol, dev, test, parts, resamples, seed)
    return {
        "protocol": protocol.hash,
        "corpus": protocol.corpus,
        "generated": protocol.generated,
        "task": protocol.config.task,
        "targets": list(protocol.targets),
        "headline": headline(protocol),
        "test": scores,
        "dev": metrics_of(protocol, dev) if len(dev) else None,
        "floors": floor_scores,
        "intervals": _intervals(protocol, test, resamples, seed),
        "collapsed": bool(reasons),
        "collapsed_reasons": reasons,
        "differences": differences,
        "not_above": _not_above(protocol, differences),
        "notes": _notes(protocol, test, floors),
        "leakage": [finding.to_json() for finding in by_severity([*leakage, *gaps])],
    }


def _ordered(predictions: Predictions) -> Predictions:
    return predictions.where(np.lexsort((predictions.ids, predictions.folds)))


def _aligned(name: str, floor: Floor, dev: Predictions, test: Predictions) -> tuple[Predictions, Predictions]:
    made = []
    for split, model in (("dev", dev), ("test", test)):
        part = _ordered(floor.predictions.part(split))
        same = np.array_equal(part.ids, model.ids) and np.array_equal(part.folds, model.folds)
        if len(model) and not same:
            raise InputError(
                f"score: floor {name!r} has {len(part)} {split} rows, the predictions {len(model)}, and they "
                "are not the same utterances; use the same protocol and folds for both"
            )
        made.append(part)
    return made[0], made[1]


def _interval_names(protocol: Protocol) -> tuple[str, ...]:
    return REGRESSION_SCORES if protocol.config.task == "regression" else CLASSIFICATION_INTERVALS


def _few(protocol: Protocol, test: Predictions) -> int:
    return len(np.unique(test.groups(protocol.config.resample_by)))


def _intervals(protocol: Protocol, test: Predictions, resamples: int, seed: int) -> dict[str, Any]:
    groups = test.groups(protocol.config.resample_by)
    names = _interval_names(protocol)
    if _few(protocol, test) < 2:
        return dict.fromkeys(names)
    bounds = {name: bootstrap_interval(name, test, groups, resamples, seed) for name in names}
    return {name: None if np.isnan(low) else [low, high] for name, (low, high) in bounds.items()}


def _differences(
    protocol: Protocol,
    test: Predictions,
    parts: Mapping[str, tuple[Predictions, Predictions]],
    resamples: int,
    seed: int,
) -> dict[str, dict[str, Any]]:
    """Model minus floor in the headline metric, oriented so that above 0 is better."""
    metric, unit = headline(protocol), protocol.config.resample_by
    sign = -1 if metric in LOWER_IS_BETTER else 1
    if _few(protocol, test) < 2:
        return {}
    out = {}
    for name, (_, floor) in parts.items():
        d = paired_difference(metric, test, floor, test.groups(unit), resamples, seed)
        low, high = sorted((sign * d.low, sign * d.high))
        out[name] = {
            "metric": metric,
            "gain": number(sign * d.value),
            "low": number(low),
            "high": number(high),
            "p": number(d.p),
            "above": bool(low > 0),
        }
    return out


def _not_above(protocol: Protocol, differences: Mapping[str, Mapping[str, Any]]) -> list[str]:
    out = []
    for name, d in differences.items():
        if not d["above"] and d["low"] is not None:
            bounds = f"{d['gain']:+.3f}, 95 % interval {d['low']:+.3f} to {d['high']:+.3f}"
            out.append(f"not above floor {name!r} in {headline(protocol)} (gain {bounds})")
        elif not d["above"]:
            out.append(f"not above floor {name!r}: {headline(protocol)} is undefined for one of the two")
    return out


def _notes(protocol: Protocol, test: Predictions, floors: Mapping[str, Floor]) -> list[str]:
    unit, groups = protocol.config.resample_by, _few(protocol, test)
    out = []
    if groups < 2:
        out.append(f"all test rows belong to one {unit}, so there are no intervals; set protocol.resample_by")
    elif groups < FEW_GROUPS:
        out.append(f"test has only {groups} {unit}s, so the intervals are too narrow")
    if "majority" in floors:
        counts = np.bincount(test.labels, minlength=len(protocol.targets))
        best, rate = int(counts.argmax()), counts.max() / len(test)
        if (floors["majority"].predictions.part("test").probabilities.argmax(axis=1) != best).all():
            out.append(
                f"the largest class of test, {protocol.targets[best]!r}, is not that of train: always "
                f"answering it would be right for {rate:.3f}, more than the majority floor"
            )
    return out


def _gaps(
    protocol: Protocol,
    dev: Predictions,
    test: Predictions,
    parts: Mapping[str, tuple[Predictions, Predictions]],
    resamples: int,
    seed: int,
) -> list[Finding]:
    metric = "mae" if protocol.config.task == "regression" else "accuracy"
    unit = protocol.config.resample_by
    pairs = {"model": (dev, test), **parts}
    if len(dev) == 0:
        return []
    return [score_gap(name, *pair, unit, metric, n=resamples, seed=seed) for name, pair in pairs.items()]
