"""Heat-maps of attention: words on one axis, the audio's time on the other, the sound beneath."""

import dataclasses
import textwrap
from collections.abc import Iterator, Sequence

import numpy as np
import plotly.graph_objects as go

from mer_jax.evaluation.alignment import shares
from mer_jax.evaluation.attention_record import Example
from mer_jax.evaluation.figure_style import BLUES, FLOOR, SECOND, styled
from mer_jax.evaluation.sound_trace import frames_per_bin

COLUMNS = 3
APART = 0.09  # between columns, of the figure's width
ROW_HEIGHT, GAP, STRIP, BETWEEN = 23, 7, 44, 64  # pixels: a word, to the sound, the sound, to the next
WORD_SECONDS = 0.25  # about what a word lasts
MARGIN = {"l": 84, "t": 36, "r": 20, "b": 52}


@dataclasses.dataclass(frozen=True)
class _Place:
    """Where an example's heat-map and sound are drawn, in shares of the figure's width and height."""

    across: tuple[float, float]
    heat: tuple[float, float]
    sound: tuple[float, float]


def heat_maps(examples: Sequence[Example], rates: Sequence[float]) -> go.Figure | None:
    """A heat-map for each of the examples, its sound beneath; None where there is none.

    rates: attended states per second of each.

    A row is a word and adds up to its whole attention (divided by its sum), a column is a
    stretch of audio, white where the alignment lets the word attend to nothing. The true span of
    each word is outlined. The sound has the same time axis.
    """
    if not examples:
        return None
    columns = min(COLUMNS, len(examples))
    rows = [examples[k : k + columns] for k in range(0, len(examples), columns)]
    heights = [max(len(e.words) for e in row) * ROW_HEIGHT for row in rows]
    total = sum(heights) + len(rows) * (GAP + STRIP + BETWEEN) - BETWEEN
    figure = go.Figure()
    places = _places(heights, total, columns)
    for number, (example, rate, place) in enumerate(zip(examples, rates, places, strict=False)):
        _add(figure, example, rate, number + 1, place)
        lowest = number + columns >= len(examples)
        figure.update_layout({f"xaxis{_suffix(number + 1)}_title_text": "Seconds" if lowest else ""})
    seconds = max(grid(example, rate)[1] for example, rate in zip(examples, rates, strict=True))
    figure.update_layout(coloraxis=_colours(seconds))
    height = total + MARGIN["t"] + MARGIN["b"]
    return styled(figure, height=height, showlegend=False, hovermode="closest", margin=MARGIN)


