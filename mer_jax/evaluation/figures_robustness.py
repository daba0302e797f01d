"""Figures of bad modalities: who is found, what is regenerated, how scores fall."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Bool, Float
from plotly.subplots import make_subplots
from sklearn.metrics import roc_auc_score, roc_curve

from mer_jax.evaluation.figure_style import (
    FAINT,
    FLOOR,
    INK,
    METRIC_LABELS,
    MODEL,
    SECOND,
    legend_below,
    styled,
)
from mer_jax.evaluation.figures_comparison import system_colours, system_symbols

Rows = Sequence[Mapping[str, Any]]
AXES = {
    "snr_db": "Signal-to-noise ratio, dB",
    "share_missing": "Share of test utterances that lack a modality",
}


def area(rows: Rows) -> float:
    """Mean score under one curve: the trapezoids of (x, mean) over the range of x."""
    points = sorted((row["x"], row["mean"]) for row in rows)
    x, y = np.array(points).T
    return float(np.trapezoid(y, x) / (x[-1] - x[0])) if x[-1] > x[0] else float(y.mean())


def curves_figure(rows: Rows) -> go.Figure:
    """Score over the corruption's strength, a line for each system.

    rows: `system, axis, x, metric, mean, sd`, of one axis.
    """
    names = list(dict.fromkeys(row["system"] for row in rows))
    palette, symbols, figure = system_colours(names), system_symbols(names), go.Figure()
    for name in names:
        own = sorted((row for row in rows if row["system"] == name), key=lambda row: row["x"])
        figure.add_scatter(
            x=[row["x"] for row in own],
            y=[row["mean"] for row in own],
            error_y={"array": [row["sd"] or 0 for row in own], "thickness": 1.2, "width": 0},
            mode="lines+markers",
            name=f"{name}: {area(own):.3f}",
            line={"color": palette[name], "width": 2.5},
            marker={"symbol": symbols[name], "size": 9},
            hovertemplate="%{x}: %{y:.3f}",
        )
    axis = rows[0]["axis"]
    ticks = sorted({row["x"] for row in rows})
    figure.update_xaxes(title_text=AXES[axis], tickvals=ticks, tickformat=".0%" if axis != "snr_db" else "")
    if axis == "snr_db":
        figure.update_xaxes(autorange="reversed")
    figure.update_yaxes(title_text=f"{METRIC_LABELS[rows[0]['metric']]} on test")
    return styled(figure, 420, legend=legend_below(-0.22), showlegend=True)


def regenerated_figure(
    clean: Mapping[str, Float[np.ndarray, "_time _dim"]],
    corrupted: Mapping[str, Float[np.ndarray, "_time _dim"]],
    proxies: Mapping[str, Float[np.ndarray, "_time _dim"]],
    errors: Mapping[str, tuple[float, float]],
) -> go.Figure:
    """One utterance's features as they were, after the noise, and regenerated (Mittal et al., figure 7).

    All three: modality -> frames, laid end to end. errors: the relative L2 errors (noise, proxies) over all
    test utterances that were corrupted.
    """
    names = list(clean)
    titles = [
        f"{name}: |noisy - clean| / |clean| = {errors[name][0]:.2f}, regenerated {errors[name][1]:.2f}"
        for name in names
    ]
    figure = make_subplots(rows=len(names), cols=1, subplot_titles=titles, vertical_spacing=0.3 / len(names))
    lines = [
        ("with noise", corrupted, {"color": SECOND, "width": 1}, 0.45),
        ("original", clean, {"color": INK, "width": 2}, 1.0),
        ("regenerated", proxies, {"color": "#1b9e5a", "width": 1.6}, 1.0),
    ]
    for row, name in enumerate(names, start=1):
        for label, features, line, opacity in lines:
            values = features[name].ravel()
            figure.add_scatter(
                x=np.arange(len(values)),
                y=values,
                mode="lines",
                name=label,
                legendgroup=label,
                showlegend=row == 1,
                line=line,
                opacity=opacity,
                hoverinfo="skip",
                row=row,
                col=1,
            )
        spread = float(np.abs(np.concatenate([clean[name].ravel(), proxies[name].ravel()])).max())
        figure.update_yaxes(title_text="value", range=[-1.8 * spread, 1.8 * spread], row=row, col=1)
    figure.update_xaxes(title_text="feature, frame after frame", row=len(names), col=1)
    figure.update_annotations(font_size=13)
    return styled(
        figure,
        150 + 190 * len(names),
        margin={"l": 64, "r": 20, "t": 34, "b": 90},
        legend=legend_below(-0.12),
    )


def detector_figure(
    scores: Float[np.ndarray, "samples modalities"],
    truth: Bool[np.ndarray, "samples modalities"],
    chosen: Bool[np.ndarray, "samples modalities"],
    names: Sequence[str],
) -> go.Figure:
    """The check's ROC for each modality against the known corruption, and where its tau lies."""
    figure, palette = go.Figure(), system_colours(list(names))
    figure.add_scatter(
        x=[0, 1],
        y=[0, 1],
        mode="lines",
        line={"color": FAINT, "dash": "dot"},
        showlegend=False,
        hoverinfo="skip",
    )
    for k, name in enumerate(names):
        if truth[:, k].all() or not truth[:, k].any():
            continue
        false_alarms, hits, _ = roc_curve(truth[:, k], scores[:, k])
        label = f"{name}: AUC {roc_auc_score(truth[:, k], scores[:, k]):.3f}"
        line = {"color": palette[name], "width": 2.5}
        figure.add_scatter(x=false_alarms, y=hits, mode="lines", name=label, line=line)
        at = [chosen[~truth[:, k], k].mean()], [chosen[truth[:, k], k].mean()]
        mark = {"color": palette[name], "size": 11, "line": {"color": "white", "width": 1.5}}
        figure.add_scatter(
            x=at[0], y=at[1], mode="markers", marker=mark, showlegend=False, name=f"{name}: tau"
        )
    figure.update_xaxes(title_text="Good ones rejected", range=[-0.02, 1.02])
    figure.update_yaxes(title_text="Bad ones rejected", range=[-0.02, 1.02])
    return styled(figure, 420, legend=legend_below(-0.22), showlegend=True)


