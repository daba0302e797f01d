"""Panels of one map side by side, and what every panel shows of it: land, paths and names."""

import dataclasses
import html
from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Float

from mer_jax.emotion_space.labels import offsets, shortened, text_size
from mer_jax.emotion_space.mapping import Map
from mer_jax.emotion_space.territory import EDGE, Territory, picture_of_kinds, territory
from mer_jax.evaluation.figure_style import FAINT, FLOOR, GRID, INK

WIDTH = 1198  # pixels of a figure in a wide card
TITLE, GAP = 34, 18  # pixels above a panel and between panels
LOWEST, HIGHEST = 260.0, 520.0  # pixels of a panel
MARGIN = {"l": 8, "r": 8, "t": 8, "b": 8}
HALO = ", ".join(["0 0 3px white"] * 4)
PATH = np.linspace(0, 1, 61, dtype=np.float32)
WEBGL_FROM = 6000  # points


@dataclasses.dataclass(frozen=True)
class Panel:
    """One drawing of the map: its number among the figure's axes, its place in shares of the
    figure's plotting area, and its size in pixels in a wide card."""

    number: int
    across: tuple[float, float]
    up: tuple[float, float]
    pixels: tuple[float, float]

    @property
    def axes(self) -> dict[str, str]:
        """The axes of a trace that is drawn here."""
        suffix = "" if self.number == 1 else str(self.number)
        return {"xaxis": f"x{suffix}", "yaxis": f"y{suffix}"}


