"""The ranking of a comparison, after the critical-difference diagram (Demsar, JMLR 7, 2006).

Unlike there, the axis is the score itself, with intervals, and every system has a row, so
the bars that join systems not told apart stand upright beside the rows.
"""

import html
from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from mer_jax.evaluation.additive import LOWER_IS_BETTER
from mer_jax.evaluation.comparison import Contender
from mer_jax.evaluation.comparison_tables import interval, mean_and_sd, three
from mer_jax.evaluation.figure_style import (
    FLOOR,
    FLOOR_LABELS,
    FLOOR_SYMBOLS,
    INK,
    METRIC_LABELS,
    legend_below,
    styled,
)
from mer_jax.evaluation.figures_comparison import (
    in_rank_order,
    names_of,
    row_height,
    system_colours,
    whisker,
    wrapped,
)


def ranking(comparison: Mapping[str, Any], contenders: Sequence[Contender]) -> go.Figure:
    """Every system's mean with its interval, its seeds, its floors; bars join the cliques.

    A constant floor or a human ceiling far from everything else is written at the edge
    instead of stretching the axis.
    """
    c, rows = comparison, comparison["rows"]
    figure = go.Figure()
    low, high = _focus(c, contenders)
    _add_floors(figure, c, low, high)
    palette = system_colours(names_of(c))
    for k, (row, contender) in enumerate(zip(rows, in_rank_order(c, contenders), strict=True)):
        _add_system(figure, k, row, _seed_scores(contender, c["metric"]), palette[row["name"]])
    _legend_key(figure, "Mean, 95 % interval", "circle", 11, INK)
    _legend_key(figure, "One seed", "circle", 6, FLOOR)
    columns = _add_cliques(figure, c)
    notes = _add_far_floor(figure, c, low, high)
    notes += _add_ceilings(figure, c, low, high, notes)
    direction = " (lower is better)" if c["metric"] in LOWER_IS_BETTER else ""
    figure.update_xaxes(title_text=f"{METRIC_LABELS[c['metric']]} on test{direction}", range=[low, high])
    labels = [
        f"{wrapped(row['name'], 20)}<br><span style='font-size:11px;color:#5b6472'>{mean_and_sd(row)}</span>"
        for row in rows
    ]
    ticks = {"tickvals": list(range(len(rows))), "ticktext": labels, "ticks": "", "showgrid": False}
    figure.update_yaxes(range=[len(rows) - 0.45, -0.55], **ticks)
    margin = {"l": 64, "r": 22 + 10 * columns, "t": 14 + 20 * notes, "b": 52}
    plot = row_height(labels) * len(rows)
    return styled(figure, height=150 + plot + 20 * notes, margin=margin, legend=legend_below(-75 / plot))


def _seed_scores(contender: Contender, metric: str) -> list[float]:
    scores = [one["test"][metric] for one in contender.metrics]
    return [score for score in scores if score is not None]


def _focus(comparison: Mapping[str, Any], contenders: Sequence[Contender]) -> tuple[float, float]:
    """The axis' range: all systems and their floors, and what lies near those."""
    rows, metric = comparison["rows"], comparison["metric"]
    values = [row[key] for row in rows for key in ("mean", "low", "high", "floor", "linear")]
    values += [score for contender in contenders for score in _seed_scores(contender, metric)]
    known = [value for value in values if value is not None]
    low, high = (min(known), max(known)) if known else (0.0, 1.0)
    near = max(high - low, 0.02) / 2
    others = [row["majority"] for row in rows] + list(comparison["ceilings"].values())
    close = [value for value in others if value is not None and low - near < value < high + near]
    low, high = min([low, *close]), max([high, *close])
    pad = 0.05 * max(high - low, 0.02)
    return low - pad, high + pad


def _add_system(
    figure: go.Figure, k: int, row: Mapping[str, Any], seeds: Sequence[float], colour: str
) -> None:
    quiet = {"showlegend": False, "name": wrapped(row["name"], 40), "mode": "markers"}
    small = {"color": colour, "size": 6, "opacity": 0.4}
    shown = "%{x:.3f}"
    figure.add_scatter(x=seeds, y=[k + 0.24] * len(seeds), marker=small, hovertemplate=shown, **quiet)
    if row["mean"] is None:
        return
    told = f"{three(row['mean'])} ({interval(row)})"
    big = {"color": colour, "size": 12, "line": {"color": "white", "width": 1}}
    figure.add_scatter(
        x=[row["mean"]], y=[k], error_x=whisker(row, colour, 2.6), marker=big, hovertemplate=told, **quiet
    )


