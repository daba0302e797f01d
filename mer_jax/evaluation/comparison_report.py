"""What `compare` leaves behind: comparison.json, tables for GitHub and LaTeX, and a page.

The page holds everything it needs (plotly.js included) and opens offline.
"""

import dataclasses
import html
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import plotly.io

from mer_jax.errors import InputError
from mer_jax.evaluation import alignment_tables, comparison_tables, figures_comparison, report_tables
from mer_jax.evaluation import figures_comparison_classes as classes
from mer_jax.evaluation.comparison import Contender
from mer_jax.evaluation.comparison_captions import CAPTIONS
from mer_jax.evaluation.figure_style import FLOOR_LABELS
from mer_jax.evaluation.figures_alignments import one_utterance, score_over_alignment
from mer_jax.evaluation.figures_comparison import Panel, names_of, system_colours
from mer_jax.evaluation.figures_comparison_ranking import ranking
from mer_jax.evaluation.report_page import Section, filled, page
from mer_jax.records import write_atomically

GRAVE_SHOWN = 3
HALF_CARD = 540
LEAD_LETTERS = 330
LEAD = "font-size:clamp(18px,1.8vw,22px);line-height:1.5;margin-bottom:12px;max-width:1120px"
AFTER_LEAD = "font-size:15.5px;line-height:1.55;margin-bottom:14px;max-width:1120px"
GRID = "display:grid;gap:18px 22px;grid-template-columns:repeat(auto-fit,minmax(min(100%,{}px),1fr))"
PANEL_TITLE = (
    "font-size:14px;font-weight:600;margin:0 0 4px;white-space:nowrap;overflow:hidden;text-overflow:ellipsis"
)


