"""Where the attention of compared systems lies: means, intervals and tests over words in their groups."""

import dataclasses
import itertools
import json

import numpy as np
import pytest
import scipy.stats

from mer_jax.evaluation import alignment_tables
from mer_jax.evaluation.attention_record import MEASURES, STATES, AttentionRecord, Example
from mer_jax.evaluation.comparison import compare
from mer_jax.evaluation.comparison_report import write_comparison
from mer_jax.evaluation.comparison_tables import UNDEFINED
from mer_jax.evaluation.figures_alignments import one_utterance, score_over_alignment
from tests.evaluation.contenders import NAMES, contenders
from tests.evaluation.test_report import Page

WORDS = 3
NEAR = {NAMES[0]: 0.9, NAMES[1]: 0.4}  # the third has no attention


def record(contender, seed, centre):
    """`WORDS` words of every test utterance; one of the first word's measures is undefined."""
    ids = contender.predictions[seed].part("test").ids
    random = np.random.default_rng(seed)
    measures = {
        f"{state}/{m}": random.uniform(centre - 0.1, centre + 0.1, len(ids) * WORDS)
        for state, m in itertools.product(STATES, MEASURES)
    }
    measures["trained/mass_within_one_word"][0] = np.nan
    trace = np.zeros((4, 2), np.float32)
    positions = np.arange(4)[None].repeat(2, axis=0)
    spans = np.array([[0, 0.2], [0.2, 0.4]])
    shown = [
        Example(name, ("a", "b"), spans, 4, np.full((2, 4), 0.25), positions, trace, "waveform", 0.1)
        for name in sorted(ids)[:2]
    ]
    return AttentionRecord(10.0, np.repeat(ids, WORDS), measures, tuple(shown))


def attending(contender, centre):
    records = tuple(record(contender, seed, centre) for seed in range(len(contender.seeds)))
    metrics = tuple(
        m | {"attention": one.summary()} for m, one in zip(contender.metrics, records, strict=True)
    )
    return dataclasses.replace(contender, attention=records, metrics=metrics)


@pytest.fixture(scope="module")
def made():
    protocol, plain = contenders(seeds=3)
    found = [attending(c, NEAR[c.name]) if c.name in NEAR else c for c in plain]
    return compare(protocol, found, resamples=400), found


def test_means_are_over_the_words_that_have_something_to_attend_to(made):
    comparison, found = made
    rows = {row["name"]: row for row in comparison["attention"]["rows"]}
    assert list(rows) == [NAMES[0], NAMES[1]]
    for c in found[:2]:
        for measure in MEASURES:
            means = [np.nanmean(one.measures[f"trained/{measure}"]) for one in c.attention]
            told = rows[c.name][measure]
            assert told["mean"] == pytest.approx(np.mean(means), rel=1e-12)
            assert told["sd"] == pytest.approx(np.std(means, ddof=1), rel=1e-9)
            assert told["low"] < told["mean"] < told["high"]
        right = [
            (part.probabilities.argmax(axis=1) == part.labels).mean()
            for part in (p.part("train") for p in c.predictions)
        ]
        assert comparison["metric"] == "accuracy"
        assert rows[c.name]["train"]["mean"] == pytest.approx(np.mean(right))


def test_an_interval_is_that_of_whole_groups(made):
    """Words of a group lie as near to each other as others do here, so the standard error is about
    that of independent words: scipy's of the pooled words, over seeds."""
    comparison, found = made
    told = comparison["attention"]["rows"][0]["mass_in_span"]
    words = np.concatenate([one.measures["trained/mass_in_span"] for one in found[0].attention])
    half = 1.96 * scipy.stats.sem(words)
    assert 0.6 * half < told["high"] - told["mean"] < 2.5 * half


def test_the_pair_that_differs_is_told_apart(made):
    comparison, _ = made
    (pair,) = comparison["attention"]["pairs"]
    assert (pair["a"], pair["b"], pair["significant"]) == (NAMES[0], NAMES[1], True)
    assert pair["low"] < 0.5 < pair["high"]
    assert pair["p_holm"] == pair["p"] < 1e-3


def test_equal_attention_is_not_told_apart():
    protocol, plain = contenders(seeds=3)
    found = [attending(c, 0.5) for c in plain]
    found = [dataclasses.replace(c, attention=found[0].attention) for c in found]
    pairs = compare(protocol, found, resamples=200)["attention"]["pairs"]
    assert [pair["significant"] for pair in pairs] == [False] * 3
    assert [pair["p_holm"] for pair in pairs] == [1.0] * 3


def test_a_comparison_without_attention_says_nothing_of_it():
    protocol, plain = contenders()
    assert "attention" not in compare(protocol, plain, resamples=50)


def test_the_page_shows_it_and_the_file_is_strict_json(made, tmp_path):
    comparison, found = made
    path = write_comparison(tmp_path, comparison, found, {})
    page = Page(path.read_text())
    assert {"attention", "attention-maps", "figure-attention", "figure-attention-maps"} <= set(page.ids)
    again = json.loads((tmp_path / "comparison.json").read_text(), parse_constant=pytest.fail)
    assert again["attention"] == comparison["attention"]
    assert "within ±1 word" in (tmp_path / "table.md").read_text()


def test_figures_hold_every_system(made):
    comparison, found = made
    figure = score_over_alignment(comparison, found)
    means = {trace.name: trace for trace in figure.data if trace.showlegend is not False}
    assert len(means) == 2
    places = [row["mass_within_one_word"]["mean"] for row in comparison["attention"]["rows"]]
    assert sorted(trace.x[0] for trace in means.values()) == sorted(places)
    assert len(figure.layout.shapes) == 1  # the system without attention
    maps = one_utterance(comparison, found)
    assert [note.text for note in maps.layout.annotations] == [NAMES[0], NAMES[1]]


def test_tables_have_a_row_for_every_system_and_pair(made):
    comparison, _ = made
    head, rows = alignment_tables.systems(comparison)
    assert {len(row) for row in rows} == {len(head)}
    assert [row[0] for row in rows] == list(NAMES)
    assert rows[2][2:8] == [UNDEFINED] * 6
    head, pairs = alignment_tables.pairs(comparison)
    assert [len(row) for row in pairs] == [len(head)]
