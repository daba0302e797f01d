"""Whose attention finds the audio of a word: compared systems held against the true word times."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mer_jax.evaluation.additive import additive
from mer_jax.evaluation.attention_record import MEASURES, AttentionRecord
from mer_jax.evaluation.comparison_rows import Contender, statistic
from mer_jax.evaluation.metrics import number
from mer_jax.evaluation.predictions import Predictions
from mer_jax.evaluation.significance import (
    Replicates,
    Resamples,
    group_sums,
    holm,
    mean_interval,
    paired_bootstrap,
)

TESTED = "mass_within_one_word"


def attention(
    contenders: Sequence[Contender], metric: str, test: Predictions, draws: Resamples, alpha: float
) -> dict[str, Any] | None:
    """The part `attention` of comparison.json: of the systems with attention over words whose true
    times are known; None where there is none.

    `rows`: for each of the measures of `attention_record` the mean over words, its mean and
    standard deviation over seeds and 95 % interval (seeds and test groups both drawn again),
    what attention spread evenly over the same keys has (`even`), and the score on train.
    `pairs`: paired bootstrap of the share within one word, Holm-corrected over these pairs.

    test: the rows of `draws`.
    """
    known = [c for c in contenders if c.attention]
    if not known:
        return None
    group = dict(zip(test.ids.tolist(), draws.of_row.tolist(), strict=True))
    found = {(c.name, m): _replicates(c.attention, m, group, draws) for c in known for m in MEASURES}
    rows = [_row(c, metric, {m: found[c.name, m] for m in MEASURES}) for c in known]
    rows.sort(key=lambda row: (-row[TESTED]["mean"], row["name"]))
    pairs: list[dict[str, Any]] = []
    for a, b in itertools.combinations([row["name"] for row in rows], 2):
        tested = paired_bootstrap(found[a, TESTED], found[b, TESTED])
        told = {"difference": tested.value, "low": tested.low, "high": tested.high, "p": tested.p}
        pairs.append({"a": a, "b": b} | {name: number(value) for name, value in told.items()})
    defined = [pair for pair in pairs if pair["p"] is not None]
    for pair, p in zip(defined, holm([pair["p"] for pair in defined]), strict=True):
        pair |= {"p_holm": p, "significant": p < alpha}
    return {"measure": TESTED, "rows": rows, "pairs": pairs}


def _row(c: Contender, metric: str, found: Mapping[str, Replicates]) -> dict[str, Any]:
    form = additive(metric)
    row: dict[str, Any] = {
        "name": c.name,
        "train": statistic([number(form(p.part("train"))) for p in c.predictions]),
        "even": {
            m: statistic([scores["attention"]["uniform"][m] for scores in c.metrics])["mean"]
            for m in MEASURES
        },
    }
    for measure, replicates in found.items():
        low, high = mean_interval(replicates)
        row[measure] = statistic(replicates.scores.tolist()) | {"low": number(low), "high": number(high)}
    return row


def _replicates(
    records: Sequence[AttentionRecord], measure: str, group: Mapping[str, int], draws: Resamples
) -> Replicates:
    """The mean over words that have something to attend to, for every seed and resample."""
    sums = []
    for record in records:
        values = record.measures[f"trained/{measure}"]
        there = np.isfinite(values)
        terms = np.stack([np.where(there, values, 0), there], axis=1)
        of_word = np.array([group[name] for name in record.ids.tolist()])
        sums.append(group_sums(terms, of_word, draws.weights.shape[1]))
    return Replicates.from_sums(_mean, np.stack(sums), draws.weights)


def _mean(sums: np.ndarray) -> np.ndarray:
    counts = sums[:, 1]
    return np.divide(sums[:, 0], counts, out=np.full(len(sums), np.nan), where=counts > 0)
