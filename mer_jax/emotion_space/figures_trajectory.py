"""Animated trajectories on the map, their emotions' course below."""

import dataclasses
import html
from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from mer_jax.emotion_space import hover
from mer_jax.emotion_space.canvas import GAP, HALO, MARGIN, TITLE, WIDTH, Canvas, Panel, rows_of_panels
from mer_jax.emotion_space.film import TAIL, Film, film, moment, player
from mer_jax.emotion_space.labels import shortened
from mer_jax.emotion_space.mapping import Map
from mer_jax.emotion_space.trajectories import SECONDS, Trajectory, TrajectoryGroup, frame_times
from mer_jax.evaluation.figure_style import GRID, INK, styled

STRIP, SAID, PLAYER = 96.0, 46.0, 76.0  # pixels: emotions over time, what is said, slider and buttons
ABREAST = 4  # panels in one row, above its player on one screen; of more, three
WAY = 20  # places drawn of the way between two points
INKS = (INK, "#1f4e79", "#7a4b1e", "#4b7a1e", "#6a1b6a", "#0f6b6b")
GLYPHS = "\N{BLACK CIRCLE}\N{BLACK DIAMOND}\N{BLACK SQUARE}\N{BLACK UP-POINTING TRIANGLE}\N{BLACK PENTAGON}\N{BLACK HEXAGON}"
SYMBOLS = ("circle", "diamond", "square", "triangle-up", "pentagon", "hexagon")


