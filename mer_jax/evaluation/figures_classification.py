"""Figures of a classifier: confusion, per-class F1, ROC, precision-recall, reliability."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
import sklearn.metrics as skm
from plotly.subplots import make_subplots

from mer_jax.evaluation.figure_style import (
    BLUES,
    FAINT,
    FLOOR,
    FLOOR_LABELS,
    INK,
    SECOND,
    colours,
    floor_marks,
    legend_below,
    styled,
)
from mer_jax.evaluation.metrics import ECE_BINS, calibration_bin
from mer_jax.evaluation.predictions import Predictions

CURVE_POINTS = 400


def confusion(content: Mapping[str, Any]) -> go.Figure:
    """Counts and row shares; row = truth, column = prediction. content: metrics.json."""
    names = content["targets"]
    counts = np.array(content["test"]["confusion"])
    rows = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, rows, out=np.zeros(counts.shape), where=rows > 0)
    text = [
        [f"<b>{c}</b><br>{s:.0%}" for c, s in zip(*pair, strict=True)]
        for pair in zip(counts, shares, strict=True)
    ]
    figure = go.Figure(
        go.Heatmap(
            z=shares.tolist(),
            x=names,
            y=names,
            text=text,
            texttemplate="%{text}",
            textfont={"size": 12},
            colorscale=BLUES,
            zmin=0,
            zmax=1,
            xgap=2,
            ygap=2,
            showscale=False,
            hovertemplate="truth %{y}, predicted %{x}: %{text}<extra></extra>",
        )
    )
    figure.update_xaxes(title_text="Predicted", showgrid=False, ticks="")
    figure.update_yaxes(title_text="Truth", showgrid=False, ticks="", autorange="reversed")
    return styled(figure, height=_matrix_height(names))


def per_class_f1(content: Mapping[str, Any]) -> go.Figure:
    """F1 of each class, the model as bars and floors as marks. content: metrics.json."""
    names = content["targets"]
    per_class = content["test"]["per_class"]
    palette = colours(names)
    labels = [
        f"{name}<br><span style='font-size:11px'>n = {per_class[name]['support']}</span>" for name in names
    ]
    figure = go.Figure(
        go.Bar(
            x=labels,
            y=[per_class[name]["f1"] for name in names],
            marker={"color": [palette[name] for name in names]},
            width=0.62,
            name="Model",
            showlegend=False,
            hovertemplate="%{y:.3f}",
        )
    )
    for floor, scores in content["floors"].items():
        if floor == "prior":
            continue
        figure.add_scatter(
            x=labels,
            y=[scores["per_class"][name]["f1"] for name in names],
            mode="markers",
            name=FLOOR_LABELS.get(floor, floor),
            marker=floor_marks(floor),
            hovertemplate="%{y:.3f}",
        )
    figure.update_yaxes(title_text="F1 on test", range=[0, 1])
    return styled(figure, height=_matrix_height(names), legend=legend_below(-0.18))


def _matrix_height(names: Sequence[str]) -> int:
    return max(400, 130 + 54 * len(names))


def roc(content: Mapping[str, Any], test: Predictions) -> go.Figure:
    """Micro-averaged and per-class ROC curves."""
    figure = go.Figure()
    _diagonal(figure)
    hits = np.eye(len(content["targets"]), dtype=bool)[test.labels]
    if content["test"]["roc_auc_micro"] is not None:
        x, y, _ = skm.roc_curve(hits.ravel(), test.probabilities.ravel())
        _curve(figure, x, y, f"Micro {content['test']['roc_auc_micro']:.3f}", INK, 3.2)
    for name, k, colour, row in _drawable(content, "roc_auc"):
        x, y, _ = skm.roc_curve(hits[:, k], test.probabilities[:, k])
        _curve(figure, x, y, f"{name} {row['roc_auc']:.3f}", colour, 1.8)
    figure.update_xaxes(title_text="False positive rate", range=[-0.01, 1.01])
    figure.update_yaxes(title_text="True positive rate", range=[-0.01, 1.01])
    return styled(figure, height=430, legend=_beside())


def precision_recall(content: Mapping[str, Any], test: Predictions) -> go.Figure:
    """Per-class precision over recall, as the steps that average precision sums."""
    figure = go.Figure()
    for name, k, colour, row in _drawable(content, "average_precision"):
        precision, recall, _ = skm.precision_recall_curve(test.labels == k, test.probabilities[:, k])
        label = f"{name} {row['average_precision']:.3f}"
        _curve(figure, recall[::-1], precision[::-1], label, colour, 1.8, shape="vh")
    figure.update_xaxes(title_text="Recall", range=[-0.01, 1.01])
    figure.update_yaxes(title_text="Precision", range=[-0.01, 1.02])
    return styled(figure, height=430, legend=_beside())


def reliability(test: Predictions) -> go.Figure:
    """Accuracy over confidence in the bins of the calibration error, and how full they are."""
    confidence = test.probabilities.max(axis=1).astype(float)
    correct = test.probabilities.argmax(axis=1) == test.labels
    which = calibration_bin(confidence)
    counts = np.bincount(which, minlength=ECE_BINS)
    full = np.flatnonzero(counts)
    accuracy = np.bincount(which, correct, ECE_BINS)[full] / counts[full]
    mean = np.bincount(which, confidence, ECE_BINS)[full] / counts[full]
    centre = (full + 0.5) / ECE_BINS
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, row_heights=[0.76, 0.24], vertical_spacing=0.05)
    bars = {"width": 0.92 / ECE_BINS, "showlegend": False}
    figure.add_bar(x=centre, y=accuracy, marker={"color": "#a9c3de"}, row=1, col=1, name="Accuracy", **bars)
    _diagonal(figure, row=1, col=1)
    marks = {"mode": "markers", "marker": {"color": SECOND, "size": 8}, "name": "Mean confidence"}
    figure.add_scatter(x=mean, y=accuracy, **marks, showlegend=False, row=1, col=1)
    figure.add_bar(x=centre, y=counts[full], marker={"color": FAINT}, row=2, col=1, name="Utterances", **bars)
    figure.update_yaxes(title_text="Accuracy", range=[0, 1.02], row=1, col=1)
    figure.update_yaxes(title_text="Count", row=2, col=1, nticks=3)
    figure.update_xaxes(range=[0, 1], row=1, col=1)
    figure.update_xaxes(title_text="Confidence (highest probability)", range=[0, 1], row=2, col=1)
    return styled(figure, height=430)


def _drawable(content: Mapping[str, Any], key: str) -> list[tuple[str, int, str, Mapping[str, Any]]]:
    palette = colours(content["targets"])
    rows = [(name, k, content["test"]["per_class"][name]) for k, name in enumerate(content["targets"])]
    return [(name, k, palette[name], row) for name, k, row in rows if row[key] is not None]


def _curve(
    figure: go.Figure,
    x: np.ndarray,
    y: np.ndarray,
    name: str,
    colour: str,
    width: float,
    shape: str = "linear",
) -> None:
    keep = np.unique(np.linspace(0, len(x) - 1, min(len(x), CURVE_POINTS)).round().astype(int))
    line = {"color": colour, "width": width, "shape": shape}
    figure.add_scatter(x=x[keep], y=y[keep], mode="lines", name=name, line=line, hovertemplate="%{y:.3f}")


def _diagonal(figure: go.Figure, **where: int) -> None:
    line = {"color": FLOOR, "width": 1.2, "dash": "dot"}
    figure.add_scatter(
        x=[0, 1], y=[0, 1], mode="lines", line=line, showlegend=False, hoverinfo="skip", **where
    )


def _beside() -> dict[str, Any]:
    return {"x": 1.02, "xanchor": "left", "y": 1, "yanchor": "top"}


def sequence(content: Mapping[str, Any], test: Predictions) -> Sequence[tuple[str, go.Figure]]:
    """Every figure with its id, in reading order."""
    return [
        ("confusion", confusion(content)),
        ("per-class", per_class_f1(content)),
        ("roc", roc(content, test)),
        ("precision-recall", precision_recall(content, test)),
        ("reliability", reliability(test)),
    ]
