"""A benchmark as a page: time and memory against length, with the slope of each line."""

import html
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from mer_jax.evaluation.figure_style import FLOOR, MODEL, legend_below, styled
from mer_jax.evaluation.report_page import Section, filled, page

Rows = Sequence[Mapping[str, Any]]
FITTED_FROM = 1024  # shorter calls are mostly overhead
QUANTITIES = {"median_ms": ("time", "ms"), "peak_mib": ("extra memory at the peak", "MiB")}
PEER_COLOURS = ("#d55e00", "#117733", "#aa4499", "#e0a100", "#56b4e9", "#882255", "#44aa99", "#999933")
OWN_COLOURS = (MODEL, "#0072b2", "#6b9ac4")
DASHES = ("solid", "dash", "dot", "dashdot", "longdash")


def fitted_slope(lengths: Sequence[int | float], values: Sequence[int | float]) -> float | None:
    """b of value = a length^b, by least squares on the logarithms, from 1024 on where two lengths
    are that long, else of all; None for fewer than two lengths or a value of 0."""
    points = [(x, y) for x, y in zip(lengths, values, strict=True) if x >= FITTED_FROM]
    points = points if len(points) > 1 else list(zip(lengths, values, strict=True))
    if len({x for x, _ in points}) < 2 or min(y for _, y in points) <= 0:
        return None
    logarithms = np.log(np.asarray(points, np.float64))
    return float(np.polyfit(logarithms[:, 0], logarithms[:, 1], 1)[0])


