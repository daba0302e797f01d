"""How often the tests of a comparison reject where nothing differs, and find what does.

    python -m experiments.benchmark_significance
    python -m experiments.benchmark_significance --comparisons 1000 --json significance.json

Each simulated comparison draws test groups that are easy or hard for everyone, utterances
likewise, what each system makes of them, and trainings that turn out well or badly. A test
at .05 should then reject in 5 % of the comparisons without a true difference.
"""

import dataclasses
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import scipy.stats
from rich.table import Table

from experiments.command import run, write_json
from experiments.printing import console_on
from mer_jax.errors import InputError
from mer_jax.evaluation.additive import additive
from mer_jax.evaluation.significance import (
    Replicates,
    clustered_mcnemar,
    group_sums,
    group_weights,
    holm,
    mean_interval,
    paired_bootstrap,
)

LEVEL = 0.05
RESAMPLES = 2000
REDRAW_EVERY = 20
PRIORS = np.array([0.4, 0.2, 0.15, 0.12, 0.08, 0.05])


@dataclasses.dataclass(frozen=True)
class Effects:
    """Standard deviations on the latent scale; an utterance is answered rightly above 0.

    group, utterance: difficulty, shared by all systems and seeds. own_group, own_utterance:
    what one system finds easy, shared by its seeds. seed: a training as a whole;
    seed_group, seed_utterance: where it errs. erratic: how much more the first system's
    trainings vary as a whole; the others' utterances vary that much more, so that the
    expected accuracy stays the same. ability: the mean, of a system by default.
    """

    group: float = 0.35
    utterance: float = 0.8
    own_group: float = 0.25
    own_utterance: float = 0.6
    seed: float = 0.1
    seed_group: float = 0.05
    seed_utterance: float = 0.35
    erratic: float = 0.0
    ability: float = 0.3

    @property
    def total(self) -> float:
        """Standard deviation of one answer's latent value."""
        sds = (value for name, value in dataclasses.asdict(self).items() if name != "ability")
        return math.sqrt(sum(sd**2 for sd in sds))

    def better_by(self, difference: float) -> float:
        """The ability at which the expected accuracy is higher by `difference`."""
        base = scipy.stats.norm.cdf(self.ability / self.total)
        return float(self.total * scipy.stats.norm.ppf(base + difference))


@dataclasses.dataclass(frozen=True)
class Setting:
    """A test part and how the systems are trained. spread: coefficient of variation of the
    group sizes. difference: the last system's advantage in expected accuracy."""

    corpus: str
    utterances: int
    groups: int
    spread: float
    seeds: int = 5
    systems: int = 2
    difference: float = 0.0
    metric: str = "accuracy"
    effects: Effects = Effects()


CORPORA = (
    Setting("238 utterances, 40 dialogues", 238, 40, 0.5),
    Setting("752 utterances, 31 videos", 752, 31, 0.5),
    # leave one speaker out: every speaker is answered by a training of its own
    Setting("535 utterances, 10 speakers", 535, 10, 0.25, effects=Effects(seed=0.03, seed_group=0.15)),
)
MAIN = CORPORA[0]
SAME_SEEDS = Effects(seed=0.0, seed_group=0.0)
ERRATIC = Effects(seed=0.0, erratic=0.2)


@dataclasses.dataclass(frozen=True)
class Args:
    """Rejection rates of the paired bootstrap and of McNemar's test, by simulation.

    Args:
        comparisons: simulated comparisons of each setting.
        json: also write the rates to this file.
    """

    comparisons: int = 200
    json: Path | None = None


def main(args: Args) -> int:
    """Level, family-wise level and power of every setting."""
    if args.comparisons < 1:
        raise InputError(f"--comparisons {args.comparisons} must be 1 or more")
    rows = [
        _row(title, setting, rejections(setting, args.comparisons, seed=number), args.comparisons)
        for number, (title, setting) in enumerate(settings())
    ]
    low, high = band(args.comparisons)
    print_rates(rows, low, high, args.comparisons)
    result = {"comparisons": args.comparisons, "level": LEVEL, "band": [low, high], "rows": rows}
    write_json(args.json, result)
    return 0


