"""The report's frame: HTML, style, and figures drawn by the plotly.js inside the page."""

import dataclasses
import html
from collections.abc import Sequence

import plotly.graph_objects as go
import plotly.io
from plotly.offline import get_plotlyjs

from mer_jax.evaluation.figure_style import FONT


@dataclasses.dataclass(frozen=True)
class Section:
    """A card: a title over HTML, a figure, or both. `wide` spans both columns."""

    id: str
    title: str
    body: str = ""
    figure: go.Figure | None = None
    caption: str = ""
    wide: bool = False


def page(title: str, badges: Sequence[tuple[str, str]], sections: Sequence[Section]) -> str:
    """The whole page; the same sections give the same text."""
    marks = "".join(f"<span class='badge {kind}'>{html.escape(text)}</span>" for kind, text in badges if text)
    cards = "\n".join(_card(section) for section in sections)
    drawings = "\n".join(_drawing(section) for section in sections if section.figure is not None)
    return (
        "<!DOCTYPE html>\n<html lang='en'>\n<head>\n<meta charset='utf-8'>\n"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>\n"
        f"<title>{html.escape(title)}</title>\n<style>{STYLE}</style>\n"
        f"<script id='plotly-js'>{get_plotlyjs()}</script>\n</head>\n<body>\n"
        f"<header><h1>{html.escape(title)}</h1><div class='badges'>{marks}</div></header>\n"
        f"<main>\n{cards}\n</main>\n<script id='drawings'>\n{drawings}\n</script>\n</body>\n</html>\n"
    )


def filled(sections: Sequence[Section]) -> list[Section]:
    """The sections, those widened that would leave the other half of their row empty."""
    out: list[Section] = []
    waiting = False
    for section in [*sections, None]:
        if waiting and (section is None or section.wide):
            out[-1] = dataclasses.replace(out[-1], wide=True)
        if section is not None:
            out.append(section)
            waiting = not section.wide and not waiting
    return out


def _card(section: Section) -> str:
    figure = ""
    if section.figure is not None:
        height = int(section.figure.to_plotly_json()["layout"]["height"])
        figure = f"<div id='figure-{section.id}' class='figure' style='height:{height}px'></div>"
    caption = f"<p class='caption'>{html.escape(section.caption)}</p>" if section.caption else ""
    span = " class='wide'" if section.wide else ""
    return (
        f"<section id='{section.id}'{span}><h2>{html.escape(section.title)}</h2>{section.body}{figure}{caption}"
        "</section>"
    )


def _drawing(section: Section) -> str:
    drawn = plotly.io.to_json(section.figure, validate=False, engine="json").replace("</", "<\\/")
    options = "{responsive: true, displaylogo: false, displayModeBar: false}"
    name = f"figure-{section.id}"
    films = (
        f".then(() => Plotly.addFrames('{name}', f.frames))" if getattr(section.figure, "frames", ()) else ""
    )
    return f"(f => Plotly.newPlot('{name}', f.data, f.layout, {options}){films})({drawn});"


STYLE = f"""
:root {{ --ink: #23272f; --soft: #5b6472; --line: #e3e7ec; --model: #1f4e79; }}
* {{ box-sizing: border-box; }}
body {{ margin: 0; background: #f4f6f8; color: var(--ink); font: 15px/1.5 {FONT}; }}
header, main {{ max-width: 1280px; margin: 0 auto; padding: 0 24px; }}
header {{ padding-top: 28px; padding-bottom: 16px; display: flex; flex-wrap: wrap; gap: 8px 16px; align-items: center; }}
h1 {{ font-size: 26px; line-height: 1.2; margin: 0; font-weight: 650; letter-spacing: -0.01em; overflow-wrap: anywhere; }}
h2 {{ font-size: 16px; margin: 0 0 10px; font-weight: 650; }}
.badges {{ display: flex; flex-wrap: wrap; gap: 8px; }}
.badge {{ font-size: 12px; font-weight: 600; padding: 3px 10px; border-radius: 999px; background: #e7ebf0; color: var(--soft); }}
.badge.generated {{ background: #f0b400; color: #2b2000; letter-spacing: 0.04em; }}
.badge.bad {{ background: #b3261e; color: white; letter-spacing: 0.04em; }}
main {{ display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 16px; padding-bottom: 48px; }}
section {{ background: white; border: 1px solid var(--line); border-radius: 10px; padding: 18px 20px; min-width: 0; }}
section.wide {{ grid-column: 1 / -1; }}
.figure {{ width: 100%; }}
.lead {{ font-size: 17px; line-height: 1.6; margin: 0; max-width: 1000px; }}
.caption {{ margin: 8px 0 0; color: var(--soft); font-size: 13.5px; }}
.box {{ margin: 0 0 10px; padding: 9px 14px; border-radius: 8px; border-left: 4px solid; font-size: 14.5px; }}
.box.warn {{ background: #fff6dd; border-color: #e0a100; }}
.box.bad {{ background: #fdecea; border-color: #b3261e; }}
.scroll {{ overflow-x: auto; }}
table {{ border-collapse: collapse; width: 100%; font-size: 14px; }}
th, td {{ text-align: left; vertical-align: top; padding: 7px 10px; border-bottom: 1px solid var(--line); }}
tbody tr:last-child > * , table > tr:last-child > * {{ border-bottom: 0; }}
thead th {{ color: var(--soft); font-weight: 600; font-size: 12.5px; vertical-align: bottom; }}
th {{ font-weight: 600; }}
.number {{ text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }}
small {{ display: block; color: var(--soft); font-weight: 400; font-size: 12px; }}
tr.model > * {{ background: #eef4fa; }}
tr.model td span {{ font-weight: 700; color: var(--model); }}
tr.dev > *, tr.dev td span {{ color: var(--soft); font-weight: 400; }}
.severity {{ font-size: 12px; font-weight: 600; padding: 2px 9px; border-radius: 999px; background: #e7ebf0; }}
.severity.warning {{ background: #ffe6a3; }}
.severity.error {{ background: #b3261e; color: white; }}
.severity.ok {{ background: #dff0e3; color: #1c5a2e; }}
.check {{ white-space: nowrap; color: var(--soft); }}
.pairs th {{ width: 34%; color: var(--soft); font-weight: 500; }}
.pairs td {{ overflow-wrap: anywhere; }}
pre {{ background: #f4f6f8; border-radius: 8px; padding: 12px 14px; font-size: 12.5px; overflow-x: auto;
  white-space: pre-wrap; overflow-wrap: anywhere; }}
summary {{ cursor: pointer; color: var(--model); }}
@media (max-width: 900px) {{ main {{ grid-template-columns: minmax(0, 1fr); }} }}
@media print {{ body {{ background: white; }} section {{ break-inside: avoid; }} }}
"""
