"""Figures of compared classifiers: confusion, ROC, precision-recall, reliability.

Curves are drawn from the test rows of all seeds pooled; the numbers in the legends are means
over seeds, as comparison.json has them.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
import sklearn.metrics as skm

from mer_jax.evaluation.calibration import scaled
from mer_jax.evaluation.comparison import Contender
from mer_jax.evaluation.comparison_tables import mean_and_sd, three
from mer_jax.evaluation.figure_style import BLUES, FLOOR, INK
from mer_jax.evaluation.figures_comparison import (
    Panel,
    in_rank_order,
    names_of,
    panel_styled,
    system_colours,
    wrapped,
)
from mer_jax.evaluation.metrics import ECE_BINS, calibration_bin
from mer_jax.evaluation.predictions import Predictions

CURVE_POINTS = 250
FEW_ROWS = 10
Curve = tuple[np.ndarray, np.ndarray]


def pooled(contender: Contender) -> Predictions:
    """The test rows of all seeds, one after the other."""
    return Predictions.concatenate([rows.part("test") for rows in contender.predictions])


def confusion(comparison: Mapping[str, Any]) -> list[Panel]:
    """A panel per system: the share of each true class (row), summed over seeds."""
    names = comparison["targets"]
    labels = [wrapped(name, 12) for name in names]
    panels = []
    for row in comparison["rows"]:
        counts = np.array(row["confusion"])
        total = counts.sum(axis=1, keepdims=True)
        shares = np.divide(counts, total, out=np.zeros(counts.shape), where=total > 0)
        heat = go.Heatmap(
            z=shares.tolist(),
            x=labels,
            y=labels,
            customdata=counts.tolist(),
            text=[[f"{100 * share:.0f}" for share in line] for line in shares],
            texttemplate="%{text}",
            textfont={"size": 13 if len(names) < 6 else 11},
            colorscale=BLUES,
            zmin=0,
            zmax=1,
            xgap=2,
            ygap=2,
            showscale=False,
            hovertemplate="truth %{y}, predicted %{x}: %{customdata}, %{z:.1%}<extra></extra>",
        )
        figure = panel_styled(go.Figure(heat), [], plot=max(220, 60 + 34 * len(names)))
        figure.update_xaxes(title_text="Predicted", showgrid=False, ticks="", tickfont={"size": 11.5})
        figure.update_yaxes(title_text="Truth", showgrid=False, ticks="", autorange="reversed")
        figure.update_yaxes(tickfont={"size": 11.5})
        panels.append((row["name"], figure))
    return panels


def roc(comparison: Mapping[str, Any], contenders: Sequence[Contender]) -> list[Panel]:
    """All (row, class) pairs as one problem first, then one class against the rest each."""
    pool = {one.name: pooled(one) for one in in_rank_order(comparison, contenders)}
    micro = {row["name"]: row["metrics"]["roc_auc_micro"] for row in comparison["rows"]}
    curves = {
        name: _roc(_one_hot(rows).ravel(), rows.probabilities.ravel())
        for name, rows in pool.items()
        if micro[name]["mean"] is not None
    }
    panels = [("All classes, micro-averaged", _curves(comparison, curves, micro, _chance_diagonal))]
    for k, name in _drawable(comparison, "roc_auc"):
        area = {row["name"]: row["per_class"][name]["roc_auc"] for row in comparison["rows"]}
        curves = {system: _roc(rows.labels == k, rows.probabilities[:, k]) for system, rows in pool.items()}
        panels.append((name, _curves(comparison, curves, area, _chance_diagonal)))
    for _, figure in panels:
        figure.update_xaxes(title_text="False positive rate", range=[-0.01, 1.01])
        figure.update_yaxes(title_text="True positive rate", range=[-0.01, 1.01])
    return panels


def precision_recall(comparison: Mapping[str, Any], contenders: Sequence[Contender]) -> list[Panel]:
    """A panel per class, as the steps that average precision sums; dotted: the class's share."""
    pool = {one.name: pooled(one) for one in in_rank_order(comparison, contenders)}
    panels = []
    for k, name in _drawable(comparison, "average_precision"):
        area = {row["name"]: row["per_class"][name]["average_precision"] for row in comparison["rows"]}
        curves = {}
        for system, rows in pool.items():
            precision, recall, _ = skm.precision_recall_curve(rows.labels == k, rows.probabilities[:, k])
            curves[system] = (recall[::-1], precision[::-1])
        share = comparison["rows"][0]["per_class"][name]["support"] / comparison["test_n"]
        figure = _curves(comparison, curves, area, _share_line(share), shape="vh")
        figure.update_xaxes(title_text="Recall", range=[-0.01, 1.01])
        figure.update_yaxes(title_text="Precision", range=[-0.01, 1.02])
        panels.append((name, figure))
    return panels


