"""What a point says when pointed at."""

import html
import textwrap
from collections.abc import Iterable, Sequence

LETTERS, WIDTH = 80, 44
HEAD = "<b>%{text}</b>%{hovertext}"
ELLIPSIS, ARROW = "\N{HORIZONTAL ELLIPSIS}", "\N{RIGHTWARDS ARROW}"


def shortened(text: str) -> str:
    """At most about 80 letters of a transcript, ending at a word, in lines of 44, fit for HTML."""
    short = textwrap.shorten(text, LETTERS, placeholder=" " + ELLIPSIS)
    if short in ("", ELLIPSIS) and text.strip():
        short = text.strip()[: LETTERS - 1] + ELLIPSIS
    return "<br>".join(html.escape(line, quote=False) for line in textwrap.wrap(short, WIDTH))


def told(ids: Iterable[str], transcripts: Iterable[str]) -> dict[str, list[str]]:
    """A trace's texts: ids, and transcripts below them where there are any."""
    names = [html.escape(str(i), quote=False) for i in ids]
    short = [shortened(str(t)) for t in transcripts]
    return {"text": names, "hovertext": [f"<br>{line}" if line else "" for line in short]}


def of_states(emotions: Sequence[str], head: str = HEAD) -> str:
    """A hover template: `head` (its texts), then each emotion's value, from customdata [n, E]."""
    lines = [f"%{{customdata[{k}]:.2f}}  {safe(name)}" for k, name in enumerate(emotions)]
    return "<br>".join([head, *lines]) + "<extra></extra>"


def of_predictions(emotions: Sequence[str]) -> str:
    """A hover template: the texts, then truth and prediction of each emotion, from customdata
    [n, 2 E], all truths first."""
    count = len(emotions)
    lines = [
        f"%{{customdata[{k}]:.2f}} {ARROW} %{{customdata[{count + k}]:.2f}}  {safe(name)}"
        for k, name in enumerate(emotions)
    ]
    return "<br>".join([HEAD, f"truth {ARROW} prediction", *lines]) + "<extra></extra>"


def safe(name: str) -> str:
    """A name fit for a hover template."""
    return html.escape(name, quote=False).replace("{", "(").replace("}", ")")
