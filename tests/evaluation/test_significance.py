import dataclasses
import json

import numpy as np
import pytest
import scipy.stats

from experiments.benchmark_significance import MAIN, SAME_SEEDS, Args, Effects, band, main, rejections
from mer_jax.errors import InputError
from mer_jax.evaluation.additive import additive
from mer_jax.evaluation.predictions import Predictions
from mer_jax.evaluation.significance import (
    ONE_SEED,
    Replicates,
    Resamples,
    cliques,
    clustered_mcnemar,
    group_weights,
    holm,
    mcnemar,
    mean_interval,
    paired_bootstrap,
    replicate,
)
from tests.evaluation.corpora import classified


def answers(right: np.ndarray, groups: np.ndarray | None = None) -> Predictions:
    """Two classes; all labels are 0, and 0 is answered where `right`."""
    names = None if groups is None else [f"d{g:03d}" for g in groups]
    return classified([0] * len(right), np.where(np.asarray(right)[:, None], [0.9, 0.1], [0.1, 0.9]), names)


def table(both: int, a_only: int, b_only: int, neither: int) -> tuple[Predictions, Predictions]:
    counts = (both, a_only, b_only, neither)
    return answers(np.repeat([1, 1, 0, 0], counts)), answers(np.repeat([1, 0, 1, 0], counts))


def replicated(right: np.ndarray, groups: np.ndarray, resamples: int = 2000) -> Replicates:
    """right: [seeds, n]."""
    seeds = [answers(row, groups) for row in right]
    return replicate("accuracy", seeds, Resamples.draw(seeds[0].dialogues, resamples))


# statsmodels 0.15.0, contingency_tables.mcnemar(table, exact=False, correction=False)
@pytest.mark.parametrize(
    ("counts", "statistic", "p"),
    [
        ((101, 121, 59, 33), 21.355555555555554, 3.815135865112594e-06),
        ((30, 40, 12, 18), 15.076923076923077, 0.00010321744149513965),
    ],
)
def test_mcnemar_of_single_rows_is_statsmodels(counts, statistic, p):
    a, b = table(*counts)
    found = mcnemar([a], [b], a.ids)
    assert (found.statistic, found.p, found.exact) == (pytest.approx(statistic), pytest.approx(p), False)
    assert found.difference == pytest.approx((counts[1] - counts[2]) / sum(counts))


def test_few_disagreements_get_the_exact_p():
    """statsmodels 0.15.0, contingency_tables.mcnemar([[40, 4], [9, 12]], exact=True)."""
    a, b = table(40, 4, 9, 12)
    found = mcnemar([a], [b], a.ids)
    assert (found.exact, found.p) == (True, pytest.approx(0.266845703125))
    assert found.statistic == pytest.approx(1.9230769230769231)
    again = mcnemar([a, a], [b, b], a.ids)
    assert again.exact is False
    assert again.p == pytest.approx(0.16551785869746605)


def test_clustered_mcnemar_by_hand():
    """D = 3, 1, -1, 2 by group: T = 5^2 / 15, Obuchowski's statistic without groups' sizes."""
    assert clustered_mcnemar(np.array([3.0, 1, -1, 2]))[0] == pytest.approx(25 / 15)
    a, b = table(0, 6, 1, 0)
    groups = np.array(["x", "x", "x", "y", "w", "w", "z"])  # D_x = 3, D_y = 1, D_w = 2, D_z = -1
    found = mcnemar([a], [b], groups)
    assert found.statistic == pytest.approx(25 / 15)
    assert found.p == pytest.approx(scipy.stats.chi2.sf(25 / 15, 1))


def test_mcnemar_averages_over_seeds():
    a, b = table(0, 4, 0, 4)
    found = mcnemar([a, b], [b, b], a.ids)  # d = .5 on four rows
    assert found.statistic == pytest.approx(4)
    assert found.difference == pytest.approx(0.25)


def test_mcnemar_of_one_system_with_itself():
    a, _ = table(10, 5, 5, 10)
    assert (mcnemar([a], [a], a.ids).statistic, mcnemar([a], [a], a.ids).p) == (0, 1)