def rows_of_panels(space: Map, count: int, columns: int) -> tuple[list[Panel], float]:
    """Panels from left to right and from the top down, about as high as the map asks for, and
    the height of them all in pixels."""
    columns = min(columns, count)
    lines, width = -(-count // columns), WIDTH - MARGIN["l"] - MARGIN["r"]
    side = (width - GAP * (columns - 1)) / columns
    wide, high = np.ptp(space.places, axis=0) * (1 + 2 * EDGE) + 1e-9
    height = float(np.clip(side * high / wide, LOWEST, HIGHEST))
    total = lines * (height + TITLE) + GAP * (lines - 1)
    panels = []
    for k in range(count):
        left, top = (k % columns) * (side + GAP), total - (k // columns) * (height + TITLE + GAP)
        across = _within(left / width), _within((left + side) / width)
        up = _within((top - TITLE - height) / total), _within((top - TITLE) / total)
        panels.append(Panel(k + 1, across, up, (side, height)))
    return panels, total


def _within(share: float) -> float:
    """Of the plotting area, which rounding must not lead out of."""
    return float(np.clip(share, 0, 1))


class Canvas:
    """A figure of panels that show one map, zoomed and moved together."""

    def __init__(self, space: Map, panels: Sequence[Panel], seen: Float[np.ndarray, "n 2"] | None = None):
        """seen: further places that must lie within the panels."""
        self.space, self.panels, self.figure = space, tuple(panels), go.Figure()
        self.ground: Territory = territory(space)
        paths = [space.place(space.pure(k, PATH)) for k in space.rising]
        self.paths = dict(zip(space.rising, paths, strict=True))
        self.rest = space.place(space.rest[None])[0]
        corners = [self.ground.low[None], self.ground.high[None], *paths]
        corners += [] if seen is None or not len(seen) else [seen]
        everything = np.concatenate(corners)
        self.low, self.high = everything.min(0), everything.max(0)
        for panel in self.panels:
            self._add_axes(panel)

    def _add_axes(self, panel: Panel) -> None:
        quiet = {"showgrid": False, "zeroline": False, "showticklabels": False, "ticks": ""}
        quiet |= {"showline": True, "mirror": True, "linecolor": GRID}
        first, own = self.panels[0].axes, panel.axes
        x: dict[str, Any] = quiet | {"domain": panel.across, "anchor": own["yaxis"]}
        y: dict[str, Any] = quiet | {"domain": panel.up, "anchor": own["xaxis"], "scaleanchor": own["xaxis"]}
        x |= {"range": [self.low[0], self.high[0]]}
        y |= {"range": [self.low[1], self.high[1]]}
        if own != first:
            x["matches"], y["matches"] = first["xaxis"], first["yaxis"]
        names = {key: key + own[key][1:] for key in own}
        self.figure.update_layout({names["xaxis"]: x, names["yaxis"]: y})

    def pixels_per_unit(self, panel: Panel) -> float:
        """How large the map is drawn in a wide card."""
        return float((np.array(panel.pixels) / np.maximum(self.high - self.low, 1e-9)).min())

    def add_title(self, panel: Panel, title: str, below: str = "", colour: str = INK) -> None:
        """Over the panel's left corner, in the panel's width."""
        title = shortened(title, 15.0, panel.pixels[0] - text_size(below, 12.0)[0])
        soft = f"  <span style='font-size:12px;color:#5b6472'>{html.escape(below, quote=False)}</span>"
        self.add_title_text(panel, f"<b>{html.escape(title, quote=False)}</b>{soft if below else ''}", colour)

    def add_title_text(self, panel: Panel, text: str, colour: str) -> None:
        """A title of its own marks."""
        self.figure.add_annotation(
            text=text,
            x=panel.across[0],
            y=panel.up[1],
            xref="paper",
            yref="paper",
            xanchor="left",
            yanchor="bottom",
            yshift=3,
            showarrow=False,
            font={"size": 15, "color": colour},
        )

    def add_picture(self, panel: Panel, source: str) -> None:
        """A picture under everything, from corner to corner of the territory."""
        low, high = self.ground.low, self.ground.high
        self.figure.add_layout_image(
            source=source,
            xref=panel.axes["xaxis"],
            yref=panel.axes["yaxis"],
            x=low[0],
            y=high[1],
            sizex=high[0] - low[0],
            sizey=high[1] - low[1],
            sizing="stretch",
            layer="below",
        )

    def add_land(self, strength: float) -> None:
        """Every panel in the colours of the emotions that are strongest there."""
        source = picture_of_kinds(self.space, self.ground, strength)
        for panel in self.panels:
            self.add_picture(panel, source)

    def add_paths(self, panel: Panel, width: float, opacity: float = 1.0, above: int = 0) -> None:
        """The ways of the pure emotions from rest to their highest intensity. above: the figure's
        points that must not cover them; 0 where they may."""
        for emotion, path in self.paths.items():
            colour = self.space.kinds[emotion].colour
            quiet = {"hoverinfo": "skip", "showlegend": False, "mode": "lines"} | panel.axes
            quiet |= {"x": path[:, 0].round(5), "y": path[:, 1].round(5), "opacity": opacity}
            for ink, wide in (("white", width + 3), (colour, width)):
                add_points(self.figure, above, **quiet, line={"color": ink, "width": wide})
        mark = {"size": 9 if above else 6, "color": "white", "line": {"color": FLOOR, "width": 2}}
        quiet = {"hoverinfo": "skip", "showlegend": False, "mode": "markers"} | panel.axes
        add_points(self.figure, above, x=[self.rest[0]], y=[self.rest[1]], marker=mark, **quiet)

    def add_names(self, panel: Panel, size: float, more: Sequence[tuple[str, np.ndarray]] = ()) -> None:
        """Names at the ends of the paths and at rest, and `more` of them (name, place) in small."""
        names = [self.space.emotions[k] for k in self.paths] + [self.space.rest_name]
        inks = [self.space.kinds[k].colour for k in self.paths] + ["#5b6472"]
        ends = [path[-1] for path in self.paths.values()] + [self.rest]
        centre = np.mean(ends, axis=0)
        outward = [path[-1] - path[-12] + 0.5 * (path[-1] - centre) for path in self.paths.values()]
        outward += [self.rest - centre] + [place - centre for _, place in more]
        fonts = [size] * len(names) + [0.8 * size] * len(more)
        names += [name for name, _ in more]
        inks += [INK] * len(more)
        anchors = np.array(ends + [place for _, place in more])
        scale = self.pixels_per_unit(panel)
        sizes = np.array([text_size(name, font) for name, font in zip(names, fonts, strict=True)])
        avoid = np.concatenate([*self.paths.values(), anchors])
        half = np.array(panel.pixels) / 2
        middle = (self.low + self.high) / 2
        chosen = offsets(
            (anchors - middle) * scale,
            sizes,
            np.array(outward),
            (avoid - middle) * scale,
            np.stack([4 - half, half - 4]),
        )
        for name, ink, font, anchor, offset in zip(names, inks, fonts, anchors, chosen, strict=True):
            self._add_name(panel, name, ink, font, anchor, offset)

    def _add_name(
        self, panel: Panel, name: str, ink: str, font: float, anchor: np.ndarray, offset: np.ndarray
    ) -> None:
        safe = html.escape(name, quote=False)
        self.figure.add_annotation(
            text=f"<b>{safe}</b>" if ink != INK else f"<i>{safe}</i>",
            x=anchor[0],
            y=anchor[1],
            xref=panel.axes["xaxis"],
            yref=panel.axes["yaxis"],
            ax=offset[0],
            ay=-offset[1],
            showarrow=True,
            arrowhead=0,
            arrowwidth=1,
            arrowcolor=FAINT,
            standoff=5,
            font={"size": font, "color": ink, "shadow": HALO},
        )


def add_points(figure: go.Figure, count: int, **trace: Any) -> None:
    """A trace drawn by WebGL where `count`, the figure's points in all, is large.

    WebGL is drawn over all vectors: what must lie above such points is given their count too.
    """
    kind = go.Scattergl if count > WEBGL_FROM else go.Scatter
    figure.add_trace(kind(**({"mode": "markers"} | trace)))