def write_comparison(
    folder: Path,
    comparison: Mapping[str, Any],
    contenders: Sequence[Contender],
    record: Mapping[str, Any],
) -> Path:
    """Writes report.html, table.md, table.tex and, last, comparison.json; returns the page's path.

    comparison: from `compare` of the same contenders. record: `command`, `commit`, `code_hash`,
    `device`, `versions` (a mapping), `duration` (seconds), `protocol` (protocol.json's content),
    `name` (the page's title); all optional. The same input gives the same bytes.
    Raises InputError where the contenders are not the comparison's.
    """
    names = [contender.name for contender in contenders]
    if sorted(names) != sorted(names_of(comparison)):
        raise InputError(
            f"comparison report: the contenders {sorted(names)} are not the systems compared "
            f"{sorted(names_of(comparison))}; give the same ones to compare and to the report"
        )
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    title = record.get("name") or _title(comparison)
    text = page(title, badges(comparison), sections(comparison, contenders, record))
    write_atomically(folder / "report.html", text.encode())
    write_atomically(folder / "table.md", markdown(comparison).encode())
    write_atomically(folder / "table.tex", comparison_tables.latex(comparison).encode())
    content = json.dumps(comparison, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    write_atomically(folder / "comparison.json", content.encode())
    return folder / "report.html"


def markdown(comparison: Mapping[str, Any]) -> str:
    """All tables of comparison.json for GitHub."""
    text = comparison_tables.markdown(comparison)
    return text if "attention" not in comparison else f"{text}\n{alignment_tables.markdown(comparison)}\n"


def badges(comparison: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Pairs (kind, text) shown beside the title."""
    seeds = sorted({row["n"] for row in comparison["rows"]})
    counted = " to ".join(map(str, dict.fromkeys([seeds[0], seeds[-1]])))
    out = [("generated", "GENERATED DATA")] if comparison["generated"] else []
    out += [("bad", "COLLAPSED SYSTEMS")] if any(row["collapsed"] for row in comparison["rows"]) else []
    out += [("plain", comparison["corpus"])] if comparison["corpus"] != "generated" else []
    return [
        *out,
        ("plain", f"{comparison['test_n']:,} test utterances"),
        ("plain", f"{counted} seed{'s' * (seeds[-1] > 1)} per system"),
        ("plain", f"protocol {comparison['protocol']}"),
    ]


def sections(
    comparison: Mapping[str, Any], contenders: Sequence[Contender], record: Mapping[str, Any]
) -> list[Section]:
    """The page's parts in reading order."""
    c, palette = comparison, system_colours(names_of(comparison))
    made = [
        Section("verdict", "What the data support", verdict(c), wide=True),
        _figure("ranking", ranking(c, contenders)),
        Section(
            "scores", "Scores", comparison_tables.html(c, palette), caption=CAPTIONS["scores"][1], wide=True
        ),
    ]
    if c["pairs"]:
        width = 150 + 92 * len(c["rows"])
        made.append(
            _scrolled("pairs", figures_comparison.pair_matrix(c), width, comparison_tables.html_pairs(c))
        )
    drawn = _classification(c, contenders) if c["task"] == "classification" else _regression(c)
    made += [*drawn, *_attention(c, contenders), _panels("cost", figures_comparison.cost(c))]
    made.append(Section("leakage", "Leakage audit", _leakage(c), wide=True))
    made.append(Section("protocol", "Protocol", _protocol(c, record)))
    made.append(Section("reproduce", "Reproduce this comparison", _reproduction(c, record)))
    return filled([section for section in made if section is not None])


def verdict(comparison: Mapping[str, Any]) -> str:
    """The verdict in large type, grave findings under it, then what qualifies it."""
    floors = {f"dev_above_test/{name}" for name in FLOOR_LABELS}
    grave = [f for f in comparison["leakage"] if f["severity"] in ("error", "warning")]
    grave = [f for f in grave if f["check"] not in floors]
    told = [f"Leakage audit, {f['severity']}: {f['message']}." for f in grave[:GRAVE_SHOWN]]
    if len(grave) > GRAVE_SHOWN:
        told.append(f"The leakage audit warns of {len(grave) - GRAVE_SHOWN} more things; see below.")
    boxes = "".join(f"<p class='box warn'>{html.escape(text)}</p>" for text in told)
    remarks = "".join(f"<li>{html.escape(remark)}</li>" for remark in comparison["remarks"])
    listed = f"<ul style='margin:0;padding-left:20px'>{remarks}</ul>" if remarks else ""
    return _lead(comparison["verdict"]) + boxes + listed


def _lead(text: str) -> str:
    """The first sentences large, the rest in running text; `p = .03` stays on one line."""
    whole = re.sub(r"\bp ([=<]) ", "p\u00a0\\1\u00a0", text)
    first, *rest = re.split(r"(?<=[.!?]) (?=[A-Z])", whole)
    while rest and len(first) + len(rest[0]) < LEAD_LETTERS:
        first = f"{first} {rest.pop(0)}"
    lead = f"<p class='lead' style='{LEAD}'>{html.escape(first)}</p>"
    return lead + (f"<p class='lead' style='{AFTER_LEAD}'>{html.escape(' '.join(rest))}</p>" if rest else "")


def _classification(comparison: Mapping[str, Any], contenders: Sequence[Contender]) -> list[Section | None]:
    return [
        _scrolled("per-class", figures_comparison.per_class_f1(comparison), _bars_width(comparison)),
        _panels("confusion", classes.confusion(comparison), 340 if len(comparison["targets"]) > 4 else 0),
        _panels("roc", classes.roc(comparison, contenders)),
        _panels("precision-recall", classes.precision_recall(comparison, contenders)),
        _panels("reliability", classes.reliability(comparison, contenders)),
    ]


def _regression(comparison: Mapping[str, Any]) -> list[Section | None]:
    width = _bars_width(comparison)
    return [
        _scrolled(f"per-name-{metric}", figures_comparison.per_intensity(comparison, metric), width)
        for metric in ("pearson", "ccc", "mae")
    ]


def _attention(comparison: Mapping[str, Any], contenders: Sequence[Contender]) -> list[Section | None]:
    if "attention" not in comparison:
        return []
    over, maps = score_over_alignment(comparison, contenders), one_utterance(comparison, contenders)
    shown = dataclasses.replace(_figure("attention", over), body=alignment_tables.html(comparison))
    return [shown, None if maps is None else _figure("attention-maps", maps)]


def _bars_width(comparison: Mapping[str, Any]) -> int:
    return 90 + len(comparison["targets"]) * (16 + 13 * len(comparison["rows"]))


def _figure(name: str, figure: go.Figure) -> Section:
    title, caption = CAPTIONS[name]
    return Section(name, title, figure=figure, caption=caption, wide=True)


def _scrolled(name: str, figure: go.Figure, width: int, below: str = "") -> Section:
    """A figure that keeps at least `width` pixels and scrolls where the screen has fewer."""
    title, caption = CAPTIONS[name]
    style = f"min-width:{width}px;max-width:{max(560, 2 * width)}px"
    body = f"<div class='scroll'>{_drawn(f'figure-{name}', figure, style)}</div>{below}"
    return Section(name, title, body, caption=caption, wide=width > HALF_CARD)


def _panels(name: str, panels: Sequence[Panel], width: int = 0) -> Section | None:
    """Small figures of at least `width` pixels side by side, as many as the screen holds; None for none.

    width: 0 for one that leaves few places of the last row empty.
    """
    width = width or (340 if len(panels) in (3, 5, 6, 9) else 275)
    title, caption = CAPTIONS[name]
    cells = "".join(
        f"<div style='min-width:0'>{_panel_title(label)}{_drawn(f'figure-{name}-{k}', figure)}</div>"
        for k, (label, figure) in enumerate(panels)
    )
    body = f"<div style='{GRID.format(width)}'>{cells}</div>"
    return Section(name, title, body, caption=caption, wide=True) if panels else None


def _panel_title(label: str) -> str:
    shown = html.escape(label)
    return f"<h3 style='{PANEL_TITLE}' title='{shown}'>{shown}</h3>" if label else ""


def _drawn(place: str, figure: go.Figure, style: str = "") -> str:
    """A figure's place, and the script that draws it there once the whole page is laid out."""
    data = plotly.io.to_json(figure, validate=False, engine="json").replace("</", "<\\/")
    height = int(figure.to_plotly_json()["layout"]["height"])
    options = "{responsive: true, displaylogo: false, displayModeBar: false}"
    return (
        f"<div id='{place}' class='figure' style='height:{height}px;{style}'></div>"
        f"<script>addEventListener('DOMContentLoaded', () => (f => "
        f"Plotly.newPlot('{place}', f.data, f.layout, {options}))({data}));</script>"
    )


def _leakage(comparison: Mapping[str, Any]) -> str:
    """What the audit found; the checks that passed are folded away."""
    found = [f for f in comparison["leakage"] if f["severity"] != "ok"]
    passed = [f for f in comparison["leakage"] if f["severity"] == "ok"]
    shown = report_tables.leakage({"leakage": found}) if found or not passed else ""
    if not passed:
        return shown
    inner = report_tables.leakage({"leakage": passed})
    return f"{shown}<details><summary>{len(passed)} checks passed</summary>{inner}</details>"


def _title(comparison: Mapping[str, Any]) -> str:
    count = len(comparison["rows"])
    return f"{count} system{'s' * (count > 1)} on {comparison['corpus']}"


def _protocol(comparison: Mapping[str, Any], record: Mapping[str, Any]) -> str:
    named = {key: comparison[key] for key in ("protocol", "corpus", "targets")}
    shown = report_tables.protocol(
        record.get("protocol") or {}, named | {"test": {"n": comparison["test_n"]}}
    )
    facts = {
        "test groups": f"{comparison['groups']} ({comparison['resample_by']})",
        "level of significance": f"{comparison['alpha']:g}, Holm-corrected over all pairs",
    }
    rows = "".join(f"<tr><th>{name}</th><td>{html.escape(fact)}</td></tr>" for name, fact in facts.items())
    return shown + f"<table class='pairs'><tbody>{rows}</tbody></table>"


def _reproduction(comparison: Mapping[str, Any], record: Mapping[str, Any]) -> str:
    timing = {"duration": _duration(record["duration"])} if record.get("duration") is not None else {}
    configs = "".join(
        f"<tr><th>{html.escape(row['name'])}</th><td>{html.escape(row['config'])}<small>seeds "
        f"{', '.join(map(str, row['seeds']))}</small></td></tr>"
        for row in comparison["rows"]
    )
    systems = f"<table class='pairs'><tbody>{configs}</tbody></table>"
    return report_tables.reproduction(record, timing) + systems


def _duration(seconds: float) -> str:
    hours, rest = divmod(round(seconds), 3600)
    minutes, left = divmod(rest, 60)
    parts = [(hours, "h"), (minutes, "min"), (left, "s")]
    return " ".join(f"{value} {unit}" for value, unit in parts if value) or "0 s"
