"""The map's figures: what is drawn, in which colours, and what it says when pointed at."""

import dataclasses
import html
import re

import numpy as np
import pytest

from mer_jax.emotion_space import hover
from mer_jax.emotion_space.canvas import WEBGL_FROM, rows_of_panels
from mer_jax.emotion_space.figures_map import emotion_map, where_emotions_rise
from mer_jax.emotion_space.figures_overlay import (
    ARROWS,
    displacements,
    mean_errors,
    predictions_on_map,
    sampled_errors,
    sampled_ids,
)
from mer_jax.emotion_space.labels import shortened, text_size
from mer_jax.emotion_space.sections import map_sections, overlay_sections, trajectory_sections
from mer_jax.emotion_space.trajectories import of_groups
from mer_jax.errors import InputError
from mer_jax.evaluation.report_page import page
from tests.emotion_space.spaces import EMOTIONS, overlay, space, transform


def test_every_state_is_a_point_in_the_colour_of_its_strongest_emotion():
    made = space()
    drawn = [trace for trace in emotion_map(made).data if trace.legendgroup == "kinds"]
    assert sum(len(trace.x) for trace in drawn) == len(made.states)
    for trace, kind in zip(drawn, made.kinds, strict=True):
        assert trace.marker.color == kind.colour
        assert trace.name.startswith(html.escape(kind.name))
        assert (made.dominant(np.asarray(trace.customdata)) == kind.index).all()
        places = made.place(np.asarray(trace.customdata))
        np.testing.assert_allclose(np.stack([trace.x, trace.y], 1), places, atol=1e-5)


def test_a_point_of_more_rows_is_larger():
    made = space()
    for trace in (trace for trace in emotion_map(made).data if trace.legendgroup == "kinds"):
        counts = [int(text.split()[0].replace(",", "")) for text in trace.text]
        assert (np.diff(np.asarray(trace.marker.size)[np.argsort(counts)]) >= 0).all()


def test_names_stand_at_the_ends_of_the_paths():
    made = space()
    notes = {re.sub("<.*?>", "", note.text): note for note in emotion_map(made).layout.annotations}
    for k, name in enumerate(EMOTIONS):
        end = made.place(made.pure(k, np.array([1.0])))[0]
        note = notes.get(name) or notes[re.sub("<.*?>", "", html.escape(name, quote=False))]
        np.testing.assert_allclose([note.x, note.y], end, atol=1e-5)
        assert note.font.color == made.kinds[k].colour
    assert "neutral" in notes


def test_panels_of_maps_of_any_shape_lie_in_the_plotting_area():
    made = space()
    for stretch in np.linspace(0.2, 3, 400):
        drawn = dataclasses.replace(made, transform=lambda x: transform(x) * np.array([[1, stretch]]))  # noqa: B023
        panels, total = rows_of_panels(drawn, 3, 2)
        shares = np.array([[*panel.across, *panel.up] for panel in panels])
        assert ((shares >= 0) & (shares <= 1)).all()
        assert (shares[:, 3] - shares[:, 2]) * total == pytest.approx(panels[0].pixels[1])


def test_a_panel_per_emotion_with_its_colour():
    made = space()
    figure = where_emotions_rise(made)
    contours = [trace for trace in figure.data if trace.type == "contour"]
    assert [trace.colorscale[-1][1] for trace in contours] == [kind.colour for kind in made.kinds[:3]]
    assert len(figure.layout.images) == 3
    assert figure.layout.xaxis3.matches == "x"


def test_panels_of_the_truth_and_of_each_system_are_linked():
    made, laid = space(), [overlay(), overlay("other", noise=1.0)]
    figure = predictions_on_map(made, laid)
    assert (figure.layout.xaxis2.matches, figure.layout.yaxis3.matches) == ("x", "y")
    points = [trace for trace in figure.data if trace.customdata is not None]
    for axis, one in (("x2", laid[0]), ("x3", laid[1])):
        here = [trace for trace in points if trace.xaxis == axis]
        assert sum(len(trace.x) for trace in here) == len(one)
        values = np.concatenate([trace.customdata for trace in here])
        placed = np.concatenate([np.stack([trace.x, trace.y], 1) for trace in here])
        np.testing.assert_allclose(placed, made.place(values[:, 3:]), atol=1e-5)
        for trace in here:
            own = [kind.index for kind in made.kinds if kind.colour == trace.marker.color]
            assert set(made.dominant(np.asarray(trace.customdata)[:, :3]).tolist()) == set(own)


