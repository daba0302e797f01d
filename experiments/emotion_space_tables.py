"""What `emotion_space` and `diagnose` print: the tables of the page, on the terminal."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.table import Table

from mer_jax.emotion_space.diagnostics import Diagnosis
from mer_jax.emotion_space.mapping import Map
from mer_jax.emotion_space.numbers import (
    DIAGNOSIS_HEAD,
    PERCEIVED_HEAD,
    QUALITY_HEAD,
    diagnosis_rows,
    perceived_rows,
    quality_rows,
)
from mer_jax.emotion_space.overlay import Overlay
from mer_jax.emotion_space.space import EmotionSpace


def quality_table(space: EmotionSpace, peer: Mapping[str, Any] | None) -> Table:
    """How faithful the map is."""
    head = QUALITY_HEAD if peer else QUALITY_HEAD[:2]
    return _table(f"the map of {space.made_of['corpus']}", head, quality_rows(space.quality, peer))


def diagnosis_table(found: Mapping[str, Diagnosis], title: str = "has a system collapsed?") -> Table:
    """A line per run."""
    return _table(title, DIAGNOSIS_HEAD, diagnosis_rows(found))


def perceived_table(people: Sequence[Overlay], space: Map) -> Table:
    """A line per condition."""
    return _table("how far perception is from intention", PERCEIVED_HEAD, perceived_rows(people, space))


def _table(title: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    table = Table(title=title, title_justify="left")
    for column, name in enumerate(head):
        table.add_column(name, overflow="fold", justify="right" if column else "left")
    for row in rows:
        table.add_row(*row[: len(head)])
    return table
