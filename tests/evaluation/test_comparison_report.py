import dataclasses
import json
import re

import numpy as np
import pytest
import sklearn.metrics as skm

from mer_jax.errors import InputError
from mer_jax.evaluation import figures_comparison, figures_comparison_classes
from mer_jax.evaluation.comparison_report import write_comparison
from mer_jax.evaluation.figures_comparison import pair_matrix, system_colours
from mer_jax.evaluation.figures_comparison_ranking import ranking
from tests.evaluation.contenders import NAMES, compared, rows_of_test
from tests.evaluation.test_report import Page

FILES = ("comparison.json", "report.html", "table.md", "table.tex")
RECORD = {
    "command": "python -m experiments.compare a b",
    "commit": "0123abcd",
    "device": "2 CPU cores",
    "versions": {"jax": "1.2.3"},
    "duration": 3725.4,
    "protocol": {"corpus": "small", "config": {"split": "official"}},
}


@pytest.fixture(scope="module", params=[False, True], ids=["classification", "regression"])
def written(request, tmp_path_factory):
    comparison, contenders = compared(intensities=request.param)
    folder = tmp_path_factory.mktemp("comparison")
    path = write_comparison(folder, comparison, contenders, RECORD)
    text = path.read_text()
    return comparison, contenders, folder, text, Page(text)


def own(text):
    """The page without plotly.js."""
    return re.sub(r"<script id='plotly-js'>.*?</script>", "", text, flags=re.DOTALL)


def test_the_page_has_every_section_and_loads_nothing(written):
    comparison, _, folder, text, page = written
    assert page.open == []
    assert page.loads == []
    for scheme in ("http:", "https:", "@import"):
        assert scheme not in own(text)
    sections = {"verdict", "ranking", "scores", "pairs", "cost", "leakage", "protocol", "reproduce"}
    sections |= (
        {"per-class", "confusion", "roc", "precision-recall", "reliability"}
        if comparison["task"] == "classification"
        else {"per-name-pearson", "per-name-ccc", "per-name-mae"}
    )
    assert sections <= set(page.ids)
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES)


def test_plotly_is_embedded_once_and_every_figure_has_its_place(written):
    _, _, _, text, page = written
    assert text.count("plotly.js v") == 1
    assert len(page.ids) == len(set(page.ids))
    drawn = re.findall(r"Plotly\.newPlot\('(figure-[\w-]+)'", text)
    assert len(drawn) == len(set(drawn)) >= 6
    assert set(drawn) == {name for name in page.ids if name.startswith("figure-")}


def test_the_page_says_verdict_remarks_and_how_to_reproduce(written):
    comparison, _, _, text, _ = written
    words = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", own(text).replace("\u00a0", " ")))
    first = comparison["verdict"].split("<")[0].strip()
    assert first in words
    for fact in ("python -m experiments.compare a b", "0123abcd", "2 CPU cores", "1.2.3", "1 h 2 min 5 s"):
        assert fact in words
    assert comparison["protocol"] in words
    assert "GENERATED DATA" in words
    assert "<b>fusion" not in own(text)


def test_the_table_on_the_page_holds_the_numbers_of_the_json(written):
    comparison, _, _, _, page = written
    rows = {row["name"]: row for row in comparison["rows"]}
    assert {name for name, _ in page.cells} == set(rows)
    for (name, key), shown in page.cells.items():
        row = rows[name]
        known = {"dev": row["dev_mean"], "linear": row["linear"], "floor": row["floor"]}
        known |= {"majority": row["majority"], "seeds": row["n"]}
        known |= {metric: one["mean"] for metric, one in row["metrics"].items()}
        assert shown == (str(row["n"]) if key == "seeds" else f"{known[key]:.3f}")


def test_the_same_input_gives_the_same_bytes(written, tmp_path):
    comparison, contenders, folder, _, _ = written
    write_comparison(tmp_path, comparison, contenders, RECORD)
    for name in FILES:
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()
    assert json.loads((folder / "comparison.json").read_text()) == json.loads(json.dumps(comparison))


def test_other_contenders_are_refused(tmp_path):
    comparison, contenders = compared()
    with pytest.raises(InputError, match="are not the systems compared"):
        write_comparison(tmp_path, comparison, contenders[:2], {})
    assert list(tmp_path.iterdir()) == []


def test_one_contender_with_one_seed_has_a_page_without_pairs(tmp_path):
    comparison, contenders = compared(strengths=(1.0,), seeds=1)
    text = write_comparison(tmp_path, comparison, contenders, {}).read_text()
    assert "id='pairs'" not in text
    assert "id='roc'" in text
    assert "records no command" in text