def test_many_points_are_drawn_by_webgl():
    few, many = overlay(), overlay(count=WEBGL_FROM + 1)
    kinds = [
        {t.type for t in predictions_on_map(space(), [one]).data if t.xaxis == "x2"} for one in (few, many)
    ]
    assert "scattergl" not in kinds[0]
    assert "scattergl" in kinds[1]


def test_the_sample_is_seeded_shared_and_of_every_kind():
    made, one, other = space(), overlay(), overlay("other", count=120)
    chosen = sampled_ids(made, [one, other], 0, ARROWS)
    assert chosen == sampled_ids(made, [one, other], 0, ARROWS)
    assert chosen != sampled_ids(made, [one, other], 1, ARROWS)
    assert chosen <= set(other.ids.tolist())
    kinds = made.dominant(one.truth[np.isin(one.ids, list(chosen))])
    everywhere = made.dominant(one.truth[np.isin(one.ids, other.ids)])
    each = ARROWS // len(set(everywhere.tolist()))
    for kind in set(everywhere.tolist()):
        assert (kinds == kind).sum() == min(each, (everywhere == kind).sum())


def test_arrows_go_from_truth_to_prediction():
    made, one = space(), overlay()
    arrows = [t for t in sampled_errors(made, [one]).data if t.customdata is not None]
    for trace in arrows:
        values = np.asarray(trace.customdata)
        way = np.stack([trace.x, trace.y], 1)
        np.testing.assert_allclose(way[::3], made.place(values[::3, :3]))
        np.testing.assert_allclose(way[1::3], made.place(values[1::3, 3:]))
        assert np.isnan(way[2::3]).all()


def test_mean_arrows_are_means_of_their_cells():
    """All rows in one cell: the arrow is the mean of all, by hand."""
    made, one = space(), overlay(count=40)
    alike = one.where(np.flatnonzero((one.truth == 0).all(axis=1)))
    (cell,) = displacements(made, alike)
    np.testing.assert_allclose(cell.start, made.place(np.zeros((1, 3)))[0])
    np.testing.assert_allclose(cell.end, made.place(alike.predicted).mean(0))
    assert cell.count == len(alike)
    drawn = [t for t in mean_errors(made, [alike]).data if t.hovertemplate and "commonest" in t.hovertemplate]
    assert len(drawn) == 1


def test_hover_shows_a_short_transcript_and_all_values():
    text = "a <b> & word " * 30
    short = html.unescape(hover.shortened(text).replace("<br>", " "))
    assert len(short) <= 80
    assert text.startswith(short[:60])
    assert short.endswith(hover.ELLIPSIS)
    assert "<b>" not in hover.shortened(text)
    assert hover.shortened("x" * 200).replace("<br>", "") == "x" * 79 + hover.ELLIPSIS
    template = hover.of_predictions(EMOTIONS)
    assert re.findall(r"customdata\[(\d)\]", template) == ["0", "3", "1", "4", "2", "5"]
    assert "{new}" not in template


def test_the_page_opens_offline_and_says_how_many_arrows_are_shown():
    made, one = space(), overlay()
    groups = of_groups([one], ["dia2"])
    sections = [*map_sections(made), *overlay_sections(made, [one]), *trajectory_sections(made, groups)]
    text = page("A space", [], sections)
    assert [s.id for s in sections] == ["map", "rise", "predictions", "errors", "mean-errors", "trajectory-1"]
    assert f"{len(sampled_ids(made, [one], 0, ARROWS))} of 160 utterances" in text
    assert "Plotly.addFrames('figure-trajectory-1'" in text
    assert "Plotly.addFrames('figure-map'" not in text
    assert not re.search(r"<(script|link|img)[^>]+(src|href)=", text.partition("<body>")[2])
    assert "b<o>ld" not in text.partition("<body>")[2].partition("<script")[0]
    assert text == page("A space", [], [*map_sections(made), *sections[2:]])


def test_an_overlay_without_rows_or_of_another_width_is_named():
    none = overlay().where(np.zeros(160, bool))
    with pytest.raises(InputError, match="0 rows"):
        overlay_sections(space(), [none])
    assert overlay_sections(space(), []) == []


def test_a_long_name_keeps_both_ends_and_its_width():
    one, other = (f"unimodal-{'data.vectors-' * 8}{mark}-seed0" for mark in ("38ab11", "411e73"))
    found = [shortened(name, 15.0, 400.0) for name in (one, other)]
    assert len(set(found)) == 2
    for text in found:
        assert text_size(text, 15.0)[0] <= 400.0
        assert text.startswith("unimodal-")
        assert text.endswith("-seed0")
    assert shortened("neighbours", 15.0, 400.0) == "neighbours"
