"""Figures of intensities: prediction against truth, and scores per dimension."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from mer_jax.evaluation.figure_style import (
    FLOOR,
    FLOOR_LABELS,
    METRIC_LABELS,
    colours,
    floor_marks,
    legend_below,
    styled,
)
from mer_jax.evaluation.predictions import Predictions

POINTS = 1500


def truth_and_prediction(content: Mapping[str, Any], test: Predictions) -> go.Figure:
    """One panel per intensity; at most 1500 evenly chosen utterances are drawn."""
    names = content["targets"]
    palette = colours(names)
    columns = min(3, len(names))
    rows = math.ceil(len(names) / columns)
    titles = [f"{name} (CCC {_shown(content['test']['per_name'][name]['ccc'])})" for name in names]
    figure = make_subplots(rows=rows, cols=columns, subplot_titles=titles, vertical_spacing=0.2 / rows)
    keep = np.unique(np.linspace(0, len(test) - 1, min(len(test), POINTS)).round().astype(int))
    for k, name in enumerate(names):
        row, column = k // columns + 1, k % columns + 1
        truth, predicted = test.intensities[keep, k], test.predicted_intensities[keep, k]
        marker = {"color": palette[name], "size": 5, "opacity": 0.45}
        figure.add_scatter(
            x=truth, y=predicted, mode="markers", marker=marker, name=name, row=row, col=column
        )
        ends = [float(test.intensities[:, k].min()), float(test.intensities[:, k].max())]
        line = {"color": FLOOR, "width": 1.2, "dash": "dot"}
        figure.add_scatter(x=ends, y=ends, mode="lines", line=line, hoverinfo="skip", row=row, col=column)
        if row == rows or k + columns >= len(names):
            figure.update_xaxes(title_text="Truth", row=row, col=column)
        if column == 1:
            figure.update_yaxes(title_text="Predicted", row=row, col=column)
    figure.update_annotations(font_size=13)
    return styled(figure, height=80 + 300 * rows, showlegend=False, margin={"t": 36})


def per_name(content: Mapping[str, Any], metric: str) -> go.Figure:
    """One score of each intensity, the model as bars and floors as marks."""
    names = content["targets"]
    palette = colours(names)
    figure = go.Figure(
        go.Bar(
            x=names,
            y=[content["test"]["per_name"][name][metric] for name in names],
            marker={"color": [palette[name] for name in names]},
            width=0.62,
            showlegend=False,
            name="Model",
            hovertemplate="%{y:.3f}",
        )
    )
    for floor, scores in content["floors"].items():
        figure.add_scatter(
            x=names,
            y=[scores["per_name"][name][metric] for name in names],
            mode="markers",
            name=FLOOR_LABELS.get(floor, floor),
            marker=floor_marks(floor),
            hovertemplate="%{y:.3f}",
        )
    figure.update_yaxes(title_text=f"{METRIC_LABELS[metric]} on test", rangemode="tozero")
    return styled(figure, legend=legend_below(-0.2))


def sequence(content: Mapping[str, Any], test: Predictions) -> list[tuple[str, go.Figure]]:
    """Every figure with its id, in reading order."""
    return [
        ("truth-and-prediction", truth_and_prediction(content, test)),
        ("per-name-ccc", per_name(content, "ccc")),
        ("per-name-mae", per_name(content, "mae")),
    ]


def _shown(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.3f}"
