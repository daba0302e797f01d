"""Figures of compared systems that attend: score over recovered alignment, one utterance in all of them."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from mer_jax.evaluation.attention_record import Example
from mer_jax.evaluation.comparison import Contender
from mer_jax.evaluation.figure_style import FLOOR, METRIC_LABELS, legend_below, styled
from mer_jax.evaluation.figures_attention import heat_maps
from mer_jax.evaluation.figures_comparison import names_of, system_colours, system_symbols, wrapped

AXIS = "Share of the attention within \N{PLUS-MINUS SIGN}1 word of the true span"


def score_over_alignment(comparison: Mapping[str, Any], contenders: Sequence[Contender]) -> go.Figure:
    """The test score over the share of attention within one word of the true span.

    A large mark is a system's mean with its intervals, a small one a seed; a system without
    attention at known word times is a line across.
    """
    names, metric = names_of(comparison), comparison["metric"]
    palette, symbols = system_colours(names), system_symbols(names)
    scores = {row["name"]: row for row in comparison["rows"] if row["mean"] is not None}
    places = {row["name"]: row for row in comparison["attention"]["rows"]}
    measure, figure = comparison["attention"]["measure"], go.Figure()
    for name, row in scores.items():
        if name not in places:
            note = {"text": wrapped(name, 40), "font": {"size": 11, "color": FLOOR}, "showarrow": False}
            line = {"color": FLOOR, "width": 1, "dash": "dot"}
            figure.add_hline(y=row["mean"], line=line, annotation=note, annotation_position="top left")
    for c in contenders:
        if c.name in places and c.name in scores:
            mark = {"color": palette[c.name], "symbol": symbols[c.name]}
            seeds = [(m["attention"][measure], m["test"][metric]) for m in c.metrics]
            _add_system(figure, c.name, seeds, places[c.name][measure], scores[c.name], mark)
    figure.update_xaxes(title_text=AXIS, range=[-0.02, 1.03], tickformat=".0%")
    figure.update_yaxes(title_text=f"{METRIC_LABELS[metric]} on test")
    return styled(figure, height=520, legend=legend_below(-0.16))


def _add_system(
    figure: go.Figure,
    name: str,
    seeds: Sequence[tuple[float, float]],
    place: Mapping[str, Any],
    score: Mapping[str, Any],
    mark: Mapping[str, Any],
) -> None:
    shown = {"mode": "markers", "hovertemplate": "%{x:.1%}, %{y:.3f}", "name": wrapped(name, 40)}
    x, y = zip(*seeds, strict=True)
    figure.add_scatter(x=x, y=y, marker={**mark, "size": 6, "opacity": 0.4}, showlegend=False, **shown)
    bars = {"color": mark["color"], "thickness": 1.4}
    figure.add_scatter(
        x=[place["mean"]],
        y=[score["mean"]],
        error_x=_bar(place) | bars,
        error_y=_bar(score) | bars,
        marker={**mark, "size": 12},
        **shown,
    )


def _bar(statistic: Mapping[str, Any]) -> dict[str, Any]:
    if statistic["low"] is None:
        return {"visible": False}
    up, down = statistic["high"] - statistic["mean"], statistic["mean"] - statistic["low"]
    return {"type": "data", "symmetric": False, "array": [up], "arrayminus": [down], "width": 0}


def one_utterance(comparison: Mapping[str, Any], contenders: Sequence[Contender]) -> go.Figure | None:
    """The attention of every system, first seed, over one and the same test utterance: of those
    that all of them keep the one with the most words; None where there is no such."""
    records = {c.name: c.attention[0] for c in contenders if c.attention}
    order = [row["name"] for row in comparison["attention"]["rows"]]
    kept = [{e.id: e for e in records[name].examples} for name in order]
    common = set.intersection(*(set(one) for one in kept))
    if not common:
        return None
    chosen = max(sorted(common), key=lambda name: len(kept[0][name].words))
    shown: list[Example] = [
        dataclasses.replace(own[chosen], id=name) for name, own in zip(order, kept, strict=True)
    ]
    return heat_maps(shown, [records[name].rate for name in order])
