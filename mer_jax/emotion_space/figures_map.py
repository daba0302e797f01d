"""The map itself: land, states, the emotions' paths, and where each emotion rises."""

import html

import numpy as np
import plotly.graph_objects as go

from mer_jax.emotion_space import hover, prototypes
from mer_jax.emotion_space.canvas import MARGIN, WIDTH, Canvas, Panel, add_points, rows_of_panels
from mer_jax.emotion_space.mapping import Map
from mer_jax.emotion_space.prototypes import Prototype
from mer_jax.emotion_space.territory import levels_holding, picture_of_emotion
from mer_jax.evaluation.figure_style import INK, styled

HELD = (0.95, 0.8, 0.5)  # shares of all rows that the contours hold
LEGEND = 250  # pixels
LARGEST, SMALLEST = 36.0, 5.0  # pixels across, of the commonest state and of any


def emotion_map(space: Map, height: int = 760) -> go.Figure:
    """The whole map: a point per distinct observed state, its area the number of rows, its colour
    the strongest emotion; under it the land of each emotion, fading where nothing was observed;
    over it the way of each emotion from rest to its highest intensity, with prototypes.
    """
    share = (WIDTH - 16 - LEGEND) / (WIDTH - 16)
    panel = Panel(1, (0.0, share), (0.0, 1.0), (WIDTH - 16.0 - LEGEND, height - 16.0))
    mixed = prototypes.mixtures(space)
    places = space.place(np.stack([p.state for p in mixed])) if mixed else np.zeros((0, 2))
    canvas = Canvas(space, [panel], places)
    canvas.add_land(0.5)
    _add_contours(canvas)
    _add_states(canvas)
    canvas.add_paths(panel, 3.2, above=len(space.counts))
    _add_steps(canvas, prototypes.pure(space))
    _add_mixtures(canvas, mixed, places)
    canvas.add_names(panel, 17.0, [(p.name, place) for p, place in zip(mixed, places, strict=True)])
    legend = {
        "x": share + 0.008,
        "xanchor": "left",
        "xref": "paper",
        "y": 1,
        "tracegroupgap": 14,
        "itemsizing": "constant",
    }
    return styled(canvas.figure, height=height, margin=MARGIN, legend=legend, hovermode="closest")


def where_emotions_rise(space: Map, columns: int = 3) -> go.Figure:
    """A panel per emotion: its local mean intensity over the map, as colour and as contours at
    thirds of the highest intensity, with its way from rest."""
    panels, total = rows_of_panels(space, len(space.emotions), columns)
    canvas = Canvas(space, panels)
    brightest = float(np.quantile(canvas.ground.mean[canvas.ground.presence > 0.3].max(-1), 0.99))
    rows = np.asarray(space.counts, np.float64)
    for emotion, panel in enumerate(panels):
        kind = space.kinds[emotion]
        felt = space.states[:, emotion] > 1e-6
        share = rows[felt].sum() / rows.sum()
        mean = float(np.average(space.states[felt, emotion], weights=rows[felt])) if felt.any() else 0.0
        canvas.add_picture(panel, picture_of_emotion(space, canvas.ground, emotion, brightest))
        below = f"in {share:.0%} of {space.rows}, {mean:.2f} there on average"
        canvas.add_title(panel, kind.name, below, kind.colour)
        _add_rise(canvas, panel, emotion)
    return styled(
        canvas.figure, height=round(total) + 16, margin=MARGIN, showlegend=False, hovermode="closest"
    )


def _add_contours(canvas: Canvas) -> None:
    """Lines around the densest places that hold half, four fifths and most of the rows."""
    ground, logs = canvas.ground, None
    levels = levels_holding(ground.rows, HELD)
    logs = np.log10(np.maximum(ground.rows, levels[0] * 1e-3))
    for share, level, ink in zip(HELD, levels, ("#b4bac4", "#8a8f98", "#565d68"), strict=True):
        canvas.figure.add_contour(
            x=ground.x.round(5),
            y=ground.y.round(5),
            z=logs.round(3).astype(np.float32),
            autocontour=False,
            contours={"type": "constraint", "operation": "=", "value": float(np.log10(level))},
            line={"color": ink, "width": 1.2},
            name=f"{share:.0%} of {canvas.space.rows} lie within",
            hoverinfo="skip",
            showlegend=True,
            legendgroup="contours",
        )