def settings() -> list[tuple[str, Setting]]:
    """Every simulated setting under the title of its part of the table."""
    level = [dataclasses.replace(c, seeds=n) for c in CORPORA for n in (3, 5, 10)]
    erratic = [dataclasses.replace(MAIN, seeds=n, effects=ERRATIC) for n in (3, 5, 10)]
    return [
        *(("no difference", one) for one in level),
        (
            "no difference, seeds without an effect of their own",
            dataclasses.replace(MAIN, effects=SAME_SEEDS),
        ),
        *(("no difference, one of two systems is erratic to train", one) for one in erratic),
        ("no difference, macro F1 of 6 classes", dataclasses.replace(MAIN, metric="macro_f1")),
        *(("no difference, 5 systems, any of 10 pairs", dataclasses.replace(c, systems=5)) for c in CORPORA),
        *((".05 better in accuracy", dataclasses.replace(one, difference=0.05)) for one in level),
    ]


def rejections(setting: Setting, comparisons: int, seed: int = 0) -> dict[str, int]:
    """How many comparisons each test rejects at .05.

    bootstrap and mcnemar: any pair, Holm-corrected. naive: rows taken singly and seeds as
    given, the mistake to avoid. interval: the 95 % interval of the first system's mean
    misses its expected accuracy (left out for other metrics).
    """
    rng = np.random.default_rng(seed)
    out: dict[str, int] = {}
    weights = np.zeros((0, 0))
    for number in range(comparisons):
        if number % REDRAW_EVERY == 0:
            weights = group_weights(setting.groups, RESAMPLES, int(rng.integers(2**31)))
        for name, rejected in _comparison(setting, weights, rng).items():
            out[name] = out.get(name, 0) + rejected
    return out


def _comparison(setting: Setting, weights: np.ndarray, rng: np.random.Generator) -> dict[str, bool]:
    of_row = np.repeat(np.arange(setting.groups), _sizes(setting, rng))
    right = simulate(setting, of_row, rng)
    finish, terms = _terms(setting, right, rng)
    sums = [np.stack([group_sums(one, of_row, setting.groups) for one in system]) for system in terms]
    systems = [Replicates.from_sums(finish, one, weights) for one in sums]
    means = right.mean(axis=1)
    p: dict[str, list[float]] = {"bootstrap": [], "mcnemar": [], "naive": []}
    for a in range(setting.systems):
        for b in range(a):
            d = means[a] - means[b]
            p["bootstrap"].append(paired_bootstrap(systems[a], systems[b]).p)
            p["mcnemar"].append(clustered_mcnemar(np.bincount(of_row, d))[1])
            p["naive"].append(float(scipy.stats.ttest_1samp(d, 0).pvalue))
    out = {name: min(holm(values)) < LEVEL for name, values in p.items()}
    if setting.metric == "accuracy":
        low, high = mean_interval(systems[0])
        expected = scipy.stats.norm.cdf(setting.effects.ability / setting.effects.total)
        out["interval"] = not low <= expected <= high
    return out