def grid(example: Example, rate: float) -> tuple[np.ndarray, float]:
    """[words, bins] share of each word's attention in each stretch of audio, NaN where it has no
    key, and the seconds a stretch lasts. What lies on padding, in a system without masks, is not in it."""
    frames = frames_per_bin(example.frames)
    out = np.full((len(example.words), -(-example.frames // frames)), np.nan)
    there = example.positions >= 0
    values = np.nan_to_num(shares(np.where(there, example.weights, 0)))
    word, key = np.nonzero(there & (example.positions < example.frames))
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


def silhouette(trace: np.ndarray, seconds: float) -> tuple[list[float], list[float]]:
    """The outline of a sound: along the highest of each bin, and back along the lowest."""
    ends = np.repeat(np.arange(len(trace) + 1) * seconds, 2)[1:-1]
    low, high = (np.repeat(trace[:, side], 2) for side in (0, 1))
    x, y = np.concatenate([ends, ends[::-1]]), np.concatenate([high, low[::-1]])
    return [round(v, 4) for v in x.tolist()], [round(v, 5) for v in y.tolist()]


def _places(heights: Sequence[int], total: int, columns: int) -> Iterator[_Place]:
    """From left to right and from the top down; heights: of each row's heat-maps, in pixels."""
    width = (1 - APART * (columns - 1)) / columns
    top = float(total)
    for height in heights:
        floor = top - height
        heat = (floor / total, top / total)
        sound = ((floor - GAP - STRIP) / total, (floor - GAP) / total)
        for column in range(columns):
            left = column * (width + APART)
            yield _Place((left, min(left + width, 1.0)), heat, sound)
        top = floor - GAP - STRIP - BETWEEN


def _add(figure: go.Figure, example: Example, rate: float, number: int, place: _Place) -> None:
    """The example as the figure's `number`th: two y axes, of words and of sound, over one of time."""
    time, words, sound = _suffix(number), _suffix(2 * number - 1), _suffix(2 * number)
    _add_attention(figure, example, rate, f"x{time}", f"y{words}")
    x, y = silhouette(example.trace, example.trace_seconds)
    drawn = {"fill": "toself", "fillcolor": FLOOR, "line": {"color": FLOOR, "width": 0.6}}
    figure.add_scatter(x=x, y=y, mode="lines", hoverinfo="skip", xaxis=f"x{time}", yaxis=f"y{sound}", **drawn)
    figure.update_layout(
        {
            f"xaxis{time}": {
                "domain": place.across,
                "anchor": f"y{sound}",
                "range": [0, example.frames / rate],
                "showgrid": False,
                "nticks": 7,
                "tickfont": {"size": 11},
            },
            f"yaxis{words}": _word_axis(example.words) | {"domain": place.heat, "anchor": f"x{time}"},
            f"yaxis{sound}": _sound_axis(example) | {"domain": place.sound, "anchor": f"x{time}"},
        }
    )
    figure.add_annotation(
        text=example.id,
        x=sum(place.across) / 2,
        y=place.heat[1],
        xref="paper",
        yref="paper",
        yanchor="bottom",
        showarrow=False,
        font={"size": 12},
    )


def _add_attention(figure: go.Figure, example: Example, rate: float, x_axis: str, y_axis: str) -> None:
    values, seconds = grid(example, rate)
    figure.add_heatmap(
        z=[[None if np.isnan(v) else round(float(v), 4) for v in line] for line in values],
        x=[round((k + 0.5) * seconds, 4) for k in range(values.shape[1])],
        y=list(range(len(example.words))),
        coloraxis="coloraxis",
        hoverongaps=False,
        hovertemplate="%{x:.2f} s: %{z:.3f}<extra></extra>",
        xaxis=x_axis,
        yaxis=y_axis,
    )
    x, y = outlines(example.spans)
    line = {"color": SECOND, "width": 1.4}
    figure.add_scatter(x=x, y=y, mode="lines", line=line, hoverinfo="skip", xaxis=x_axis, yaxis=y_axis)


def _word_axis(words: Sequence[str]) -> dict[str, object]:
    short = [word if len(word) <= 12 else f"{word[:11]}\N{HORIZONTAL ELLIPSIS}" for word in words]
    return {
        "tickvals": list(range(len(words))),
        "ticktext": short,
        "range": [len(words) - 0.4, -0.6],
        "ticks": "",
        "showgrid": False,
        "tickfont": {"size": 11},
        "ticklabelstandoff": 4,
    }


def _sound_axis(example: Example) -> dict[str, object]:
    """Named where the words are; as high as this sound goes, and as low below 0 where it does."""
    reach = float(np.abs(example.trace).max(initial=0)) * 1.05 or 1.0
    low = -reach if example.trace[:, 0].any() else 0.0
    return {
        "tickvals": [(low + reach) / 2],
        "ticktext": ["<br>".join(textwrap.wrap(example.trace_name, 12))],
        "range": [low, reach],
        "ticks": "",
        "showgrid": False,
        "tickfont": {"size": 10},
        "ticklabelstandoff": 4,
    }


def _suffix(number: int) -> str:
    return "" if number == 1 else str(number)


def _colours(seconds: float) -> dict[str, object]:
    """Darkest where a stretch of `seconds` holds as much, to one digit, or more than it does of
    attention that lies evenly on `WORD_SECONDS`."""
    most = float(f"{min(seconds / WORD_SECONDS, 1.0):.1g}")
    ticks = [most * quarter / 4 for quarter in range(5)]
    labels = [f"{tick:.2g}" for tick in ticks]
    bar = {
        "title": {"text": "Share<br> ", "font": {"size": 12}},
        "tickvals": ticks,
        "ticktext": labels if most == 1 else [*labels[:-1], f"\N{GREATER-THAN OR EQUAL TO} {labels[-1]}"],
        "tickfont": {"size": 11},
        "lenmode": "pixels",
        "len": 190,
        "y": 1,
        "yanchor": "top",
        "thickness": 12,
    }
    return {"colorscale": BLUES, "cmin": 0, "cmax": most, "colorbar": bar}
