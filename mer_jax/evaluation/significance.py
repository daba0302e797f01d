"""Is one system better than another, each trained with several seeds? Two tests, two questions.

`paired_bootstrap` speaks of the procedures: would the difference be there on other test
groups and after training again? `mcnemar` speaks of the trained models at hand: would
these very models differ on other test groups?
"""

import dataclasses
import math
from collections.abc import Callable, Collection, Sequence

import numpy as np
import scipy.stats

from mer_jax.errors import InputError
from mer_jax.evaluation.additive import additive
from mer_jax.evaluation.predictions import Predictions

LEVEL = 0.95
ROUNDING = 1e-12
EXACT_BELOW = 25
ONE_SEED = "one seed: says nothing of training again"


@dataclasses.dataclass(frozen=True)
class Resamples:
    """Draws of whole groups, shared by every seed and system that is compared.

    of_row: [n] group number of each row. weights: [resamples, groups] how often each group
    is drawn; a resample draws as many groups as there are.
    """

    of_row: np.ndarray
    weights: np.ndarray

    @classmethod
    def draw(cls, groups: np.ndarray, resamples: int = 2000, seed: int = 0) -> "Resamples":
        """groups: [n] group name of each row."""
        names, of_row = np.unique(groups, return_inverse=True)
        return cls(of_row, group_weights(len(names), resamples, seed))


def group_weights(groups: int, resamples: int, seed: int) -> np.ndarray:
    """[resamples, groups] float64 counts of a bootstrap over `groups` groups."""
    shares = np.full(groups, 1 / groups)
    return np.random.default_rng(seed).multinomial(groups, shares, resamples).astype(np.float64)


@dataclasses.dataclass(frozen=True)
class Replicates:
    """One system's score for every seed, on all test rows and on every resample.

    scores: [seeds]. draws: [seeds, resamples], NaN where undefined. groups: their number.
    """

    scores: np.ndarray
    draws: np.ndarray
    groups: int

    @classmethod
    def from_sums(
        cls, finish: Callable[[np.ndarray], np.ndarray], sums: np.ndarray, weights: np.ndarray
    ) -> "Replicates":
        """finish: [m, S] -> [m], as in `Additive`. sums: [seeds, groups, S]."""
        scores = finish(sums.sum(axis=1))
        return cls(scores, np.stack([finish(weights @ one) for one in sums]), sums.shape[1])

    @property
    def mean(self) -> float:
        """The mean score over the seeds."""
        return float(self.scores.mean())


def replicate(metric: str, predictions: Sequence[Predictions], resamples: Resamples) -> Replicates:
    """An additive metric of every seed's predictions, whose rows are in the order of `resamples`.

    Raises InputError for an unknown metric or another number of rows.
    """
    form = additive(metric)
    groups = resamples.weights.shape[1]
    for one in predictions:
        _same_length(len(one), len(resamples.of_row))
    sums = [group_sums(form.terms(one), resamples.of_row, groups) for one in predictions]
    return Replicates.from_sums(form.finish, np.stack(sums), resamples.weights)


def group_sums(terms: np.ndarray, of_row: np.ndarray, groups: int) -> np.ndarray:
    """[groups, S] sums of [n, S] terms."""
    sums = np.zeros((groups, terms.shape[1]))
    np.add.at(sums, of_row, terms)
    return sums


@dataclasses.dataclass(frozen=True)
class PairedTest:
    """a - b, its 95 % interval and two-sided p; NaN where undefined.

    group_error, seed_error: the two parts of the standard error, whose squares add up.
    df: degrees of freedom of t. remark: what the test cannot say, or "".
    """

    value: float
    low: float
    high: float
    p: float
    group_error: float
    seed_error: float
    df: float
    remark: str = ""