def moving(
    space: Map, group: TrajectoryGroup, together: bool = False, per_path: int | None = None
) -> go.Figure:
    """Each trajectory in a panel of its own, or all `together` in one: the whole way faint, its
    points in the colour of their strongest emotion, numbered where they are few; a moving point
    with its tail; below, the course of every emotion, a slider and buttons.
    """
    shown = film(space, group, per_path)
    count = len(group.trajectories)
    columns = count if count <= ABREAST else 3
    panels, total = rows_of_panels(space, 1 if together else count, 1 if together else columns)
    strips = -(-count // columns) * (STRIP + TITLE + 8)
    height = SAID + total + strips + PLAYER
    lifted = [_lifted(panel, total, strips, height) for panel in panels]
    canvas = Canvas(space, lifted, np.concatenate(shown.places))
    canvas.add_land(0.3)
    for panel in canvas.panels:
        canvas.add_paths(panel, 1.4, 0.6)
        canvas.add_names(panel, 13.0)
    places = [canvas.panels[0 if together else k] for k in range(count)]
    for k, (one, panel) in enumerate(zip(group.trajectories, places, strict=True)):
        if not together:
            canvas.add_title(panel, _marked(one.name, k), colour=INKS[k % len(INKS)])
        _add_way(canvas, panel, one, k)
    if together:
        _add_key(canvas, group)
    strip_axes = [_add_strip(canvas, group, k, len(panels), columns, height) for k in range(count)]
    first = len(list(canvas.figure.select_traces()))
    _add_moving(canvas, group, shown, places, strip_axes, height)
    if len(shown.times) > 1:
        canvas.figure.frames = shown.frames(first)
        canvas.figure.update_layout(**player(shown))
    layout = {"margin": MARGIN | {"b": PLAYER}, "showlegend": False, "hovermode": "closest"}
    return styled(canvas.figure, height=round(height) + MARGIN["t"], **layout)


def _lifted(panel: Panel, total: float, strips: float, height: float) -> Panel:
    """The panel above the strips, in shares of the plotting area."""
    inner = height - PLAYER
    low, high = ((strips + share * total) / inner for share in panel.up)
    return dataclasses.replace(panel, up=(low, high))


def _add_way(canvas: Canvas, panel: Panel, one: Trajectory, number: int) -> None:
    space, ink = canvas.space, INKS[number % len(INKS)]
    way = space.place(one.at(frame_times(one.times, WAY)))
    quiet = {"mode": "lines", "hoverinfo": "skip", "opacity": 0.38} | panel.axes
    line = {"color": ink, "width": 1.8}
    canvas.figure.add_scatter(x=way[:, 0].round(4), y=way[:, 1].round(4), line=line, **quiet)
    places = space.place(one.states)
    palette = {kind.index: kind.colour for kind in space.kinds}
    colour = [palette[k] for k in space.dominant(one.states).tolist()]
    few = len(places) <= 14
    still = len(places) > 1 and bool((one.states == one.states[0]).all())
    numbers = [str(k + 1) for k in range(len(places))] if few and not still else [""] * len(places)
    when = [moment(t, one.clock) for t in one.times.tolist()]
    canvas.figure.add_scatter(
        x=places[:, 0].round(4),
        y=places[:, 1].round(4),
        mode="markers+text",
        text=numbers,
        textfont={"size": 9.5, "color": "white"},
        hovertext=[f"{t}<br><i>{hover.shortened(s)}</i>" for t, s in zip(when, one.labels, strict=True)],
        marker={
            "color": colour,
            "size": 16 if few else 8,
            "opacity": 0.9,
            "symbol": SYMBOLS[number % len(SYMBOLS)],
            "line": {"color": "white", "width": 1.2},
        },
        customdata=one.states.astype(np.float32),
        hovertemplate=hover.of_states(space.emotions, f"<b>{hover.safe(one.name)}</b>, %{{hovertext}}"),
        **panel.axes,
    )


def _add_key(canvas: Canvas, group: TrajectoryGroup) -> None:
    """Over the one panel, whose point is which."""
    panel = canvas.panels[0]
    width = panel.pixels[0] / len(group.trajectories) - 30
    names = [
        f"<span style='color:{INKS[k % len(INKS)]}'>"
        f"{html.escape(shortened(_marked(one.name, k), 15.0, width), quote=False)}</span>"
        for k, one in enumerate(group.trajectories)
    ]
    canvas.add_title_text(panel, "<b>" + "     ".join(names) + "</b>", INK)


def _add_strip(
    canvas: Canvas, group: TrajectoryGroup, k: int, before: int, columns: int, height: float
) -> dict[str, str]:
    """The emotions of trajectory k over time, under the maps; the axes it is drawn on."""
    one, space, inner = group.trajectories[k], canvas.space, height - PLAYER
    suffix = str(before + k + 1)
    side = (WIDTH - 16 - GAP * (columns - 1)) / columns
    left = (k % columns) * (side + GAP)
    lines = -(-len(group.trajectories) // columns)
    bottom = 22 + (lines - 1 - k // columns) * (STRIP + TITLE + 8)
    points = group.points
    low, high = min(0.0, float(one.states.min())), max(space.top, float(one.states.max()))
    pad = 0.02 * float(np.ptp(points)) or 0.5
    x = {
        "domain": [(left + 26) / (WIDTH - 16), (left + side) / (WIDTH - 16)],
        "anchor": f"y{suffix}",
        "range": [points[0] - pad, points[-1] + pad],
        "showgrid": False,
        "tickfont": {"size": 10},
        "nticks": 7,
        "ticksuffix": " s" if group.clock == SECONDS else "",
        "automargin": False,
    }
    y = {
        "domain": [bottom / inner, (bottom + STRIP) / inner],
        "anchor": f"x{suffix}",
        "range": [low - 0.04 * space.top, high + 0.06 * space.top],
        "tickvals": [0, space.top],
        "tickfont": {"size": 10},
        "gridcolor": GRID,
        "automargin": False,
    }
    canvas.figure.update_layout({f"xaxis{suffix}": x, f"yaxis{suffix}": y})
    axes = {"xaxis": f"x{suffix}", "yaxis": f"y{suffix}"}
    for emotion, name in enumerate(space.emotions):
        canvas.figure.add_scatter(
            x=one.times.round(3),
            y=one.states[:, emotion].round(3),
            mode="lines+markers" if len(one.times) <= 30 else "lines",
            line={"color": space.kinds[emotion].colour, "width": 1.8},
            marker={"size": 4},
            hovertemplate=f"{hover.safe(name)} %{{y:.2f}}<extra></extra>",
            **axes,
        )
    _add_strip_name(
        canvas, shortened(_marked(one.name, k), 12.0, side - 26), k, x["domain"][0], y["domain"][1]
    )
    return axes


def _add_strip_name(canvas: Canvas, name: str, k: int, left: float, top: float) -> None:
    canvas.figure.add_annotation(
        text=f"<b>{html.escape(name, quote=False)}</b>",
        x=left,
        y=top,
        xref="paper",
        yref="paper",
        xanchor="left",
        yanchor="bottom",
        showarrow=False,
        font={"size": 12, "color": INKS[k % len(INKS)]},
    )


def _add_moving(
    canvas: Canvas,
    group: TrajectoryGroup,
    shown: Film,
    places: Sequence[Panel],
    strips: Sequence[dict[str, str]],
    height: float,
) -> None:
    """A tail with its point and a cursor per trajectory, then what is said, as of the first frame."""
    ramp = np.linspace(0, 1, TAIL)
    for k, (one, panel, strip) in enumerate(zip(group.trajectories, places, strips, strict=True)):
        ink = INKS[k % len(INKS)]
        size = np.where(ramp == 1, 17, 2 + 6 * ramp).round(1)
        canvas.figure.add_scatter(
            **shown.tail(k, 0),
            mode="markers",
            hoverinfo="skip",
            name=one.name,
            marker={
                "size": size,
                "opacity": np.where(ramp == 1, 1, 0.05 + 0.5 * ramp).round(2),
                "color": ink,
                "symbol": SYMBOLS[k % len(SYMBOLS)],
                "line": {"color": "white", "width": np.where(ramp == 1, 2.5, 0)},
            },
            **panel.axes,
        )
        line = {"color": ink, "width": 1.5}
        quiet = {"mode": "lines", "hoverinfo": "skip"}
        canvas.figure.add_scatter(**shown.cursor(0), line=line, **quiet, **strip)
    _add_subtitle(canvas, shown, str(len(canvas.panels) + len(strips) + 1), height)


def _add_subtitle(canvas: Canvas, shown: Film, suffix: str, height: float) -> None:
    """What is said at the moment, over everything, as a trace: only traces move from frame to frame."""
    hidden = {"visible": False, "range": [0, 1], "fixedrange": True}
    inner = height - PLAYER
    across = {"domain": [0, 1], "anchor": f"y{suffix}"}
    up = {"domain": [(inner - SAID) / inner, 1], "anchor": f"x{suffix}"}
    canvas.figure.update_layout({f"xaxis{suffix}": hidden | across, f"yaxis{suffix}": hidden | up})
    canvas.figure.add_scatter(
        x=[0],
        y=[0.62],
        mode="text",
        text=[shown.subtitle(0)],
        textposition="middle right",
        textfont={"size": 16, "color": INK, "shadow": HALO},
        hoverinfo="skip",
        cliponaxis=False,
        xaxis=f"x{suffix}",
        yaxis=f"y{suffix}",
    )


def _marked(name: str, number: int) -> str:
    """A name behind the symbol of its moving point."""
    return f"{GLYPHS[number % len(GLYPHS)]} {name}"
