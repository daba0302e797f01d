"""Several systems under one protocol: who is better than whom, and how sure that is."""

import dataclasses
import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from mer_jax.errors import InputError, nearest
from mer_jax.evaluation.additive import CLASSIFICATION, LOWER_IS_BETTER, REGRESSION
from mer_jax.evaluation.comparison_attention import attention
from mer_jax.evaluation.comparison_rows import Contender, row_of
from mer_jax.evaluation.comparison_words import remarks, verdict
from mer_jax.evaluation.findings import ORDER
from mer_jax.evaluation.metrics import number
from mer_jax.evaluation.predictions import Predictions
from mer_jax.evaluation.protocol import Protocol
from mer_jax.evaluation.scoring import headline
from mer_jax.evaluation.significance import (
    Replicates,
    Resamples,
    cliques,
    holm,
    mcnemar,
    paired_bootstrap,
    replicate,
)

__all__ = ["Contender", "checked_metric", "compare"]

SAME_SCORE = 1e-4


@dataclasses.dataclass(frozen=True)
class _Entry:
    """A contender with its test rows in order and its scores on every resample."""

    contender: Contender
    test: tuple[Predictions, ...]
    replicates: Replicates


def compare(
    protocol: Protocol,
    contenders: Sequence[Contender],
    *,
    metric: str = "",
    ceilings: Mapping[str, float] | None = None,
    resamples: int = 2000,
    seed: int = 0,
    alpha: float = 0.05,
) -> dict[str, Any]:
    """The content of comparison.json; strict JSON, the same for the same input.

    metric: of the ranking and the tests; empty: the protocol's headline metric. ceilings:
    scores of people in that metric, by name. alpha: the family-wise level of the pairwise
    tests, Holm-corrected within each kind of test. Intervals are 95 %, for one pair each.

    `cliques` are the maximal runs of two or more rows no pair of which differs by the
    bootstrap test. `attention` is there where a contender attends to audio at known word times
    (see comparison_attention). McNemar entries are of accuracy and have no interval. With fewer than
    two groups in test, intervals and p are None.

    Raises InputError where contenders follow another protocol, hold other test rows, have
    one name, or the metric has no interval.
    """
    metric = checked_metric(protocol, metric)
    _check(protocol, contenders)
    tests = _aligned(contenders)
    unit = protocol.config.resample_by
    shown = next(iter(tests.values()))[0]
    draws = Resamples.draw(shown.groups(unit), resamples, seed)
    entries = [_entry(c, tests[c.name], metric, draws) for c in contenders]
    entries = _ranked(entries, metric)
    pairs = _pairs(protocol, entries, metric, alpha)
    different = {frozenset((p["a"], p["b"])) for p in pairs if p["test"] == "bootstrap" and p["significant"]}
    comparison: dict[str, Any] = {
        "corpus": protocol.corpus,
        "generated": protocol.generated,
        "protocol": protocol.hash,
        "task": protocol.config.task,
        "targets": list(protocol.targets),
        "metric": metric,
        "alpha": alpha,
        "resample_by": unit,
        "groups": draws.weights.shape[1],
        "test_n": len(shown),
        "rows": [row_of(e.contender, metric, e.replicates) for e in entries],
        "pairs": pairs,
        "cliques": cliques([e.contender.name for e in entries], different),
        "floors": _floors(contenders),
        "ceilings": dict(ceilings or {}),
        "leakage": _leakage(contenders),
    }
    found = attention(contenders, metric, shown, draws, alpha)
    comparison |= {} if found is None else {"attention": found}
    return comparison | {"verdict": verdict(comparison), "remarks": remarks(comparison)}


def checked_metric(protocol: Protocol, metric: str) -> str:
    """The metric, or for "" the protocol's headline. Raises InputError where it has no interval."""
    known = REGRESSION if protocol.config.task == "regression" else CLASSIFICATION
    metric = metric or headline(protocol)
    if metric not in known:
        raise InputError(
            f"metric {metric!r} can't be compared for a {protocol.config.task}; {nearest(metric, known)}"
        )
    return metric


def _check(protocol: Protocol, contenders: Sequence[Contender]) -> None:
    if not contenders:
        raise InputError("compare: no contender; name at least one system with a finished run")
    names = [c.name for c in contenders]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"compare: several contenders are called {twice}; give each a name of its own")
    for c in contenders:
        lengths = {len(c.seeds), len(c.predictions), len(c.metrics), len(c.runs)}
        if len(lengths) > 1 or not c.seeds or len(set(c.seeds)) < len(c.seeds):
            raise InputError(
                f"compare: {c.name!r} has seeds {list(c.seeds)}, {len(c.predictions)} predictions, "
                f"{len(c.metrics)} metrics and {len(c.runs)} runs; give one of each for every distinct seed"
            )
        other = sorted({m["protocol"] for m in c.metrics} - {protocol.hash})
        if other:
            raise InputError(
                f"compare: {c.name!r} follows protocol {', '.join(other)}, the comparison {protocol.hash}; "
                "scores of different protocols can't be compared: train it under this one"
            )