def paired_bootstrap(a: Replicates, b: Replicates) -> PairedTest:
    """Difference of the mean scores over seeds of two systems on the same test groups.

    t = (mean a - mean b) / sqrt(V_g + V_a + V_b), where V_g = K / (K-1) times the variance,
    over the resamples of the K groups, of the difference of the seed means. V_a is what
    training again adds: the variance of a's seeds over their number n, less the part that
    V_g holds already (each seed errs on other groups: K / (K-1) times the mean bootstrap
    variance of a seed's deviation from the seed mean), not below 0; the two-way variance
    of Owen, Annals of Applied Statistics 1 (2007), and Cameron, Gelbach & Miller, JBES 29
    (2011). t has Welch and Satterthwaite's degrees of freedom from K-1, n_a-1 and n_b-1.
    With one seed V_a is unknown, taken as 0, and the remark says so. `python -m
    experiments.benchmark_significance` measures how often it rejects where nothing differs:
    at .05 in about 5 %; in 6 to 8 % where one of two systems is erratic to train and has 3
    seeds.

    Where neither group nor seed varies, p is that of a sign test on K equal signs. All is
    NaN but the value with fewer than two groups. Raises InputError where a and b have
    other resamples.
    """
    if a.groups != b.groups or a.draws.shape[1] != b.draws.shape[1]:
        raise InputError(
            f"paired bootstrap: {a.draws.shape[1]} resamples of {a.groups} groups against "
            f"{b.draws.shape[1]} of {b.groups}; replicate both with the same Resamples"
        )
    spread = _spread([(a, 1.0), (b, -1.0)])
    value = a.mean - b.mean
    single = [len(system.scores) < 2 for system in (a, b)]
    remark = ONE_SEED if any(single) else ""
    half = spread.half_width()
    return PairedTest(
        value,
        value - half,
        value + half,
        _p_value(value, spread, a.groups),
        math.sqrt(spread.groups),
        math.sqrt(spread.seeds),
        spread.df,
        remark,
    )


def mean_interval(a: Replicates) -> tuple[float, float]:
    """The 95 % interval of a system's mean score: test groups and seeds both drawn again.

    Standard error and degrees of freedom as in `paired_bootstrap`. NaN, NaN with fewer than
    two groups or an undefined score.
    """
    half = _spread([(a, 1.0)]).half_width()
    return a.mean - half, a.mean + half


@dataclasses.dataclass(frozen=True)
class _Spread:
    """Variance of an estimate from groups and from seeds; df of their sum."""

    groups: float
    seeds: float
    df: float

    @property
    def error(self) -> float:
        return math.sqrt(self.groups + self.seeds)

    def half_width(self) -> float:
        return float(scipy.stats.t.ppf((1 + LEVEL) / 2, self.df)) * self.error


def _spread(systems: Sequence[tuple[Replicates, float]]) -> _Spread:
    """Of the sum of sign * mean score over (replicates, sign)."""
    count = systems[0][0].groups
    defined = np.all([np.isfinite(r.draws).all(axis=0) for r, _ in systems], axis=0)
    if count < 2 or defined.sum() < 2:
        return _Spread(math.nan, math.nan, math.nan)
    fair = count / (count - 1)
    combined = sum(sign * r.draws[:, defined].mean(axis=0) for r, sign in systems)
    groups = fair * float(np.var(combined, ddof=1))
    seeds = [(_seed_variance(r, defined, fair), len(r.scores) - 1) for r, _ in systems]
    parts = [(groups, count - 1), *(part for part in seeds if part[1])]
    total = sum(variance for variance, _ in parts)
    if total <= ROUNDING**2:
        return _Spread(0.0, 0.0, float(count - 1))
    df = total**2 / sum(variance**2 / df for variance, df in parts)
    return _Spread(groups, total - groups, df)


def _seed_variance(r: Replicates, defined: np.ndarray, fair: float) -> float:
    """Of the mean over seeds, without what drawing other groups explains; 0 for one seed."""
    n = len(r.scores)
    if n < 2:
        return 0.0
    draws = r.draws[:, defined]
    by_groups = fair * float(np.var(draws - draws.mean(axis=0), axis=1, ddof=1).sum()) / (n - 1)
    return max(0.0, float(np.var(r.scores, ddof=1)) - by_groups) / n