def _add_states(canvas: Canvas) -> None:
    space = canvas.space
    dominant = space.dominant(space.states)
    sizes = SMALLEST + (LARGEST - SMALLEST) * np.sqrt(space.counts / space.counts.max())
    for kind in space.kinds:
        of_kind = np.flatnonzero(dominant == kind.index)
        here = of_kind[np.argsort(-space.counts[of_kind], kind="stable")]
        rows = int(space.counts[here].sum())
        told = f"{space.rows} in this state"
        add_points(
            canvas.figure,
            len(space.counts),
            x=space.places[here, 0].round(5),
            y=space.places[here, 1].round(5),
            marker={
                "size": sizes[here].round(1),
                "color": kind.colour,
                "opacity": 0.8,
                "line": {"color": "white", "width": 0.7},
            },
            customdata=space.states[here],
            text=[f"{count:,} {html.escape(told)}" for count in space.counts[here].tolist()],
            hovertemplate=hover.of_states(space.emotions),
            name=f"{html.escape(kind.name)}  <span style='color:#5b6472'>{rows:,}</span>",
            legendgroup="kinds",
            legendgrouptitle={"text": f"Strongest emotion, {space.rows}"},
            showlegend=len(here) > 0,
            **canvas.panels[0].axes,
        )


def _add_steps(canvas: Canvas, steps: list[Prototype]) -> None:
    """The pure emotions at thirds of the highest intensity, larger as they rise."""
    space = canvas.space
    places = space.place(np.stack([step.state for step in steps]))
    colour = [space.kinds[step.emotions[0]].colour for step in steps]
    size = [(7.0, 9.5, 12.0)[k % 3] for k in range(len(steps))]
    thirds = ", ".join(f"{s * space.top:.2g}" for s in prototypes.STEPS)
    _add_prototypes(canvas, steps, places, "circle", size, colour, f"one emotion alone, at {thirds}")


def _add_mixtures(canvas: Canvas, mixed: list[Prototype], places: np.ndarray) -> None:
    """Diamonds, filled with one emotion's colour and edged with the other's."""
    if mixed:
        colour = [canvas.space.kinds[p.emotions[1]].colour for p in mixed]
        told = f"two emotions at {mixed[0].state.max():.2g} each"
        _add_prototypes(canvas, mixed, places, "diamond", [11.0] * len(mixed), colour, told)
        fill = [canvas.space.kinds[p.emotions[0]].colour for p in mixed]
        canvas.figure.data[-1].update(marker={"color": fill})


def _add_prototypes(
    canvas: Canvas,
    shown: list[Prototype],
    places: np.ndarray,
    symbol: str,
    size: list[float],
    colour: list[str],
    name: str,
) -> None:
    space = canvas.space
    told = hover.told([p.name for p in shown], [f"{p.count:,} {space.rows}" for p in shown])
    key = {"symbol": symbol, "size": 10, "color": "white", "line": {"color": INK, "width": 2.2}}
    common = {"mode": "markers", "legendgroup": "prototypes", **canvas.panels[0].axes}
    title = {"text": "Prototypes"}
    canvas.figure.add_scatter(
        x=[None], y=[None], marker=key, name=name, legendgrouptitle=title, hoverinfo="skip", **common
    )
    add_points(
        canvas.figure,
        len(space.counts),
        x=places[:, 0].round(5),
        y=places[:, 1].round(5),
        marker={"symbol": symbol, "size": size, "color": "white", "line": {"color": colour, "width": 2.4}},
        customdata=np.stack([p.state for p in shown]),
        **told,
        hovertemplate=hover.of_states(space.emotions),
        showlegend=False,
        **common,
    )


def _add_rise(canvas: Canvas, panel: Panel, emotion: int) -> None:
    space, ground = canvas.space, canvas.ground
    colour = space.kinds[emotion].colour
    seen = np.where(ground.presence > 0.25, ground.mean[..., emotion], np.nan)
    third = space.top / 3
    canvas.figure.add_contour(
        x=ground.x[::2].round(5),
        y=ground.y[::2].round(5),
        z=seen[::2, ::2].round(3).astype(np.float32),
        autocontour=False,
        contours={
            "start": third,
            "end": 2.01 * third,
            "size": third,
            "coloring": "lines",
            "showlabels": True,
            "labelfont": {"size": 11, "color": INK},
            "labelformat": ".2~g",
        },
        colorscale=[[0, colour], [1, colour]],
        showscale=False,
        line={"width": 1.6},
        hovertemplate=f"{hover.safe(space.emotions[emotion])} %{{z:.2f}}<extra></extra>",
        hoverongaps=False,
        **panel.axes,
    )
    if emotion in canvas.paths:
        path = canvas.paths[emotion]
        quiet = {"mode": "lines", "hoverinfo": "skip", "showlegend": False} | panel.axes
        for ink, width in (("white", 5), (INK, 2)):
            canvas.figure.add_scatter(
                x=path[:, 0], y=path[:, 1], line={"color": ink, "width": width}, **quiet
            )
        tip = {"size": [0, 10], "symbol": "arrow", "angleref": "previous", "color": INK}
        quiet["mode"] = "markers"
        canvas.figure.add_scatter(x=path[-4::3, 0], y=path[-4::3, 1], marker=tip, **quiet)
