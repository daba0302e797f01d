"""Heat-maps of attention: words on one axis, the audio's time on the other."""

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from mer_jax.evaluation.alignment import shares
from mer_jax.evaluation.attention_record import AttentionRecord, Example
from mer_jax.evaluation.figure_style import BLUES, SECOND, styled

COLUMNS = 3
BINS = 240  # most columns of a heat-map; longer recordings are summed up to them
ROW_HEIGHT = 23


def heat_maps(record: AttentionRecord) -> go.Figure | None:
    """A heat-map for each of the record's examples; None where there is none.

    A row is a word and adds up to its whole attention (divided by its sum), a column is a
    stretch of audio, white where the alignment lets the word attend to nothing. The true span of
    each word is outlined.
    """
    if not record.examples:
        return None
    columns = min(COLUMNS, len(record.examples))
    rows = -(-len(record.examples) // columns)
    most = [max(len(e.words) for e in record.examples[r * columns :][:columns]) for r in range(rows)]
    figure = make_subplots(
        rows=rows,
        cols=columns,
        subplot_titles=[e.id for e in record.examples],
        row_heights=most,
        horizontal_spacing=0.09,
        vertical_spacing=0.2 / rows,
    )
    for number, example in enumerate(record.examples):
        _add(figure, example, record.rate, number // columns + 1, number % columns + 1)
    figure.update_annotations(font={"size": 12})
    for column in range(1, columns + 1):
        figure.update_xaxes(title_text="Seconds", row=rows, col=column)
    figure.update_layout(coloraxis=_colours())
    height = 90 + round(sum(most) * ROW_HEIGHT / (1 - 0.2 * (rows - 1) / rows))
    return styled(figure, height=height, showlegend=False, margin={"l": 84, "t": 36, "r": 20, "b": 52})


def grid(example: Example, rate: float) -> tuple[np.ndarray, float]:
    """[words, bins] share of each word's attention in each stretch of audio, NaN where it has no
    key, and the seconds a stretch lasts."""
    frames = max(1, -(-example.frames // BINS))
    out = np.full((len(example.words), -(-example.frames // frames)), np.nan)
    there = example.positions >= 0
    values = np.nan_to_num(shares(np.where(there, example.weights, 0)))
    word, key = np.nonzero(there)
    place = (word, example.positions[word, key] // frames)
    out[place] = 0
    np.add.at(out, place, values[word, key])
    return out, frames / rate


def outlines(spans: np.ndarray) -> tuple[list[float | None], list[float | None]]:
    """One line around each word's true span in its row; None lifts the pen."""
    x: list[float | None] = []
    y: list[float | None] = []
    for row, (start, end) in enumerate(spans.tolist()):
        x += [start, end, end, start, start, None]
        y += [row - 0.46, row - 0.46, row + 0.46, row + 0.46, row - 0.46, None]
    return x, y


def _add(figure: go.Figure, example: Example, rate: float, row: int, column: int) -> None:
    values, seconds = grid(example, rate)
    rows = list(range(len(example.words)))
    figure.add_heatmap(
        z=[[None if np.isnan(v) else round(float(v), 4) for v in line] for line in values],
        x=[round((k + 0.5) * seconds, 4) for k in range(values.shape[1])],
        y=rows,
        coloraxis="coloraxis",
        hoverongaps=False,
        hovertemplate="%{x:.2f} s: %{z:.3f}<extra></extra>",
        row=row,
        col=column,
    )
    x, y = outlines(example.spans)
    line = {"color": SECOND, "width": 1.4}
    figure.add_scatter(x=x, y=y, mode="lines", line=line, hoverinfo="skip", row=row, col=column)
    figure.update_yaxes(
        tickvals=rows,
        ticktext=_ticks(example.words),
        range=[len(rows) - 0.4, -0.6],
        ticks="",
        showgrid=False,
        tickfont={"size": 11},
        row=row,
        col=column,
    )
    figure.update_xaxes(range=[0, example.frames / rate], showgrid=False, row=row, col=column)


def _ticks(words: Sequence[str]) -> list[str]:
    return [word if len(word) <= 12 else f"{word[:11]}\N{HORIZONTAL ELLIPSIS}" for word in words]


def _colours() -> dict[str, object]:
    """Dark from a fifth of a word's attention in one stretch on."""
    bar = {"title": {"text": "Share", "font": {"size": 12}}, "len": 0.3, "y": 1, "yanchor": "top"}
    return {"colorscale": BLUES, "cmin": 0, "cmax": 0.2, "colorbar": {**bar, "thickness": 12}}