def against_length(rows: Rows, quantity: str, length: str = "length, m = n") -> go.Figure:
    """One line for each implementation (and alignment and type, where there are several); log-log."""
    figure, groups = go.Figure(), _lines(rows, quantity)
    owns = [label for label in groups if label.startswith("mer_jax")]
    others = [label for label in groups if label not in owns]
    for label, points in groups.items():
        if not points:
            continue
        lengths, values = zip(*sorted(points), strict=True)
        slope = fitted_slope(lengths, values)
        own = label in owns
        place = (owns if own else others).index(label)
        colours = OWN_COLOURS if own else PEER_COLOURS
        figure.add_scatter(
            x=lengths,
            y=values,
            mode="lines+markers",
            name=label if slope is None else f"{label}: slope {round(slope, 2) + 0.0:.2f}",
            line={
                "color": colours[place % len(colours)],
                "width": 3 if own else 1.8,
                "dash": DASHES[place // len(colours) % len(DASHES)],
            },
            marker={"size": 8 if own else 6},
            hovertemplate=f"{html.escape(label)}<br>length %{{x}}: %{{y:.4g}} {QUANTITIES[quantity][1]}<extra></extra>",
        )
    name, unit = QUANTITIES[quantity]
    ticks = sorted({row["m"] for row in rows})
    figure.update_xaxes(type="log", title_text=length, tickvals=ticks, ticktext=[str(t) for t in ticks])
    figure.update_yaxes(type="log", title_text=f"{name}, {unit}", **_decades(groups))
    rows_of_legend = math.ceil(len(groups) / 2)
    margin = {"l": 64, "r": 20, "t": 12, "b": 70 + 22 * rows_of_legend}
    height = 380 + 22 * rows_of_legend
    return styled(figure, height, margin=margin, legend=legend_below(-0.2), showlegend=True)


def _lines(rows: Rows, quantity: str) -> dict[str, list[tuple[int, Any]]]:
    """Points of every line, without values of 0, which have no place on a logarithmic axis."""
    several = {field for field in ("alignment", "dtype") if len({row.get(field) for row in rows}) > 1}
    groups: dict[str, list[tuple[int, Any]]] = {}
    for row in rows:
        words = [row[field].replace("_", " ") for field in ("alignment", "dtype") if field in several]
        points = groups.setdefault(", ".join([row["implementation"], *words]), [])
        if row[quantity]:
            points.append((row["m"], row[quantity]))
    return groups


def _decades(groups: Mapping[str, Sequence[tuple[int, Any]]]) -> dict[str, Any]:
    """Ticks at powers of ten over all values, and a range that holds them."""
    values = [value for points in groups.values() for _, value in points]
    low = math.floor(math.log10(min(values))) if values else 0
    high = math.ceil(math.log10(max(values))) if values else 1
    ticks = [10.0**k for k in range(low, max(high, low + 1) + 1)]
    return {"tickvals": ticks, "ticktext": [f"{t:g}" for t in ticks], "range": [low, max(high, low + 1)]}


def growing(rows: Rows) -> list[Section]:
    """Time against the number of rows, n, of each thing done."""
    figure = against_length([{**row, "m": row["n"]} for row in rows], "median_ms", "rows")
    caption = (
        f"Slope: exponent of the number of rows, fitted from {FITTED_FROM} on; 1 is linear, 2 quadratic."
    )
    return [Section("growth", "How time grows with the rows", figure=figure, caption=caption)]


def side_by_side(title: str, rows: Rows) -> Section:
    """The time of everyone in one case, the quickest on top; ours in ink."""
    ordered = sorted(rows, key=lambda row: -row["median_ms"])
    ink = [MODEL if row["implementation"].startswith("mer_jax") else FLOOR for row in ordered]
    figure = go.Figure()
    figure.add_scatter(
        x=[row["median_ms"] for row in ordered],
        y=[row["implementation"] for row in ordered],
        mode="markers+text",
        marker={"size": 12, "color": ink},
        text=[f"  {_number(row['median_ms'])} ms" for row in ordered],
        textposition="middle right",
        cliponaxis=False,
        hovertemplate="%{y}: %{x:.4g} ms<extra></extra>",
    )
    axis = _decades({"": [(0, row["median_ms"]) for row in rows]})
    figure.update_xaxes(type="log", title_text="time, ms", **axis)
    figure.update_yaxes(automargin=True)
    margin = {"l": 20, "r": 80, "t": 12, "b": 56}
    id = "".join(letter if letter.isalnum() else "-" for letter in title.lower())
    return Section(id, title, figure=styled(figure, 110 + 36 * len(rows), margin=margin))


def benchmark_page(
    title: str, result: Mapping[str, Any], figures: Sequence[Section] | None = None, *, errors: bool = False
) -> str:
    """The whole page from the content of a benchmark's `--json`.

    figures: by default those against length; errors: rows are shown with their deviation."""
    sections = [_asked(result["targets"])] if result["targets"] else []
    sections += _figures(result["rows"]) if figures is None else figures
    sections += [_table(result["rows"], errors), _left_out(result["left_out"])]
    sections += [
        _pairs("peers", "Who is compared", result["peers"]),
        _pairs("shapes", "Where the shapes come from", result["shapes"]),
        _pairs("made", "How it was made", _made(result)),
    ]
    return page(title, [("", result["device"])], filled([s for s in sections if s.body or s.figure]))


def _figures(rows: Rows) -> list[Section]:
    square = [row for row in rows if row["m"] == row["n"] and row["shape"].startswith("square")]
    sections = []
    for score in dict.fromkeys(row["score"] for row in square):
        for direction in dict.fromkeys(row["pass"] for row in square):
            own = [row for row in square if (row["score"], row["pass"]) == (score, direction)]
            if len({row["m"] for row in own}) < 2:
                continue
            for quantity, (name, _) in QUANTITIES.items():
                sections.append(
                    Section(
                        f"{score}-{direction.replace('+', '-')}-{quantity.replace('_', '-')}",
                        f"{score.capitalize()} score, {direction}: {name}",
                        figure=against_length(own, quantity),
                        caption=_caption(own),
                    )
                )
    return sections


def _caption(rows: Rows) -> str:
    alignments = ", ".join(dict.fromkeys(row["alignment"].replace("_", " ") for row in rows))
    sizes = (
        f"B = {rows[0]['batch']}, d = {rows[0]['d']}, {', '.join(dict.fromkeys(r['dtype'] for r in rows))}"
    )
    return f"{alignments}; {sizes}. Slope: exponent of the length, fitted from {FITTED_FROM} on, where two lengths are; 1 is linear, 2 quadratic."


def _asked(targets: Sequence[Mapping[str, Any]]) -> Section:
    lines = []
    for target in targets:
        value = "not measured" if target["measured"] is None else f"{target['measured']:g} {target['unit']}"
        kind, word = {True: ("ok", "met"), False: ("error", "not met"), None: ("", "not measured")}[
            target["met"]
        ]
        mark = f"<span class='severity {kind}'>{word}</span>"
        lines.append(
            f"<tr><td>{html.escape(target['what'])}</td><td class='number'>{html.escape(target['bound'])}</td>"
            f"<td class='number'>{value}</td><td>{mark}</td></tr>"
        )
    head = "<thead><tr><th>asked</th><th class='number'>bound</th><th class='number'>measured</th><th></th></tr></thead>"
    return Section("targets", "What is asked, and what this run measured", _framed(head, lines), wide=True)


def _table(rows: Rows, errors: bool) -> Section:
    names = ("case", "implementation", "pass", "ms, median", "spread", "compile ms", "peak MiB", "x ours")
    names += ("error",) * errors
    head = "".join(f"<th{_number_class(k > 2)}>{name}</th>" for k, name in enumerate(names))
    lines = []
    for row in rows:
        numbers = (
            row["median_ms"],
            row["spread_ms"],
            row["compile_ms"] or None,
            row["peak_mib"],
            row["ratio"],
            *((row["deviation"],) if errors else ()),
        )
        shown = "".join(f"<td class='number'>{_number(x)}</td>" for x in numbers)
        words = "".join(f"<td>{html.escape(row[name])}</td>" for name in names[:3])
        lines.append(f"<tr{_model_class(row['default'])}>{words}{shown}</tr>")
    return Section("rows", "Every measurement", _framed(f"<thead><tr>{head}</tr></thead>", lines), wide=True)


def _left_out(left_out: Sequence[Mapping[str, Any]]) -> Section:
    lines = [
        f"<tr><th>{html.escape(one['implementation'])}</th><td>{html.escape(one['why'])}</td>"
        f"<td><details><summary>{len(one['cases'])}</summary>{'<br>'.join(map(html.escape, one['cases']))}</details></td></tr>"
        for one in left_out
    ]
    head = "<thead><tr><th>implementation</th><th>why</th><th>cases</th></tr></thead>"
    return Section("left-out", "Left out", _framed(head, lines) if lines else "", wide=True)


def _made(result: Mapping[str, Any]) -> dict[str, str]:
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    return {
        "command": result["command"],
        "device": f"{result['device']}; {result['threads']} threads",
        "freed memory": result["host_memory"].replace("_", " "),
        "commit": result["commit"] or "unknown",
        "versions": versions,
    }


def _pairs(id: str, title: str, pairs: Mapping[str, str]) -> Section:
    lines = [f"<tr><th>{html.escape(a)}</th><td>{html.escape(b)}</td></tr>" for a, b in pairs.items()]
    return Section(id, title, f"<table class='pairs'>{''.join(lines)}</table>" if lines else "", wide=True)


def _framed(head: str, lines: Sequence[str]) -> str:
    return f"<div class='scroll'><table>{head}<tbody>{''.join(lines)}</tbody></table></div>"


def _number_class(number: bool) -> str:
    return " class='number'" if number else ""


def _model_class(ours: bool) -> str:
    return " class='model'" if ours else ""


def _number(value: int | float | None) -> str:
    if value is None:
        return "-"
    if 0 < abs(value) < 1e-4:
        return f"{value:.1e}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