def test_the_bootstrap_test_is_a_paired_t_test_where_groups_are_equal_and_seeds_alike():
    """One seed, equal groups: the error is that of the K group differences, scipy's paired t."""
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(30), 8)
    a, b = (rng.random(240) < p for p in (0.7, 0.55))
    found = paired_bootstrap(replicated(a[None], groups, 20_000), replicated(b[None], groups, 20_000))
    by_group = (a.astype(float) - b).reshape(30, 8).mean(axis=1)
    theirs = scipy.stats.ttest_1samp(by_group, 0)
    assert found.df == 29
    assert found.p == pytest.approx(theirs.pvalue, rel=0.1)
    bounds = theirs.confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((bounds.low, bounds.high), abs=0.003)
    assert found.remark == ONE_SEED


def test_where_groups_do_not_matter_it_is_welchs_t_test_over_seeds():
    """Every group is alike, so only training again varies: scipy's Welch test of the scores."""
    groups = np.repeat(np.arange(20), 10)
    shares = ([5, 6, 7], [3, 3, 4, 5, 3])
    systems = [np.stack([np.tile(np.arange(10) < k, 20) for k in share]) for share in shares]
    found = paired_bootstrap(*(replicated(right, groups) for right in systems))
    theirs = scipy.stats.ttest_ind(np.array(shares[0]) / 10, np.array(shares[1]) / 10, equal_var=False)
    assert found.p == pytest.approx(theirs.pvalue)
    assert found.df == pytest.approx(theirs.df)
    assert found.group_error == pytest.approx(0, abs=1e-9)
    assert found.remark == ""


def test_test_noise_is_not_counted_twice():
    """Seeds that err at random on other rows differ on a fixed test part by chance alone:
    the variance of their mean is the groups' own, which the seed part must not repeat."""
    rng = np.random.default_rng(1)
    groups = np.repeat(np.arange(50), 10)
    errors, doubled = [], []
    for _ in range(40):
        a, b = (replicated(rng.random((10, 500)) < 0.6, groups, 400) for _ in range(2))
        found = paired_bootstrap(a, b)
        errors.append(found.group_error**2 + found.seed_error**2)
        doubled.append(found.group_error**2 + (a.scores.var(ddof=1) + b.scores.var(ddof=1)) / 10)
    truth = 2 * 0.6 * 0.4 / 5000
    assert np.mean(errors) == pytest.approx(truth, rel=0.25)
    assert np.mean(doubled) > 1.7 * truth


def test_identical_predictions_do_not_differ():
    groups = np.repeat(np.arange(10), 5)
    right = np.random.default_rng(2).random((3, 50)) < 0.5
    same = paired_bootstrap(replicated(right, groups), replicated(right, groups))
    assert (same.value, same.p) == (0, 1)
    assert same.low <= 0 <= same.high
    fixed = paired_bootstrap(replicated(right[:1], groups), replicated(right[:1], groups))
    assert (fixed.value, fixed.low, fixed.high, fixed.p) == (0, 0, 0, 1)


def test_without_any_variance_p_is_that_of_a_sign_test():
    groups = np.repeat(np.arange(6), 4)
    a, b = (replicated(np.full((1, 24), value), groups) for value in (True, False))
    assert paired_bootstrap(a, b).p == scipy.stats.binomtest(6, 6).pvalue


def test_one_group_tells_nothing():
    a, b = (replicated(np.random.default_rng(s).random((3, 9)) < 0.5, np.zeros(9, int)) for s in (0, 1))
    found = paired_bootstrap(a, b)
    assert np.isnan([found.low, found.high, found.p]).all()
    assert np.isnan(mean_interval(a)).all()


def test_a_system_trained_once_is_remarked():
    groups = np.repeat(np.arange(10), 5)
    right = np.random.default_rng(3).random((4, 50)) < 0.5
    once, often = replicated(right[:1], groups), replicated(right[1:], groups)
    assert paired_bootstrap(once, often).remark == ONE_SEED
    assert paired_bootstrap(often, once).seed_error > 0