def _one_hot(rows: Predictions) -> np.ndarray:
    return np.eye(rows.probabilities.shape[1], dtype=bool)[rows.labels]


def _roc(hit: np.ndarray, score: np.ndarray) -> Curve:
    false_positive, true_positive, _ = skm.roc_curve(hit, score)
    return false_positive, true_positive


def _drawable(comparison: Mapping[str, Any], key: str) -> list[tuple[int, str]]:
    """Number and name of the classes whose area is defined for every system."""
    return [
        (k, name)
        for k, name in enumerate(comparison["targets"])
        if all(row["per_class"][name][key]["mean"] is not None for row in comparison["rows"])
    ]


def _curves(
    comparison: Mapping[str, Any],
    curves: Mapping[str, Curve],
    areas: Mapping[str, Mapping[str, Any]],
    reference: Callable[[go.Figure], None],
    shape: str = "linear",
) -> go.Figure:
    palette = system_colours(names_of(comparison))
    figure = go.Figure()
    reference(figure)
    shown = {name: f"{mean_and_sd(areas[name])} {wrapped(name, 20)}" for name in curves}
    for name, (x, y) in curves.items():
        keep = np.unique(np.linspace(0, len(x) - 1, min(len(x), CURVE_POINTS)).round().astype(int))
        figure.add_scatter(
            x=x[keep].astype(np.float32),
            y=y[keep].astype(np.float32),
            mode="lines",
            name=shown[name],
            line={"color": palette[name], "width": 2, "shape": shape},
            hovertemplate="%{y:.3f}",
        )
    return panel_styled(figure, list(shown.values()))


def _chance_diagonal(figure: go.Figure) -> None:
    _dotted(figure, [0.0, 1.0], [0.0, 1.0])


def _share_line(share: float) -> Callable[[go.Figure], None]:
    return lambda figure: _dotted(figure, [0.0, 1.0], [share, share])


def _dotted(figure: go.Figure, x: Sequence[float], y: Sequence[float]) -> None:
    line = {"color": FLOOR, "width": 1.2, "dash": "dot"}
    figure.add_scatter(x=x, y=y, mode="lines", line=line, showlegend=False, hoverinfo="skip")


def reliability(comparison: Mapping[str, Any], contenders: Sequence[Contender]) -> list[Panel]:
    """A panel per system: accuracy over confidence, as trained and after temperature scaling.

    Points are the bins of the calibration error, larger where more rows are in them; bins
    of fewer than 10 rows are left out.
    """
    palette = system_colours(names_of(comparison))
    panels = []
    for row, contender in zip(comparison["rows"], in_rank_order(comparison, contenders), strict=True):
        figure = go.Figure()
        _chance_diagonal(figure)
        numbers = row.get("calibration")
        error = mean_and_sd(numbers["ece"] if numbers else row["metrics"]["ece"])
        name = f"As trained: ECE {error}"
        _add_reliability(figure, pooled(contender), name, palette[row["name"]], "circle")
        if numbers:
            after = Predictions.concatenate([scaled(rows).part("test") for rows in contender.predictions])
            temperature = three(numbers["temperature"]["mean"], ".2f")
            name = f"Scaled, T = {temperature}: ECE {mean_and_sd(numbers['ece_scaled'])}"
            _add_reliability(figure, after, name, INK, "diamond-open")
        figure.update_xaxes(title_text="Confidence (highest probability)", range=[0, 1.04])
        figure.update_yaxes(title_text="Accuracy", range=[-0.02, 1.06])
        panels.append((row["name"], panel_styled(figure, ["As trained", "Scaled"])))
    return panels


def _add_reliability(figure: go.Figure, rows: Predictions, name: str, colour: str, symbol: str) -> None:
    confidence = rows.probabilities.max(axis=1).astype(np.float64)
    correct = rows.probabilities.argmax(axis=1) == rows.labels
    which = calibration_bin(confidence)
    counts = np.bincount(which, minlength=ECE_BINS)
    full = np.flatnonzero(counts >= min(FEW_ROWS, counts.max()))
    accuracy = np.bincount(which, correct, ECE_BINS)[full] / counts[full]
    mean = np.bincount(which, confidence, ECE_BINS)[full] / counts[full]
    size = 4 + 9 * np.sqrt(counts[full] / counts.max())
    figure.add_scatter(
        x=mean,
        y=accuracy,
        customdata=counts[full] / len(rows),
        mode="lines+markers",
        name=name,
        line={"color": colour, "width": 1.4},
        marker={"color": colour, "size": size, "symbol": symbol, "line": {"width": 1.6, "color": colour}},
        hovertemplate="%{y:.3f} at %{x:.3f}, %{customdata:.1%} of rows",
    )
