"""Predictions over the map: where they lie, and which way they err."""

import dataclasses
import html
from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Int

from mer_jax.emotion_space import hover
from mer_jax.emotion_space.canvas import MARGIN, Canvas, Panel, add_points, rows_of_panels
from mer_jax.emotion_space.mapping import Kind, Map
from mer_jax.emotion_space.overlay import Overlay
from mer_jax.evaluation.figure_style import styled

LAND = 0.26
CELLS = 16  # along the map's longer side
FEWEST = 5  # rows that a cell's mean arrow needs
ARROWS = 72
TRUTH = "Truth"


@dataclasses.dataclass(frozen=True)
class Displacement:
    """A cell of the grid: [2] means of its rows' true places and of their predicted ones, how many
    rows, and the commonest kind of truth."""

    start: np.ndarray
    end: np.ndarray
    count: int
    kind: Kind


def predictions_on_map(space: Map, overlays: Sequence[Overlay]) -> go.Figure:
    """The truth, then each system's predictions, a panel each, in the colour of the strongest
    TRUE emotion; zooming one panel zooms all."""
    columns = min(3, len(overlays) + 1) if len(overlays) != 3 else 2
    panels, total = rows_of_panels(space, len(overlays) + 1, columns)
    canvas = _canvas(space, panels, overlays)
    _add_truth(canvas, panels[0], overlays[0])
    points = sum(len(o) for o in overlays)
    for panel, overlay in zip(panels[1:], overlays, strict=True):
        canvas.add_title(panel, overlay.name, f"{len(overlay):,} {space.rows}")
        canvas.add_paths(panel, 1.6, 0.9)
        for kind in _commonest_first(space, overlay):
            _add_kind(canvas, panel, overlay, kind, points)
        canvas.add_names(panel, 13.0)
    return _finished(canvas, total)


def sampled_errors(space: Map, overlays: Sequence[Overlay], seed: int = 0, arrows: int = ARROWS) -> go.Figure:
    """An arrow from truth to prediction for a sample of rows, the same for all systems."""
    panels, total = rows_of_panels(space, len(overlays), 2)
    canvas = _canvas(space, panels, overlays)
    chosen = sampled_ids(space, overlays, seed, arrows)
    for panel, overlay in zip(panels, overlays, strict=True):
        sample = overlay.where(np.isin(overlay.ids, list(chosen)))
        canvas.add_title(panel, overlay.name, f"{len(sample):,} of {len(overlay):,} {space.rows}")
        canvas.add_paths(panel, 1.2, 0.45)
        for kind in space.kinds:
            _add_arrows(canvas, panel, sample, kind)
        canvas.add_names(panel, 13.0)
    return _finished(canvas, total)


def mean_errors(space: Map, overlays: Sequence[Overlay]) -> go.Figure:
    """Per cell of a grid over the true places, an arrow from their mean to that of their
    predictions, in the colour of the cell's commonest kind; the wider, the more rows."""
    panels, total = rows_of_panels(space, len(overlays), 2)
    canvas = _canvas(space, panels, overlays)
    for panel, overlay in zip(panels, overlays, strict=True):
        cells = displacements(space, overlay)
        canvas.add_title(panel, overlay.name, f"{len(overlay):,} {space.rows} in {len(cells)} cells")
        canvas.add_paths(panel, 1.2, 0.45)
        for cell in cells:
            _add_mean_arrow(canvas, panel, cell)
        canvas.add_names(panel, 13.0)
    return _finished(canvas, total)