def test_any_additive_metric_and_the_order_of_the_two():
    rng = np.random.default_rng(4)
    labels, groups = rng.integers(0, 4, 300), [f"d{g}" for g in np.repeat(np.arange(30), 10)]
    systems = []
    for strength in (0.6, 0.4):
        p = [rng.dirichlet(np.ones(4), 300) * (1 - strength) + strength * np.eye(4)[labels] for _ in range(3)]
        systems.append([classified(labels, one, groups) for one in p])
    draws = Resamples.draw(np.array(groups))
    for metric in ("macro_f1", "log_loss", "ece"):
        a, b = (replicate(metric, system, draws) for system in systems)
        assert a.scores == pytest.approx([additive(metric)(one) for one in systems[0]])
        forth, back = paired_bootstrap(a, b), paired_bootstrap(b, a)
        assert forth.value == pytest.approx(-back.value)
        assert (forth.p, forth.low) == (pytest.approx(back.p), pytest.approx(-back.high))


def test_the_sum_of_group_weights_is_the_number_of_groups():
    weights = group_weights(7, 100, seed=0)
    assert weights.shape == (100, 7)
    assert (weights.sum(axis=1) == 7).all()


def test_the_test_holds_its_level_and_a_naive_one_does_not():
    """200 comparisons of systems that do not differ, in clustered test data, seeds that do."""
    found = rejections(MAIN, 200)
    low, high = band(200, share=0.999)
    assert low <= found["bootstrap"] / 200 <= high
    assert low <= found["interval"] / 200 <= high
    assert found["naive"] / 200 > high


def test_mcnemar_holds_its_level_where_seeds_have_no_effect_of_their_own():
    low, high = band(200, share=0.999)
    steady = dataclasses.replace(MAIN, effects=SAME_SEEDS)
    assert low <= rejections(steady, 200)["mcnemar"] / 200 <= high
    lucky = dataclasses.replace(MAIN, seeds=3, effects=Effects(seed=0.2))
    assert rejections(lucky, 200)["mcnemar"] / 200 > high


def test_a_true_difference_is_found():
    found = rejections(dataclasses.replace(MAIN, difference=0.2), 100)
    assert found["bootstrap"] > 95


def test_holms_adjusted_p_values():
    """statsmodels 0.15.0, multipletests(p, method="holm")."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    p = [0.021, 0.0004, 0.3, 0.012, 0.012, 0.8]
    assert holm(p) == pytest.approx([0.063, 0.0024, 0.6, 0.06, 0.06, 0.8])
    assert holm([]) == []
    assert holm([0.7, 0.9]) == [1, 1]


def test_cliques():
    different = {frozenset(pair) for pair in ("ac", "ad", "bd")}
    assert cliques("abcd", different) == [["a", "b"], ["b", "c"], ["c", "d"]]
    assert cliques("abcd", set()) == [["a", "b", "c", "d"]]
    assert cliques("abcd", {frozenset("ad")}) == [["a", "b", "c"], ["b", "c", "d"]]
    assert cliques("abc", {frozenset(pair) for pair in ("ab", "bc", "ac")}) == []
    assert cliques("abc", {frozenset("ab")}) == [["b", "c"]]
    assert cliques("a", set()) == []


def test_bad_input_is_refused():
    groups = np.repeat(np.arange(10), 5)
    right = np.random.default_rng(5).random((2, 50)) < 0.5
    a = replicated(right, groups)
    with pytest.raises(InputError, match="same Resamples"):
        paired_bootstrap(a, replicated(right, groups, 100))
    with pytest.raises(InputError, match="test rows only"):
        replicate("accuracy", [answers(right[0])], Resamples.draw(groups[:40]))
    with pytest.raises(InputError, match="align them by id"):
        mcnemar([answers(right[0])], [answers(right[0][:40])], groups)


def test_the_benchmark_runs_every_setting(tmp_path, capsys):
    assert main(Args(comparisons=2, json=tmp_path / "rates.json")) == 0
    told = json.loads((tmp_path / "rates.json").read_text())
    assert [row["seeds"] for row in told["rows"][:9]] == [3, 5, 10] * 3
    assert {row["part"] for row in told["rows"]} >= {"no difference", ".05 better in accuracy"}
    assert all(row["in_band"] is None for row in told["rows"][-9:])
    assert "752 utterances, 31 videos" in capsys.readouterr().out
    with pytest.raises(InputError, match="--comparisons 0"):
        main(Args(comparisons=0))
