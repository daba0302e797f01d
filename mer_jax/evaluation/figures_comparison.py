"""Figures of a comparison: pairs, scores per class or intensity, cost; and what all of them share.

Every system has one colour in all figures. Figures read comparison.json and, for what it
does not hold (single seeds, curves), the contenders. A `Panel` is one of several small
figures that stand side by side or, on a narrow screen, below each other.
"""

import html
import itertools
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from mer_jax.evaluation.comparison import Contender
from mer_jax.evaluation.comparison_tables import p_value, three
from mer_jax.evaluation.figure_style import INK, METRIC_LABELS, legend_below, styled

Panel = tuple[str, go.Figure]

SYSTEM_COLOURS = ("#0072b2", "#d55e00", "#117733", "#aa4499", "#e0a100", "#56b4e9", "#882255", "#999933")
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "triangle-down", "cross", "star", "hexagon")
BETTER_AND_WORSE = [[0.0, "#e59a6f"], [0.5, "#ffffff"], [1.0, "#7fb2dc"]]
UNSUPPORTED, UNSUPPORTED_TEXT = "#eef0f3", "#7a828e"
TICK_DIGITS = {0.7: range(1, 10), 1.3: (1, 2, 3, 5), 2.4: (1, 2, 5), 4.0: (1, 3), np.inf: (1,)}
COSTS = {
    "parameters": "Parameters",
    "seconds": "Seconds of training per seed",
    "memory_mib": "Memory (MiB)",
}


def system_colours(names: Sequence[str]) -> dict[str, str]:
    """A colour per system, in order of rank; they repeat after eight."""
    return dict(zip(names, itertools.cycle(SYSTEM_COLOURS), strict=False))