def _aligned(contenders: Sequence[Contender]) -> dict[str, tuple[Predictions, ...]]:
    """Every seed's test rows by fold and id. Raises InputError where they differ."""
    tests = {c.name: tuple(_ordered(p.part("test")) for p in c.predictions) for c in contenders}
    first = tests[contenders[0].name][0]
    if len(first) == 0:
        raise InputError(f"compare: the predictions of {contenders[0].name!r} hold no test rows")
    for c in contenders:
        for seed, rows in zip(c.seeds, tests[c.name], strict=True):
            for field in ("ids", "folds", "labels", "intensities", "dialogues", "speakers"):
                if not np.array_equal(getattr(rows, field), getattr(first, field)):
                    raise InputError(
                        f"compare: test {field} of {c.name!r}, seed {seed} ({len(rows)} rows), are not those "
                        f"of {contenders[0].name!r} ({len(first)} rows); train both on the same corpus"
                    )
    return tests


def _ordered(predictions: Predictions) -> Predictions:
    return predictions.where(np.lexsort((predictions.ids, predictions.folds)))


def _entry(c: Contender, test: tuple[Predictions, ...], metric: str, draws: Resamples) -> _Entry:
    replicates = replicate(metric, test, draws)
    for run, scores, score in zip(c.runs, c.metrics, replicates.scores, strict=True):
        told = scores["test"][metric]
        if told is not None and np.isfinite(score) and abs(told - score) > SAME_SCORE * max(1, abs(told)):
            raise InputError(
                f"compare: {run} says {metric} {told:.6g} in metrics.json, its predictions give {score:.6g}; "
                "the two are of different trainings: train the run again"
            )
    return _Entry(c, test, replicates)


def _ranked(entries: Iterable[_Entry], metric: str) -> list[_Entry]:
    """Best mean first, undefined ones last, by name where equal."""
    sign = 1 if metric in LOWER_IS_BETTER else -1

    def key(entry: _Entry) -> tuple[float, str]:
        mean = entry.replicates.mean
        return (sign * mean if np.isfinite(mean) else np.inf, entry.contender.name)

    return sorted(entries, key=key)


def _pairs(protocol: Protocol, entries: Sequence[_Entry], metric: str, alpha: float) -> list[dict[str, Any]]:
    couples = list(itertools.combinations(entries, 2))
    families = [[_bootstrap(a, b, metric) for a, b in couples]]
    if protocol.config.task == "classification":
        families.append([_mcnemar(a, b, protocol.config.resample_by) for a, b in couples])
    for family in families:
        defined = [pair for pair in family if pair["p"] is not None]
        for pair, p in zip(defined, holm([pair["p"] for pair in defined]), strict=True):
            pair |= {"p_holm": p, "significant": p < alpha}
    return [pair for family in families for pair in family]


def _pair(a: _Entry, b: _Entry, **values: Any) -> dict[str, Any]:
    names = {"a": a.contender.name, "b": b.contender.name}
    return names | values | {"p_holm": None, "significant": False}


def _bootstrap(a: _Entry, b: _Entry, metric: str) -> dict[str, Any]:
    sign = -1 if metric in LOWER_IS_BETTER else 1
    found = paired_bootstrap(a.replicates, b.replicates)
    low, high = sorted((sign * found.low, sign * found.high))
    return _pair(
        a,
        b,
        metric=metric,
        difference=number(sign * found.value),
        low=number(low),
        high=number(high),
        p=number(found.p),
        test="bootstrap",
        remark=found.remark,
    )


def _mcnemar(a: _Entry, b: _Entry, unit: str) -> dict[str, Any]:
    found = mcnemar(a.test, b.test, a.test[0].groups(unit))
    one_group = len(np.unique(a.test[0].groups(unit))) < 2
    return _pair(
        a,
        b,
        metric="accuracy",
        difference=found.difference,
        low=None,
        high=None,
        p=None if one_group else found.p,
        test="mcnemar",
        remark="the trained models at hand: says nothing of training again",
    )


def _floors(contenders: Sequence[Contender]) -> dict[str, dict[str, float | None]]:
    """Every floor's test scores; where contenders have other ones, named with the inputs, or
    with the system where inputs are the same."""
    found: dict[str, list[tuple[Contender, dict[str, float | None]]]] = {}
    for c in contenders:
        for name, scores in c.metrics[0]["floors"].items():
            values = {k: v for k, v in scores.items() if k != "n" and (v is None or isinstance(v, float))}
            several = found.setdefault(name, [])
            if (name != "best_single_modality" or len(c.modalities) > 1) and values not in (
                v for _, v in several
            ):
                several.append((c, values))
    out = {}
    for name, several in found.items():
        inputs = [c.modalities for c, _ in several]
        for c, values in several:
            label = ", ".join(c.modalities) if inputs.count(c.modalities) == 1 else c.name
            out[name if len(several) == 1 else f"{name} ({label})"] = values
    return out


def _leakage(contenders: Sequence[Contender]) -> list[dict[str, Any]]:
    """The findings of all runs, gravest first; one about a model is named with its system."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for c in contenders:
        for finding in itertools.chain.from_iterable(m["leakage"] for m in c.metrics):
            own = finding["check"].endswith("/model")
            check = f"{finding['check'].removesuffix('model')}{c.name}" if own else finding["check"]
            key = (check, "" if own else finding["message"])
            named = {**finding, "check": check}
            kept = found.setdefault(key, named)
            if ORDER.index(named["severity"]) < ORDER.index(kept["severity"]):
                found[key] = named
    return sorted(found.values(), key=lambda finding: ORDER.index(finding["severity"]))