def _add_floors(figure: go.Figure, comparison: Mapping[str, Any], low: float, high: float) -> None:
    """Grey marks in the rows: the constant floor, the linear one, and the best where it is another."""
    points: dict[str, list[tuple[float, int]]] = {}
    for k, row in enumerate(comparison["rows"]):
        marks = {_constant(comparison): row["majority"], "linear": row["linear"]}
        marks |= {row["floor_name"]: row["floor"]} if row["floor"] is not None else {}
        for name, value in marks.items():
            if value is not None and low <= value <= high:
                points.setdefault(name, []).append((value, k))
    for name, marked in points.items():
        symbol = FLOOR_SYMBOLS.get(name, "circle-open")
        figure.add_scatter(
            x=[value for value, _ in marked],
            y=[k for _, k in marked],
            mode="markers",
            name=FLOOR_LABELS.get(name, name),
            marker={"symbol": symbol, "size": 10, "color": FLOOR, "line": {"width": 2, "color": FLOOR}},
            hovertemplate="%{x:.3f}",
        )


def _constant(comparison: Mapping[str, Any]) -> str:
    return "majority" if comparison["task"] == "classification" else "mean"


def _legend_key(figure: go.Figure, name: str, symbol: str, size: int, colour: str) -> None:
    marker = {"symbol": symbol, "size": size, "color": colour}
    figure.add_scatter(x=[None], y=[None], mode="markers", name=name, marker=marker)


def _add_cliques(figure: go.Figure, comparison: Mapping[str, Any]) -> int:
    """Thick bars right of the plot, each over the rows it joins; how many columns they need."""
    names = names_of(comparison)
    joined = [names_in for names_in in comparison["cliques"] if len(names_in) > 1]
    for column, clique in enumerate(joined):
        ranks = [names.index(name) for name in clique]
        left = 8 + 10 * column
        figure.add_shape(
            type="rect",
            name=" | ".join(clique),
            xref="paper",
            yref="y",
            xsizemode="pixel",
            xanchor=1,
            x0=left,
            x1=left + 5,
            y0=min(ranks) - 0.3,
            y1=max(ranks) + 0.3,
            fillcolor=INK,
            line={"width": 0},
        )
    if joined:
        _legend_key(figure, "Not told apart (right)", "line-ns", 11, INK)
        figure.data[-1].update(marker={"line": {"width": 5, "color": INK}})
    return len(joined)


def _add_far_floor(figure: go.Figure, comparison: Mapping[str, Any], low: float, high: float) -> int:
    values = {row["majority"] for row in comparison["rows"]} - {None}
    far = sorted(value for value in values if not low <= value <= high)
    if not far:
        return 0
    left = far[0] < low
    shown = " to ".join(dict.fromkeys([three(far[0]), three(far[-1])]))
    label = f"{FLOOR_LABELS[_constant(comparison)].lower()} {shown}"
    _edge_note(figure, label, left, row=0)
    return 1


def _edge_note(figure: go.Figure, label: str, left: bool, row: int) -> None:
    figure.add_annotation(
        text=f"\u25c2 {label}" if left else f"{label} \u25b8",
        xref="paper",
        yref="paper",
        x=0 if left else 1,
        y=1,
        yshift=20 * row,
        xanchor="left" if left else "right",
        yanchor="bottom",
        showarrow=False,
        font={"size": 12, "color": "#5b6472"},
    )


def _add_ceilings(
    figure: go.Figure, comparison: Mapping[str, Any], low: float, high: float, first: int
) -> int:
    """A dashed line each, its label in a row of its own above the plot, from row `first` up."""
    for row, (name, value) in enumerate(comparison["ceilings"].items(), start=first):
        label = f"human ceiling, {html.escape(name, quote=False)} {three(value)}"
        if not low <= value <= high:
            _edge_note(figure, label, value < low, row)
            continue
        figure.add_vline(x=value, line={"color": INK, "width": 1.4, "dash": "dash"})
        figure.add_annotation(
            text=label,
            x=value,
            yref="paper",
            y=1,
            yshift=20 * row,
            xanchor="right" if value > (low + high) / 2 else "left",
            yanchor="bottom",
            showarrow=False,
            font={"size": 12, "color": INK},
        )
    return len(comparison["ceilings"])
