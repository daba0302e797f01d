"""The report of an emotion space: the map, runs on it, verdicts, what moves, how good the map is."""

import html
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

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
from mer_jax.emotion_space.sections import map_sections, overlay_sections, trajectory_sections
from mer_jax.emotion_space.space import EmotionSpace
from mer_jax.emotion_space.trajectories import TrajectoryGroup
from mer_jax.evaluation.report_page import Section, page

QUALITY_NOTE = (
    "T(12) is 1 where all of a place's 12 neighbours are neighbours of its state, C(12) where all of a state's "
    "neighbours are near its place. Held out: {rule}, of which only states that train lacks count. Between: "
    "observed states with Gaussian noise of a twentieth of the highest intensity. Paths: 10,000 straight ways of 60 "
    "frames from one observed state to another; a map that tears has long steps."
)
DIAGNOSIS_NOTE = (
    "Variance: of the predictions over that of the truth. Effective rank: in how many directions states spread. Axes "
    "told: in how many of them emotions are told apart. Energy ratio: distance of the predicted cloud from the true "
    "one, over that between two halves of the truth. Map reached: share of the map's occupied cells in which a "
    "prediction lies, beside that in which the truth does."
)
PERCEIVED_NOTE = (
    "Each clip was made to show one emotion at its fullest; people saw it, heard it, or both, and voted. Distances "
    "are means over clips: between shares of votes (from 0 to 1.41), and on the map in its radii."
)


def space_sections(
    space: EmotionSpace,
    space_map: Map,
    overlays: Sequence[Overlay],
    found: Mapping[str, Diagnosis],
    hidden: Sequence[str],
    courses: Sequence[TrajectoryGroup],
    peer: Mapping[str, Any] | None = None,
    people: Sequence[Overlay] = (),
) -> list[Section]:
    """The cards of the page.

    overlays: runs, or what people perceived (`people`, a part of them). found: a diagnosis of each run.
    hidden: what their errors hide. courses: what moves. peer: another map's figures.
    """
    return [
        *map_sections(space_map),
        *overlay_sections(space_map, overlays),
        *_perceived(people, space_map),
        *_diagnosis(found, hidden),
        *trajectory_sections(space_map, courses),
        Section(
            "quality",
            "How faithful the map is",
            _table(QUALITY_HEAD if peer else QUALITY_HEAD[:2], quality_rows(space.quality, peer)),
            caption=QUALITY_NOTE.format(rule=space.made_of["held_out"]),
            wide=True,
        ),
    ]


def space_page(space: EmotionSpace, sections: Sequence[Section]) -> str:
    """The whole page."""
    badges = [("generated", "GENERATED DATA")] if space.made_of["generated"] else []
    return page(f"Emotion space: {space.made_of['corpus']}", badges, sections)


def _diagnosis(found: Mapping[str, Diagnosis], hidden: Sequence[str]) -> list[Section]:
    if not found:
        return []
    said = "".join(
        f"<li><b>{html.escape(name)}</b>: {html.escape(one.verdict)}</li>" for name, one in found.items()
    )
    said += "".join(f"<li class='warning'>{html.escape(sentence)}</li>" for sentence in hidden)
    body = f"<ul>{said}</ul>{_table(DIAGNOSIS_HEAD, diagnosis_rows(found))}"
    return [Section("diagnosis", "Has a system collapsed?", body, caption=DIAGNOSIS_NOTE, wide=True)]


def _perceived(people: Sequence[Overlay], space: Map) -> list[Section]:
    if not people:
        return []
    body = _table(PERCEIVED_HEAD, perceived_rows(people, space))
    return [
        Section("perceived", "How far perception is from intention", body, caption=PERCEIVED_NOTE, wide=True)
    ]


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    top = "".join(f"<th class='{_kind(k)}'>{html.escape(name)}</th>" for k, name in enumerate(head))
    body = "".join(
        "<tr>"
        + "".join(
            f"<td class='{_kind(k)}'>{html.escape(cell)}</td>" for k, cell in enumerate(row[: len(head)])
        )
        + "</tr>"
        for row in rows
    )
    return f"<div class='scroll'><table class='scores'><thead><tr>{top}</tr></thead>{body}</table></div>"


def _kind(column: int) -> str:
    return "number" if column else ""
