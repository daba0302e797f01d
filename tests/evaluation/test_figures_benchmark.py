"""The page of a benchmark: slopes, lines, tables, and what was left out."""

import re

import numpy as np
import pytest

from mer_jax.evaluation.figures_benchmark import against_length, benchmark_page, fitted_slope


def row(implementation, m, milliseconds, mib=2.0, alignment="sliding_window_64", **more):
    return {
        "case": f"square_{m} dot {alignment} float32",
        "implementation": implementation,
        "pass": "forward",
        "median_ms": milliseconds,
        "spread_ms": 0.1,
        "compile_ms": 0.0,
        "peak_mib": mib,
        "ratio": 1.0,
        "default": implementation == "mer_jax xla",
        "shape": f"square_{m}",
        "batch": 8,
        "m": m,
        "n": m,
        "d": 64,
        "score": "dot",
        "alignment": alignment,
        "dtype": "float32",
    } | more


ROWS = [
    row(name, m, scale * m**power)
    for name, scale, power in (("mer_jax xla", 0.01, 1), ("<peer>", 0.001, 2))
    for m in (256, 1024, 4096)
]


def result(rows, **more):
    return {
        "device": "2 x <cpu>",
        "versions": {"jax": "0"},
        "commit": "",
        "command": "python -m x",
        "threads": 2,
        "host_memory": "given_back",
        "rows": rows,
        "targets": [],
        "left_out": [],
        "peers": {},
        "shapes": {},
    } | more


@pytest.mark.parametrize("power", [0.0, 1.0, 2.0])
def test_the_slope_is_the_exponent(power):
    lengths = [1024, 2048, 4096, 8192]
    values = [3 * x**power for x in lengths]
    assert fitted_slope(lengths, values) == pytest.approx(power, abs=1e-9)


def test_the_slope_is_that_of_long_calls_where_there_are_two():
    lengths, values = [64, 256, 1024, 4096], [9.0, 9.0, 1.0, 4.0]
    assert fitted_slope(lengths, values) == pytest.approx(1)
    expected = np.polyfit(np.log([64, 256, 1024]), np.log([9.0, 9.0, 1.0]), 1)[0]
    assert fitted_slope(lengths[:3], values[:3]) == pytest.approx(expected)


def test_without_two_lengths_there_is_no_slope():
    assert fitted_slope([1024], [1.0]) is None
    assert fitted_slope([1024, 2048], [0.0, 1.0]) is None


def test_every_implementation_has_a_line_with_its_slope():
    figure = against_length(ROWS, "median_ms")
    assert [trace.name for trace in figure.data] == ["mer_jax xla: slope 1.00", "<peer>: slope 2.00"]
    assert (figure.layout.xaxis.type, figure.layout.yaxis.type) == ("log", "log")
    np.testing.assert_allclose(figure.data[0].y, [2.56, 10.24, 40.96])
    low, high = figure.layout.yaxis.range
    assert low <= np.log10(2.56)
    assert high >= np.log10(0.001 * 4096**2)


def test_several_windows_have_a_line_each():
    rows = [
        row("mer_jax xla", m, m * 0.01, alignment=a) for m in (1024, 2048) for a in ("global", "local_m_8")
    ]
    names = [trace.name.partition(":")[0] for trace in against_length(rows, "median_ms").data]
    assert names == ["mer_jax xla, global", "mer_jax xla, local m 8"]


def test_an_implementation_keeps_its_colour_where_another_has_no_value():
    """Memory of 0 or unknown has no place on a logarithmic axis, and shifts no colour."""
    rows = [row("mer_jax native", m, 1.0, mib=None) for m in (256, 512)]
    rows += [row("mer_jax xla", m, 1.0, mib=m) for m in (256, 512)]
    time, memory = against_length(rows, "median_ms"), against_length(rows, "peak_mib")
    assert [trace.name for trace in memory.data] == ["mer_jax xla: slope 1.00"]
    assert memory.data[0].line.color == time.data[1].line.color != time.data[0].line.color


def test_the_page_shows_targets_rows_and_who_is_missing():
    targets = [
        {"what": "faster", "bound": ">= 3 x", "measured": 4.0, "unit": "x", "met": True},
        {"what": "smaller", "bound": "<= 3 MiB", "measured": 4.0, "unit": "MiB", "met": False},
        {"what": "unknown", "bound": ">= 3 x", "measured": None, "unit": "x", "met": None},
    ]
    left_out = [{"implementation": "<peer>", "why": "it is <not> here", "cases": ["one", "two"]}]
    page = benchmark_page(
        "A title", result(ROWS, targets=targets, left_out=left_out, peers={"<peer>": "a & b"})
    )
    words = re.findall(r"<span class='severity ?(\w*)'>(.*?)</span>", page)
    assert words == [("ok", "met"), ("error", "not met"), ("", "not measured")]
    assert page.count("<tr class='model'>") == 3
    assert "it is &lt;not&gt; here" in page
    assert "a &amp; b" in page
    assert "<peer>" not in page.partition("<script id='drawings'>")[0].partition("</script>")[2]
    assert re.findall(r"<section id='([\w-]+)'", page) == [
        "targets", "dot-forward-median-ms", "dot-forward-peak-mib", "rows", "left-out", "peers", "made",
    ]  # fmt: skip


def test_one_length_gives_a_table_and_no_figure():
    page = benchmark_page("A title", result(ROWS[:1]))
    assert re.findall(r"<section id='([\w-]+)'", page) == ["rows", "made"]
    assert "Plotly.newPlot" not in page.rpartition("<script id='drawings'>")[2]