def test_ranking_holds_means_intervals_seeds_floors_and_cliques(written):
    comparison, contenders, *_ = written
    figure = ranking(comparison, contenders)
    rows = comparison["rows"]
    means = [trace for trace in figure.data if trace.error_x.array is not None]
    assert [trace.x[0] for trace in means] == [row["mean"] for row in rows]
    assert [trace.y[0] for trace in means] == [0, 1, 2]
    for trace, row in zip(means, rows, strict=True):
        assert trace.x[0] + trace.error_x.array[0] == pytest.approx(row["high"])
        assert trace.x[0] - trace.error_x.arrayminus[0] == pytest.approx(row["low"])
    seeds = [trace for trace in figure.data if trace.marker.opacity == 0.4]
    by_name = {contender.name: contender for contender in contenders}
    for trace, row in zip(seeds, rows, strict=True):
        metrics = by_name[row["name"]].metrics
        assert list(trace.x) == [one["test"][row["metric"]] for one in metrics]
    linear = next(trace for trace in figure.data if trace.name == "Linear (all modalities)")
    assert list(linear.x) == [row["linear"] for row in rows]
    names = [row["name"] for row in rows]
    spans = [(names.index(c[0]) - 0.3, names.index(c[-1]) + 0.3) for c in comparison["cliques"] if c[1:]]
    assert [(shape.y0, shape.y1) for shape in figure.layout.shapes] == spans


def test_rows_have_room_for_the_longest_name():
    comparison, contenders = compared()
    long = "lexico acoustic (modalities words,waveform, auxiliary waveform, filters 4,8, epochs 15)"
    changed = json.loads(json.dumps(comparison).replace(NAMES[2], long))
    others = [dataclasses.replace(one, name=one.name.replace(NAMES[2], long)) for one in contenders]
    pairs = (
        (ranking(comparison, contenders), ranking(changed, others)),
        (pair_matrix(comparison), pair_matrix(changed)),
    )
    for short, figure in pairs:
        lines = max(label.count("<br>") + 1 for label in figure.layout.yaxis.ticktext)
        assert lines >= 6
        assert figure.layout.height - short.layout.height >= len(NAMES) * (16 * lines - 62)


def test_a_ceiling_is_a_line_and_what_is_far_off_is_written_at_the_edge():
    comparison, contenders = compared()
    top = max(row["high"] for row in comparison["rows"])
    rows = [row | {"majority": -5.0} for row in comparison["rows"]]
    changed = comparison | {"rows": rows, "ceilings": {"near": top + 0.01, "far": top + 5}}
    figure = ranking(changed, contenders)
    lines = [shape.x0 for shape in figure.layout.shapes if shape.x0 == shape.x1]
    assert lines == [top + 0.01]
    notes = [note.text for note in figure.layout.annotations]
    assert any("majority class -5.000" in note and note.startswith("\u25c2") for note in notes)
    assert any("human ceiling, far" in note and note.endswith("\u25b8") for note in notes)
    assert figure.layout.xaxis.range[0] > -1
    assert len({(note.yshift, note.y) for note in figure.layout.annotations}) == 3


def test_pair_matrix_is_antisymmetric_and_greys_what_is_not_supported(written):
    comparison, *_ = written
    supported, grey = pair_matrix(comparison).data
    names = [row["name"] for row in comparison["rows"]]
    pairs = [pair for pair in comparison["pairs"] if pair["test"] == "bootstrap"]
    assert {pair["significant"] for pair in pairs} == {True, False}
    for pair in pairs:
        a, b = names.index(pair["a"]), names.index(pair["b"])
        shown, other = (supported, grey) if pair["significant"] else (grey, supported)
        assert shown.z[a][b] == pair["difference"]
        assert shown.z[b][a] == -pair["difference"]
        assert other.z[a][b] is None
        assert f"{pair['difference']:+.3f}" in shown.text[a][b]
    assert len({colour for _, colour in grey.colorscale}) == 1


def test_bars_hold_means_and_deviations(written):
    comparison, *_ = written
    classification = comparison["task"] == "classification"
    figures = (
        {"f1": figures_comparison.per_class_f1(comparison)}
        if classification
        else {m: figures_comparison.per_intensity(comparison, m) for m in ("pearson", "ccc", "mae")}
    )
    for metric, figure in figures.items():
        for bar, row in zip(figure.data, comparison["rows"], strict=True):
            block = row["per_class" if classification else "per_name"]
            statistics = [block[name][metric] for name in comparison["targets"]]
            assert list(bar.y) == [one["mean"] for one in statistics]
            assert list(bar.error_y.array) == [one["sd"] for one in statistics]


def test_confusion_panels_hold_row_shares():
    comparison, contenders = compared()
    panels = figures_comparison_classes.confusion(comparison)
    by_name = {contender.name: contender for contender in contenders}
    assert [title for title, _ in panels] == [row["name"] for row in comparison["rows"]]
    for title, figure in panels:
        rows = rows_of_test(by_name[title])
        expected = skm.confusion_matrix(rows.labels, rows.probabilities.argmax(axis=1), normalize="true")
        np.testing.assert_allclose(figure.data[0].z, expected)