def beta_figure(rows: Rows, threshold: float, chance: float) -> go.Figure:
    """Score over beta with and without the gradient through the multiplicative loss's weights.

    rows: `stop_gradient, beta, metric, mean, sd`. threshold: (M - 1) / ln K, from which on the gradient at a
    uniform start drives the true class down. chance: the majority's score.
    """
    figure = go.Figure()
    for stopped, name, colour in (
        (True, "weights constant", MODEL),
        (False, "gradient through the weights", SECOND),
    ):
        own = sorted((row for row in rows if row["stop_gradient"] == stopped), key=lambda row: row["beta"])
        figure.add_scatter(
            x=[row["beta"] for row in own],
            y=[row["mean"] for row in own],
            error_y={"array": [row["sd"] or 0 for row in own], "thickness": 1.2, "width": 0},
            mode="lines+markers",
            name=name,
            line={"color": colour, "width": 2.5},
            marker={"size": 8},
        )
    note = {"text": f"(M - 1) / ln K = {threshold:.2f}", "font": {"size": 12, "color": FLOOR}}
    figure.add_vline(x=threshold, line={"color": FLOOR, "dash": "dash", "width": 1.2}, annotation=note)
    floor = {"text": "majority class", "font": {"size": 12, "color": FLOOR}}
    figure.add_hline(y=chance, line={"color": FLOOR, "dash": "dot", "width": 1.2}, annotation=floor)
    figure.update_xaxes(title_text="beta")
    figure.update_yaxes(title_text=f"{METRIC_LABELS[rows[0]['metric']]} on test")
    return styled(figure, 420, legend=legend_below(-0.22), showlegend=True)