def _p_value(value: float, spread: _Spread, groups: int) -> float:
    if not math.isfinite(value) or math.isnan(spread.df):
        return math.nan
    if spread.error > 0:
        return float(2 * scipy.stats.t.sf(abs(value) / spread.error, spread.df))
    return 1.0 if abs(value) <= ROUNDING else 2.0 ** (1 - groups)


@dataclasses.dataclass(frozen=True)
class McNemar:
    """difference: accuracy of a less that of b. statistic: chi-squared on one degree of
    freedom. exact: whether p is the binomial one."""

    difference: float
    statistic: float
    p: float
    exact: bool


def mcnemar(a: Sequence[Predictions], b: Sequence[Predictions], groups: np.ndarray) -> McNemar:
    """McNemar's test for clustered matched pairs: the trained models at hand, not their training.

    d_i = mean over seeds of [a right] - [b right] on utterance i, D_k their sum over group
    k: T = (sum_k D_k)^2 / sum_k D_k^2 ~ chi^2(1). With one seed and groups of one row T is
    (b-c)^2 / (b+c), and p is the exact binomial one where b+c < 25. It takes seeds as
    given, so a lucky training counts as a difference. Obuchowski, Statistics in Medicine
    17 (1998); Durkalski et al., ibid. 22 (2003); McNemar, Psychometrika 12 (1947).

    groups: [n] group name of each row. Raises InputError where rows differ.
    """
    for one in (*a, *b):
        if not np.array_equal(one.ids, a[0].ids):
            raise InputError("mcnemar: the predictions hold different utterances; align them by id")
        _same_length(len(one), len(groups))
    d = _right(a) - _right(b)
    sums = np.bincount(np.unique(groups, return_inverse=True)[1], d)
    statistic, p = clustered_mcnemar(sums)
    single = len(a) == len(b) == 1 and len(sums) == len(d)
    wins, losses = int((d > 0).sum()), int((d < 0).sum())
    exact = single and 0 < wins + losses < EXACT_BELOW
    if exact:
        p = float(scipy.stats.binomtest(wins, wins + losses).pvalue)
    return McNemar(float(d.mean()), statistic, p, exact)


def clustered_mcnemar(sums: np.ndarray) -> tuple[float, float]:
    """T and its p for [groups] sums D_k; 0 and 1 where all are 0."""
    squares = float((sums**2).sum())
    statistic = float(sums.sum()) ** 2 / squares if squares > ROUNDING**2 else 0.0
    return statistic, float(scipy.stats.chi2.sf(statistic, 1))


def _right(predictions: Sequence[Predictions]) -> np.ndarray:
    """[n] share of the seeds that answer the row rightly."""
    return np.mean([one.probabilities.argmax(axis=1) == one.labels for one in predictions], axis=0)


def _same_length(rows: int, expected: int) -> None:
    if rows != expected:
        raise InputError(
            f"significance: {rows} predictions for {expected} rows of groups; pass test rows only"
        )


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values, in the order given: max over j <= i of (m-j+1) p_(j), at most 1.

    Rejecting where adjusted p < alpha holds the chance of any false rejection at alpha.
    Holm, Scandinavian Journal of Statistics 6 (1979).
    """
    p = np.asarray(p_values, np.float64)
    order = np.argsort(p, kind="stable")
    steps = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(steps, 1)
    return adjusted.tolist()


def cliques(order: Sequence[str], different: Collection[frozenset[str]]) -> list[list[str]]:
    """Maximal runs of two or more of `order` in which no pair is in `different`: the bars of a
    critical-difference diagram (Demsar, JMLR 7, 2006)."""
    runs: list[list[str]] = []
    reached = 0
    for start in range(len(order)):
        end = start + 1
        while end < len(order) and not any(frozenset((x, order[end])) in different for x in order[start:end]):
            end += 1
        if end > max(reached, start + 1):
            runs.append(list(order[start:end]))
            reached = end
    return runs