def sampled_ids(space: Map, overlays: Sequence[Overlay], seed: int, arrows: int) -> set[str]:
    """Ids that all systems share (of the first where none are), as many of each kind of truth as
    there are, up to an equal share of `arrows`."""
    shared = set(overlays[0].ids.tolist()).intersection(*(o.ids.tolist() for o in overlays[1:]))
    first = overlays[0].where(np.isin(overlays[0].ids, list(shared))) if shared else overlays[0]
    dominant = space.dominant(first.truth)
    random = np.random.default_rng(seed)
    present = [kind.index for kind in space.kinds if (dominant == kind.index).any()]
    each = max(1, arrows // max(1, len(present)))
    chosen: set[str] = set()
    for index in present:
        ids = np.unique(first.ids[dominant == index])
        chosen |= set(random.permutation(ids)[:each].tolist())
    return chosen


def displacements(space: Map, overlay: Overlay) -> list[Displacement]:
    """The cells of the grid that hold enough rows."""
    truth, predicted = space.place(overlay.truth), space.place(overlay.predicted)
    low = space.places.min(0)
    side = float(np.ptp(space.places, axis=0).max()) / CELLS or 1.0
    cells, cell_of = np.unique(np.floor((truth - low) / side).astype(int), axis=0, return_inverse=True)
    dominant = space.dominant(overlay.truth)
    made = []
    for number in range(len(cells)):
        here = cell_of.reshape(-1) == number
        if here.sum() >= FEWEST:
            kind = max(space.kinds, key=lambda kind: int((dominant[here] == kind.index).sum()))
            made.append(Displacement(truth[here].mean(0), predicted[here].mean(0), int(here.sum()), kind))
    return made


def _canvas(space: Map, panels: Sequence[Panel], overlays: Sequence[Overlay]) -> Canvas:
    seen = [space.place(states) for o in overlays for states in (o.truth, o.predicted) if len(o)]
    canvas = Canvas(space, panels, np.concatenate(seen) if seen else None)
    canvas.add_land(LAND)
    return canvas


def _finished(canvas: Canvas, total: float) -> go.Figure:
    for kind in canvas.space.kinds:
        marker = {"size": 10, "color": kind.colour}
        canvas.figure.add_scatter(
            x=[None],
            y=[None],
            mode="markers",
            marker=marker,
            name=html.escape(kind.name),
            legendgroup=kind.name,
        )
    legend = {"orientation": "h", "x": 0, "y": -8 / total, "yanchor": "top", "itemsizing": "constant"}
    margin = MARGIN | {"b": 48}
    return styled(canvas.figure, height=round(total) + 56, margin=margin, legend=legend, hovermode="closest")


def _commonest_first(space: Map, overlay: Overlay) -> list[Kind]:
    """The kinds of truth there are; the rarest last, that is on top."""
    dominant = space.dominant(overlay.truth)
    counts = {kind: int((dominant == kind.index).sum()) for kind in space.kinds}
    return sorted((kind for kind in space.kinds if counts[kind]), key=lambda kind: -counts[kind])


def _add_truth(canvas: Canvas, panel: Panel, overlay: Overlay) -> None:
    """A point per distinct true state, its area the number of rows."""
    space = canvas.space
    states, first, counts = np.unique(overlay.truth, axis=0, return_index=True, return_counts=True)
    canvas.add_title(
        panel, TRUTH, f"{len(overlay):,} {space.rows} in {len(states):,} states; the larger, the more"
    )
    canvas.add_paths(panel, 1.6, 0.9)
    places, dominant = space.place(states), space.dominant(states)
    sizes = 4.5 + 16 * np.sqrt((counts - 1) / max(counts.max() - 1, 1))
    shares = np.array(
        [f"{count:,} {space.rows}, among them " if count > 1 else "" for count in counts.tolist()]
    )
    for kind in _commonest_first(space, overlay):
        here = np.flatnonzero(dominant == kind.index)
        rows = first[here]
        names = [f"{share}{one}" for share, one in zip(shares[here], overlay.ids[rows], strict=True)]
        add_points(
            canvas.figure,
            len(states),
            x=places[here, 0].astype(np.float32),
            y=places[here, 1].astype(np.float32),
            marker={"color": kind.colour, "size": sizes[here].round(1), "opacity": 0.75},
            showlegend=False,
            legendgroup=kind.name,
            customdata=states[here],
            hovertemplate=hover.of_states(space.emotions),
            **hover.told(names, overlay.transcripts[rows]),
            **panel.axes,
        )
    canvas.add_names(panel, 13.0)


def _add_kind(canvas: Canvas, panel: Panel, overlay: Overlay, kind: Kind, points: int) -> None:
    """The predictions whose truth is of one kind, the fainter, the more there are."""
    space = canvas.space
    here = np.flatnonzero(space.dominant(overlay.truth) == kind.index)
    places = space.place(overlay.predicted[here]).astype(np.float32)
    opacity = float(np.clip(0.75 - 0.14 * np.log10(max(len(here), 1)), 0.25, 0.7))
    add_points(
        canvas.figure,
        points,
        x=places[:, 0],
        y=places[:, 1],
        marker={"color": kind.colour, "size": 5 if len(overlay) < 3000 else 4, "opacity": round(opacity, 2)},
        showlegend=False,
        legendgroup=kind.name,
        **_hover_of(space, overlay, here),
        **panel.axes,
    )


def _hover_of(space: Map, overlay: Overlay, rows: Int[np.ndarray, " k"]) -> dict[str, object]:
    values = np.concatenate([overlay.truth[rows], overlay.predicted[rows]], axis=1)
    return {
        **hover.told(overlay.ids[rows], overlay.transcripts[rows]),
        "customdata": values.astype(np.float32),
        "hovertemplate": hover.of_predictions(space.emotions),
    }


def _add_arrows(canvas: Canvas, panel: Panel, sample: Overlay, kind: Kind) -> None:
    """Lines that lift the pen after each arrow; the truth's end is a ring, the other a tip."""
    space = canvas.space
    rows = np.flatnonzero(space.dominant(sample.truth) == kind.index)
    if not len(rows):
        return
    truth, predicted = space.place(sample.truth[rows]), space.place(sample.predicted[rows])
    gap = np.full_like(truth, np.nan)
    way = np.stack([truth, predicted, gap], axis=1).reshape(-1, 2)
    shown = _hover_of(space, sample, np.repeat(rows, 3))
    canvas.figure.add_scatter(
        x=way[:, 0],
        y=way[:, 1],
        mode="lines+markers",
        line={"color": kind.colour, "width": 1.5},
        opacity=0.85,
        marker={
            "symbol": ["circle-open", "arrow", "circle"] * len(rows),
            "angleref": "previous",
            "size": [5, 9, 0] * len(rows),
            "color": kind.colour,
        },
        showlegend=False,
        legendgroup=kind.name,
        **shown,
        **panel.axes,
    )


def _add_mean_arrow(canvas: Canvas, panel: Panel, cell: Displacement) -> None:
    start, end, count, kind = cell.start, cell.end, cell.count, cell.kind
    width = float(np.clip(0.9 + 0.75 * np.log10(count / FEWEST + 1), 1, 3.4))
    told = (
        f"<b>{count:,} {html.escape(canvas.space.rows)}</b><br>{html.escape(kind.name)} the commonest truth"
    )
    canvas.figure.add_scatter(
        x=[start[0], end[0]],
        y=[start[1], end[1]],
        mode="lines+markers",
        line={"color": kind.colour, "width": width},
        marker={
            "symbol": ["circle", "arrow"],
            "angleref": "previous",
            "size": [3 + width, 6 + 2.4 * width],
            "color": kind.colour,
            "line": {"color": ["white", kind.colour], "width": [1, 0]},
        },
        hovertemplate=f"{told}<extra></extra>",
        showlegend=False,
        legendgroup=kind.name,
        **panel.axes,
    )