def system_symbols(names: Sequence[str]) -> dict[str, str]:
    """A symbol per system, in order of rank; one that repeats a colour has another symbol."""
    count = len(SYMBOLS)
    return {name: SYMBOLS[(k + k // count) % count] for k, name in enumerate(names)}


def names_of(comparison: Mapping[str, Any]) -> list[str]:
    """The systems in order of rank."""
    return [row["name"] for row in comparison["rows"]]


def in_rank_order(comparison: Mapping[str, Any], contenders: Sequence[Contender]) -> list[Contender]:
    """The contenders in the order of the comparison's rows."""
    named = {contender.name: contender for contender in contenders}
    return [named[name] for name in names_of(comparison)]


def wrapped(name: str, width: int) -> str:
    """A name in lines of at most `width` letters where words allow, as a figure's text."""
    return "<br>".join(html.escape(line, quote=False) for line in textwrap.wrap(name, width))


def row_height(labels: Sequence[str]) -> int:
    """Pixels of a row that has room for the longest of its labels, as `wrapped` breaks them."""
    return max(62, 10 + 17 * max(label.count("<br>") + 1 for label in labels))


def pair_matrix(comparison: Mapping[str, Any]) -> go.Figure:
    """Row minus column, oriented so that above 0 the row is better, with Holm's p.

    Coloured where the bootstrap test supports it, grey where it does not.
    """
    names = names_of(comparison)
    n = len(names)
    value: list[list[float | None]] = [[None] * n for _ in names]
    grey: list[list[float | None]] = [[None] * n for _ in names]
    text = [[""] * n for _ in names]
    for pair in comparison["pairs"]:
        if pair["test"] != "bootstrap":
            continue
        a, b = names.index(pair["a"]), names.index(pair["b"])
        for i, j, sign in ((a, b, 1), (b, a, -1)):
            d = None if pair["difference"] is None else sign * pair["difference"]
            (value if pair["significant"] else grey)[i][j] = d or 0.0
            text[i][j] = f"{three(d, '+.3f')}<br><span style='font-size:11px'>{_p(pair['p_holm'])}</span>"
    largest = max([abs(d) for line in value for d in line if d is not None], default=1.0)
    labels = [wrapped(name, 16) for name in names]
    common = {"x": list(range(n)), "y": list(range(n)), "xgap": 2, "ygap": 2, "showscale": False}
    figure = go.Figure()
    for z, scale, ink, kind in (
        (value, BETTER_AND_WORSE, INK, "supported"),
        (grey, [[0, UNSUPPORTED], [1, UNSUPPORTED]], UNSUPPORTED_TEXT, "not supported"),
    ):
        shown = [
            [t if v is not None else "" for t, v in zip(*pair, strict=True)]
            for pair in zip(text, z, strict=True)
        ]
        figure.add_heatmap(
            z=z,
            text=shown,
            texttemplate="%{text}",
            textfont={"size": 13, "color": ink},
            colorscale=scale,
            zmin=-largest,
            zmax=largest,
            name=kind,
            hovertemplate=f"%{{text}} ({kind})<extra></extra>",
            **common,
        )
    ticks = {
        "tickvals": list(range(n)),
        "ticktext": labels,
        "ticks": "",
        "showgrid": False,
        "showline": False,
    }
    figure.update_xaxes(side="top", **ticks)
    figure.update_yaxes(autorange="reversed", **ticks)
    return styled(figure, height=100 + row_height(labels) * n, margin={"l": 64, "r": 12, "t": 60, "b": 8})


def _p(p: float | None) -> str:
    shown = p_value(p)
    return f"p {shown}" if shown.startswith("<") else f"p = {shown}"


def grouped_bars(
    groups: Sequence[str],
    labels: Sequence[str],
    series: Mapping[str, Sequence[Mapping[str, Any]]],
    title: str,
) -> go.Figure:
    """A group of bars each, a bar per system; whiskers are standard deviations over seeds.

    series: system -> its {"mean", "sd"} for every group.
    """
    palette = system_colours(list(series))
    figure = go.Figure()
    for name, statistics in series.items():
        figure.add_bar(
            x=list(range(len(groups))),
            y=[one["mean"] for one in statistics],
            error_y={
                "type": "data",
                "array": [one["sd"] or 0.0 for one in statistics],
                "color": INK,
                "thickness": 1.1,
                "width": 2,
            },
            name=wrapped(name, 40),
            marker={"color": palette[name]},
            hovertemplate="%{y:.3f} ± %{error_y.array:.3f}",
        )
    figure.update_xaxes(tickvals=list(range(len(groups))), ticktext=list(labels), ticks="")
    figure.update_yaxes(title_text=title, rangemode="tozero")
    return styled(figure, height=430, barmode="group", bargap=0.22, legend=legend_below(-0.16))


def per_class_f1(comparison: Mapping[str, Any]) -> go.Figure:
    """F1 of each class, a bar per system."""
    targets, rows = comparison["targets"], comparison["rows"]
    series = {row["name"]: [row["per_class"][name]["f1"] for name in targets] for row in rows}
    support = rows[0]["per_class"]
    labels = [
        f"{wrapped(name, 16)}<br><span style='font-size:11px'>n = {support[name]['support']}</span>"
        for name in targets
    ]
    return grouped_bars(targets, labels, series, "F1 on test")


def per_intensity(comparison: Mapping[str, Any], metric: str) -> go.Figure:
    """One score of each intensity (mae, pearson or ccc), a bar per system."""
    targets, rows = comparison["targets"], comparison["rows"]
    series = {row["name"]: [row["per_name"][name][metric] for name in targets] for row in rows}
    labels = [wrapped(name, 16) for name in targets]
    return grouped_bars(targets, labels, series, f"{METRIC_LABELS[metric]} on test")


def cost(comparison: Mapping[str, Any]) -> list[Panel]:
    """Score over parameters, seconds and memory on a logarithmic axis; what nobody recorded is left out."""
    rows = [row for row in comparison["rows"] if row["mean"] is not None]
    known = {key: [row for row in rows if row["cost"].get(key) is not None] for key in COSTS}
    return [("", _cost(comparison, key, costed)) for key, costed in known.items() if costed]


def _cost(comparison: Mapping[str, Any], key: str, rows: Sequence[Mapping[str, Any]]) -> go.Figure:
    names = names_of(comparison)
    palette, symbols = system_colours(names), system_symbols(names)
    shown = [wrapped(row["name"], 28) for row in rows]
    figure = go.Figure()
    for row, label in zip(rows, shown, strict=True):
        colour = palette[row["name"]]
        figure.add_scatter(
            x=[row["cost"][key]],
            y=[row["mean"]],
            error_y=whisker(row, colour, 1.6),
            mode="markers",
            name=label,
            marker={"color": colour, "size": 11, "symbol": symbols[row["name"]]},
            hovertemplate="%{x:.4~s}, %{y:.3f}",
        )
    _logarithmic(figure, [row["cost"][key] for row in rows], COSTS[key])
    figure.update_yaxes(title_text=f"{METRIC_LABELS[comparison['metric']]} on test")
    return panel_styled(figure, shown)


def whisker(row: Mapping[str, Any], colour: str, thickness: float) -> dict[str, Any]:
    """A row's interval as Plotly's error bar; none where the interval is undefined."""
    low, high = (row["mean"],) * 2 if row["low"] is None else (row["low"], row["high"])
    ends = {"array": [high - row["mean"]], "arrayminus": [row["mean"] - low]}
    return {"type": "data", "symmetric": False, **ends, "color": colour, "thickness": thickness, "width": 0}


def _logarithmic(figure: go.Figure, values: Sequence[float | int], title: str) -> None:
    """A logarithmic axis; the fewer decades, the more digits have ticks."""
    low, high = np.log10(min(values)), np.log10(max(values))
    pad = max(0.08 * (high - low), (0.5 - (high - low)) / 2)
    low, high = low - pad, high + pad
    digits = next(digits for most, digits in TICK_DIGITS.items() if high - low < most)
    decades = range(int(np.floor(low)), int(np.ceil(high)) + 1)
    ticks = [d * 10.0**k for k in decades for d in digits if low <= np.log10(d * 10.0**k) <= high]
    figure.update_xaxes(type="log", title_text=title, range=[low, high], tickvals=ticks, tickformat="~s")


def panel_styled(figure: go.Figure, legend_entries: Sequence[str], plot: int = 250) -> go.Figure:
    """A small figure: `plot` pixels high, with room for its legend below."""
    entries = sum(1 + 0.75 * entry.count("<br>") for entry in legend_entries)
    margin = {"l": 56, "r": 14, "t": 10, "b": round(64 + 20 * entries)}
    legend = {
        "orientation": "v",
        "x": 0,
        "xanchor": "left",
        "y": -58 / plot,
        "yanchor": "top",
        "font": {"size": 12},
    }
    return styled(figure, height=plot + margin["t"] + margin["b"], margin=margin, legend=legend)