def simulate(setting: Setting, of_row: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """[systems, seeds, utterances] whether the answer is right."""
    e, n, groups = setting.effects, len(of_row), setting.groups
    s, k = setting.systems, setting.seeds
    ability = np.full((s, 1, 1), e.ability)
    ability[-1] = e.better_by(setting.difference)
    shared = e.group * rng.normal(size=groups)[of_row] + e.utterance * rng.normal(size=n)
    own = e.own_group * rng.normal(size=(s, 1, groups))[..., of_row]
    own = own + e.own_utterance * rng.normal(size=(s, 1, n))
    training = e.seed * rng.normal(size=(s, k, 1)) + e.seed_utterance * rng.normal(size=(s, k, n))
    training = training + e.seed_group * rng.normal(size=(s, k, groups))[..., of_row]
    training[:1] += e.erratic * rng.normal(size=(1, k, 1))
    training[1:] += e.erratic * rng.normal(size=(s - 1, k, n))
    return ability + shared + own + training > 0


def _sizes(setting: Setting, rng: np.random.Generator) -> np.ndarray:
    """[groups] utterances of each group, about `utterances` in all."""
    share = rng.gamma(setting.spread**-2, size=setting.groups)
    return np.maximum(2, np.round(setting.utterances * share / share.sum())).astype(int)


def _terms(setting: Setting, right: np.ndarray, rng: np.random.Generator) -> tuple[Any, np.ndarray]:
    """The score's `finish` and its [systems, seeds, n, S] terms."""
    if setting.metric == "accuracy":
        return lambda sums: sums[..., 0] / sums[..., 1], np.stack([right, np.ones_like(right)], axis=-1)
    classes = len(PRIORS)
    labels = rng.choice(classes, right.shape[-1], p=PRIORS)
    wrong = (labels + rng.integers(1, classes, right.shape)) % classes
    cells = labels * classes + np.where(right, labels, wrong)
    return additive(setting.metric).finish, np.eye(classes**2)[cells]


def band(comparisons: int, share: float = 0.95) -> tuple[float, float]:
    """The central band of the rejection rate of a test that holds its level."""
    low, high = scipy.stats.binom.interval(share, comparisons, LEVEL)
    return float(low) / comparisons, float(high) / comparisons


def _row(title: str, setting: Setting, found: Mapping[str, int], comparisons: int) -> dict[str, Any]:
    low, high = band(comparisons)
    if setting.difference:
        found = {name: found[name] for name in ("bootstrap", "mcnemar")}
    rates = {name: count / comparisons for name, count in found.items()}
    # Holm holds the family-wise rate at or below the level, so there only too high is outside
    least = dict.fromkeys(rates, 0.0 if setting.systems > 2 else low) | {"interval": low}
    inside = {name: least[name] <= rate <= high for name, rate in rates.items()}
    return {
        "part": title,
        "corpus": setting.corpus,
        "seeds": setting.seeds,
        "rates": rates,
        "in_band": None if setting.difference else inside,
    }


def print_rates(rows: Sequence[Mapping[str, Any]], low: float, high: float, comparisons: int) -> None:
    """Rates beside the band; a cell outside it is marked."""
    console = console_on(sys.stdout)
    console.print(
        f"share of {comparisons} simulated comparisons in which a test rejects at {LEVEL}; where nothing differs "
        f"a sound test lies within {low:.3f}-{high:.3f} in 95 % of the cells (! marks a cell outside)"
    )
    for part in dict.fromkeys(row["part"] for row in rows):
        table = Table(title=part, title_justify="left")
        for name in ("test part", "seeds", "bootstrap", "mcnemar", "naive (rows)", "interval misses"):
            table.add_column(name)
        for row in rows:
            if row["part"] == part:
                cells = [_cell(row, name) for name in ("bootstrap", "mcnemar", "naive", "interval")]
                table.add_row(row["corpus"], str(row["seeds"]), *cells)
        console.print(table)
    console.print(
        "The bootstrap test speaks of the procedures. McNemar's test takes the trained models as given: it is "
        "expected to hold its level only where seeds have no effect of their own."
    )


def markdown(result: Mapping[str, Any]) -> str:
    """The content of `--json` as a table for BENCHMARKS.md."""
    low, high = result["band"]
    lines = [
        f"Share of {result['comparisons']} simulated comparisons in which a test rejects at {result['level']}; a sound "
        f"test lies within {low:.3f}-{high:.3f} in 95 % of the cells (! marks a cell outside).",
        "",
        "| simulated | test part | seeds | bootstrap | McNemar | naive (rows) | interval misses |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in result["rows"]:
        cells = [_cell(row, name) for name in ("bootstrap", "mcnemar", "naive", "interval")]
        lines.append(f"| {' | '.join([row['part'], row['corpus'], str(row['seeds']), *cells])} |")
    return "\n".join(lines)


def _cell(row: Mapping[str, Any], name: str) -> str:
    if name not in row["rates"]:
        return "-"
    outside = row["in_band"] is not None and not row["in_band"][name]
    return f"{row['rates'][name]:.3f}{' !' if outside else ''}"


if __name__ == "__main__":
    sys.exit(run(main, Args))