def test_roc_curves_have_the_area_of_the_pooled_rows():
    comparison, contenders = compared()
    panels = dict(figures_comparison_classes.roc(comparison, contenders))
    assert list(panels) == ["All classes, micro-averaged", *comparison["targets"]]
    by_name = {contender.name: contender for contender in contenders}
    for k, target in enumerate(comparison["targets"]):
        for curve, row in zip(panels[target].data[1:], comparison["rows"], strict=True):
            rows = rows_of_test(by_name[row["name"]])
            expected = skm.roc_auc_score(rows.labels == k, rows.probabilities[:, k])
            assert np.trapezoid(curve.y, curve.x) == pytest.approx(expected, abs=0.005)
            assert (curve.x[0], curve.y[0], curve.x[-1], curve.y[-1]) == (0, 0, 1, 1)
            area = row["per_class"][target]["roc_auc"]
            assert curve.name.startswith(f"{area['mean']:.3f} ± {area['sd']:.3f} ")


def test_precision_recall_steps_sum_to_average_precision():
    comparison, contenders = compared()
    panels = dict(figures_comparison_classes.precision_recall(comparison, contenders))
    assert list(panels) == comparison["targets"]
    by_name = {contender.name: contender for contender in contenders}
    for k, target in enumerate(comparison["targets"]):
        share, *curves = panels[target].data
        n = sum(row["support"] for row in comparison["rows"][0]["per_class"].values())
        assert list(share.y) == [comparison["rows"][0]["per_class"][target]["support"] / n] * 2
        for curve, row in zip(curves, comparison["rows"], strict=True):
            rows = rows_of_test(by_name[row["name"]])
            expected = skm.average_precision_score(rows.labels == k, rows.probabilities[:, k])
            assert float(np.sum(np.diff(curve.x) * curve.y[1:])) == pytest.approx(expected, abs=0.02)
            assert curve.line.shape == "vh"


def test_reliability_gaps_make_up_the_calibration_error():
    comparison, contenders = compared(seeds=1)
    for (title, figure), row in zip(
        figures_comparison_classes.reliability(comparison, contenders), comparison["rows"], strict=True
    ):
        assert title == row["name"]
        _, before, after = figure.data
        for trace, key in ((before, "ece"), (after, "ece_scaled")):
            shares = np.array(trace.customdata)
            gap = float(np.sum(shares * np.abs(np.array(trace.y) - np.array(trace.x))))
            expected = row["calibration"][key]["mean"]
            assert f"{expected:.3f}" in trace.name
            assert abs(gap - expected) <= 1 - shares.sum() + 1e-6


def test_cost_panels_leave_out_what_nobody_recorded(written):
    comparison, *_ = written
    figures = [figure for _, figure in figures_comparison.cost(comparison)]
    assert [figure.layout.xaxis.title.text for figure in figures] == [
        "Parameters",
        "Seconds of training per seed",
    ]
    for figure, key in zip(figures, ("parameters", "seconds"), strict=True):
        assert figure.layout.xaxis.type == "log"
        assert [trace.x[0] for trace in figure.data] == [row["cost"][key] for row in comparison["rows"]]
        assert [trace.y[0] for trace in figure.data] == [row["mean"] for row in comparison["rows"]]
        low, high = figure.layout.xaxis.range
        assert len([t for t in figure.layout.xaxis.tickvals if low <= np.log10(t) <= high]) >= 2


def test_a_system_has_one_colour_in_every_figure():
    comparison, contenders = compared()
    palette = system_colours([row["name"] for row in comparison["rows"]])
    assert len(set(system_colours([str(k) for k in range(8)]).values())) == 8
    bars = figures_comparison.per_class_f1(comparison).data
    curves = figures_comparison_classes.roc(comparison, contenders)[0][1].data[1:]
    points = figures_comparison.cost(comparison)[0][1].data
    expected = list(palette.values())
    assert [bar.marker.color for bar in bars] == expected
    assert [curve.line.color for curve in curves] == expected
    assert [point.marker.color for point in points] == expected
    assert set(palette) == set(NAMES)


def test_undefined_scores_leave_gaps_instead_of_failing(tmp_path):
    comparison, contenders = compared()
    rows = [dict(row) for row in comparison["rows"]]
    rows[2] |= {"mean": None, "sd": None, "low": None, "high": None, "dev_mean": None}
    del rows[1]["calibration"]
    undefined = {
        "difference": None,
        "low": None,
        "high": None,
        "p": None,
        "p_holm": None,
        "significant": False,
    }
    pairs = [p | undefined if rows[2]["name"] in (p["a"], p["b"]) else p for p in comparison["pairs"]]
    changed = comparison | {"rows": rows, "pairs": pairs, "cliques": []}
    text = write_comparison(tmp_path, changed, contenders, {}).read_text()
    assert "NaN" not in own(text)
    assert [len(figure.data) for _, figure in figures_comparison.cost(changed)] == [2, 2]
    _, grey = pair_matrix(changed).data
    assert grey.text[0][2].startswith("\u2013")
    scaled = [len(figure.data) for _, figure in figures_comparison_classes.reliability(changed, contenders)]
    assert scaled == [3, 2, 3]
