"""Figures every run has: scores beside floors, and learning curves."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from mer_jax.evaluation.additive import LOWER_IS_BETTER
from mer_jax.evaluation.figure_style import (
    FLOOR,
    FLOOR_LABELS,
    FLOOR_SYMBOLS,
    METRIC_LABELS,
    MODEL,
    SECOND,
    legend_below,
    styled,
)

CLASSIFICATION_SCORES = ("accuracy", "balanced_accuracy", "macro_f1", "weighted_f1")
REGRESSION_SCORES = ("mae", "pearson", "ccc")


def scores_beside_floors(content: Mapping[str, Any]) -> go.Figure:
    """Model and floors, one line per score, with their intervals.

    content: metrics.json.
    """
    names = REGRESSION_SCORES if content["task"] == "regression" else CLASSIFICATION_SCORES
    systems = [*content["floors"], None]
    figure = go.Figure()
    for number, floor in enumerate(systems):
        block = content if floor is None else content["floors"][floor]
        scores = block["test"] if floor is None else block
        shown = [name for name in names if scores[name] is not None]
        spread = 0.62 * (number / max(1, len(systems) - 1) - 0.5)
        figure.add_scatter(
            x=[scores[name] for name in shown],
            y=[len(names) - 1 - names.index(name) - spread for name in shown],
            error_x=_error_bars(scores, block["intervals"], shown, floor is None),
            mode="markers",
            name="Model" if floor is None else FLOOR_LABELS.get(floor, floor),
            marker=_marker(floor),
            hovertemplate="%{x:.3f}",
        )
    figure.update_xaxes(title_text="Score on test, with 95 % interval", rangemode="tozero")
    ticks = {"tickvals": [len(names) - 1 - k for k in range(len(names))]}
    figure.update_yaxes(**ticks, ticktext=[_tick(n) for n in names], ticks="", showgrid=False)
    for line in range(1, len(names)):
        figure.add_hline(y=line - 0.5, line={"color": "#e8ebef", "width": 1})
    return styled(
        figure, height=110 + 82 * len(names), legend={**legend_below(-0.2), "traceorder": "reversed"}
    )


def _tick(metric: str) -> str:
    lower = "<br><span style='font-size:11px'>lower is better</span>" if metric in LOWER_IS_BETTER else ""
    return METRIC_LABELS[metric] + lower


def _marker(floor: str | None) -> dict[str, Any]:
    if floor is None:
        return {"color": MODEL, "size": 11, "symbol": "circle"}
    symbol = FLOOR_SYMBOLS.get(floor, "circle-open")
    return {"color": FLOOR, "size": 9, "symbol": symbol, "line": {"width": 2, "color": FLOOR}}


def _error_bars(
    scores: Mapping[str, Any], intervals: Mapping[str, Any], names: Sequence[str], model: bool
) -> dict[str, Any]:
    bounds = [intervals.get(name) or [scores[name]] * 2 for name in names]
    return {
        "type": "data",
        "symmetric": False,
        "array": [high - scores[name] for name, (_, high) in zip(names, bounds, strict=True)],
        "arrayminus": [scores[name] - low for name, (low, _) in zip(names, bounds, strict=True)],
        "color": MODEL if model else "#b9bfc8",
        "thickness": 2.4 if model else 1.4,
        "width": 0,
    }


def learning_curves(epochs: Sequence[Mapping[str, Any]], *, stacked: bool = False) -> go.Figure | None:
    """Loss and dev scores over epochs; several folds as thin lines with their mean.

    epochs: the lines of metrics.jsonl. stacked: one panel above the other, for a narrow
    card. None where there is nothing to draw.
    """
    losses = {"train_loss": ("Train loss", FLOOR), "dev_loss": ("Dev loss", MODEL)}
    scores = {
        "dev_accuracy": ("Dev accuracy", "#AA3377"),
        "dev_balanced_accuracy": ("Dev balanced accuracy", "#117733"),
        "dev_macro_f1": ("Dev macro F1", SECOND),
        "dev_mae": ("Dev MAE", "#AA3377"),
        "dev_ccc": ("Dev CCC", SECOND),
    }
    panels = [_present(epochs, panel) for panel in (losses, scores)]
    panels = [panel for panel in panels if panel]
    if not panels:
        return None
    rows, columns = (len(panels), 1) if stacked else (1, len(panels))
    figure = make_subplots(rows=rows, cols=columns, shared_xaxes=stacked, horizontal_spacing=0.14)
    for number, panel in enumerate(panels, start=1):
        where = {"row": number, "col": 1} if stacked else {"row": 1, "col": number}
        for key, (label, colour) in panel.items():
            _add_curve(figure, where, epochs, key, label, colour)
        title = "Loss" if any(key in losses for key in panel) else "Score"
        figure.update_yaxes(title_text=title, **where)
        if not stacked or number == len(panels):
            figure.update_xaxes(title_text="Epoch", **where)
    return styled(figure, height=430 if stacked else 380, legend=legend_below(-0.18))


def _present(epochs: Sequence[Mapping[str, Any]], panel: Mapping[str, tuple[str, str]]) -> dict[str, Any]:
    return {key: style for key, style in panel.items() if any(line.get(key) is not None for line in epochs)}


def _add_curve(
    figure: go.Figure,
    where: Mapping[str, int],
    epochs: Sequence[Mapping[str, Any]],
    key: str,
    label: str,
    colour: str,
) -> None:
    folds: dict[Any, dict[int, float]] = {}
    for line in epochs:
        if line.get(key) is not None:
            folds.setdefault(line.get("fold", 0), {})[line["epoch"]] = line[key]
    common: dict[str, Any] = {**where, "mode": "lines", "hovertemplate": "%{y:.3f}"}
    if len(folds) > 1:
        for fold, curve in folds.items():
            thin = {"color": colour, "width": 1}
            quiet = {"opacity": 0.25, "showlegend": False, "name": f"{label}, fold {fold}"}
            figure.add_scatter(x=list(curve), y=list(curve.values()), line=thin, **quiet, **common)
    numbers = sorted({epoch for curve in folds.values() for epoch in curve})
    mean = [float(np.mean([curve[e] for curve in folds.values() if e in curve])) for e in numbers]
    thick = {"color": colour, "width": 2.4}
    figure.add_scatter(x=numbers, y=mean, line=thick, name=label, legendgroup=key, **common)
