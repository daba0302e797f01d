"""Overlays from predictions, trajectories from overlays, and the frames of their films."""

import dataclasses
import sys

import numpy as np
import pytest

from mer_jax.emotion_space.figures_trajectory import moving
from mer_jax.emotion_space.film import TAIL, film
from mer_jax.emotion_space.overlay import Overlay
from mer_jax.emotion_space.trajectories import Trajectory, TrajectoryGroup, frame_times, of_groups
from mer_jax.errors import InputError
from mer_jax.evaluation.figure_png import write_png
from mer_jax.evaluation.predictions import Predictions
from tests.emotion_space.spaces import EMOTIONS, overlay, space, transform


def predictions(**tables):
    n = len(next(iter(tables.values())))
    names = {"ids": [f"u{k}" for k in range(n)], "dialogues": ["d"] * n, "speakers": ["s"] * n}
    return Predictions.make(**names, splits=["test"] * n, folds=[0] * n, **tables)


def test_intensities_are_taken_by_name():
    values = np.arange(8.0).reshape(2, 4)
    run = predictions(intensities=values, predicted_intensities=values + 1)
    names = ("sadness", EMOTIONS[2], "Happiness", "sentiment")
    one = Overlay.from_predictions(
        "run", run, space(), emotions=names, transcripts={"u1": "hello"}, times={"u0": 2.0}
    )
    np.testing.assert_array_equal(one.truth, [[2, 0, 1], [6, 4, 5]])
    np.testing.assert_array_equal(one.predicted, one.truth + 1)
    assert one.transcripts.tolist() == ["", "hello"]
    np.testing.assert_array_equal(one.times, [2, np.nan])


def test_probabilities_are_states_and_rows_without_a_label_are_left_out():
    rows = np.array([[0.5, 0.3, 0.2, 0.0], [0.1, 0.2, 0.3, 0.4], [0.25] * 4])
    run = predictions(labels=[0, -1, 3], probabilities=rows)
    one = Overlay.from_predictions("run", run, space(), classes=("neutral", *EMOTIONS))
    assert one.ids.tolist() == ["u0", "u2"]
    np.testing.assert_allclose(one.truth, [[0, 0, 0], [0, 0, 3]])
    np.testing.assert_allclose(one.predicted, 3 * rows[[0, 2], 1:], rtol=1e-6)


@pytest.mark.parametrize("names", [("happiness", "sadness"), (*EMOTIONS, "calm"), ("a", "b", "c")])
def test_a_run_of_other_emotions_is_told_both_lists(names):
    values = np.zeros((2, len(names)))
    run = predictions(intensities=values, predicted_intensities=values)
    with pytest.raises(InputError, match="intensities " + ", ".join(names)) as told:
        Overlay.from_predictions("run", run, space(), emotions=names)
    assert ", ".join(EMOTIONS) in str(told.value)


def test_a_state_that_is_not_finite_is_named():
    one = overlay()
    with pytest.raises(InputError, match="1 states, first of 'dia0_utt3'"):
        dataclasses.replace(one, predicted=np.where(np.arange(160)[:, None] == 3, np.nan, one.predicted))


def test_a_dialogue_is_in_order_of_time_with_the_truth_first():
    one = overlay()
    shuffled = one.where(np.random.default_rng(0).permutation(len(one)))
    (group,) = of_groups([shuffled, dataclasses.replace(shuffled, name="other")], ["dia3"])
    assert [t.name for t in group.trajectories] == ["Truth", "a <system>", "other"]
    expected = one.where(one.groups == "dia3")
    np.testing.assert_array_equal(group.trajectories[0].states, expected.truth)
    np.testing.assert_array_equal(group.trajectories[1].states, expected.predicted)
    np.testing.assert_array_equal(group.points, expected.times)


def test_without_times_rows_are_turns_in_the_order_of_their_numbers():
    ids = np.array([f"d_u{k}" for k in (10, 2, 1, 30)])
    one = overlay(count=4)
    one = dataclasses.replace(one, ids=ids, times=np.full(4, np.nan), groups=np.array(["d"] * 4))
    truth = of_groups([one])[0].trajectories[0]
    np.testing.assert_array_equal(truth.states, one.truth[[2, 1, 0, 3]])
    assert (truth.times.tolist(), truth.clock) == ([1, 2, 3, 4], "turn")


def test_frames_are_straight_in_emotion_space_and_then_placed():
    """By hand: sixty equal steps between two states, each put through the map's transform."""
    states = np.array([[0, 0, 0], [3, 1, 0], [0, 2, 2]], np.float32)
    one = Trajectory("t", np.array([0.0, 1.0, 5.0]), states, ("a", "b", "c"))
    shown = film(space(), TrajectoryGroup("g", (one,)))
    assert len(shown.times) == 121
    for f, (start, end) in ((15, (0, 1)), (60, (1, 2)), (100, (1, 2))):
        share = (f - 60 * start) / 60
        expected = states[start] + share * (states[end] - states[start])
        np.testing.assert_allclose(shown.places[0][f], transform(expected[None])[0], atol=1e-5)
    assert (shown.said[0], shown.said[60], shown.said[119], shown.said[120]) == ("a", "b", "b", "c")


def test_trajectories_of_other_times_share_one_clock():
    slow = Trajectory("slow", np.array([1.0, 3.0]), np.array([[0.0], [2.0]]), ("", ""))
    quick = Trajectory("quick", np.array([0.0, 2.0]), np.array([[1.0], [3.0]]), ("", ""))
    group = TrajectoryGroup("g", (slow, quick))
    times = frame_times(group.points, 2)
    np.testing.assert_allclose(times, [0, 0.5, 1, 1.5, 2, 2.5, 3])
    np.testing.assert_allclose(slow.at(times)[:, 0], [0, 0, 0, 0.5, 1, 1.5, 2])


@pytest.mark.parametrize("together", [False, True])
def test_every_frame_moves_each_point_its_cursor_and_the_words(together):
    made = space()
    (group,) = of_groups([overlay()], ["dia1"])
    shown = film(made, group)
    figure = moving(made, group, together)
    assert len(figure.frames) == len(shown.times) == 7 * 60 + 1
    for f in (0, 77, 420):
        frame = figure.frames[f]
        assert frame.traces == tuple(range(len(figure.data) - 5, len(figure.data)))
        for k in (0, 1):
            tail, cursor = frame.data[2 * k], frame.data[2 * k + 1]
            assert len(tail.x) == TAIL
            np.testing.assert_allclose([tail.x[-1], tail.y[-1]], shown.places[k][f], atol=made.radius / 1000)
            assert cursor.x[0] == pytest.approx(shown.times[f], abs=1e-3)
    names = {step.args[0][0] for step in figure.layout.sliders[0].steps}
    assert names <= {frame.name for frame in figure.frames}
    assert {"0", "420"} <= names
    assert {trace.type for trace in figure.data} == {"scatter"}


def test_a_long_dialogue_stays_small():
    made, count = space(), 400
    random = np.random.default_rng(0)
    one = Trajectory("t", np.arange(float(count)), random.uniform(0, 3, (count, 3)), ("words",) * count)
    figure = moving(made, TrajectoryGroup("g", (one, dataclasses.replace(one, name="other"))))
    assert len(figure.to_json()) < 3.2e6


def test_a_single_point_does_not_move():
    one = Trajectory("t", np.array([0.0]), np.ones((1, 3)), ("",))
    figure = moving(space(), TrajectoryGroup("g", (one,)))
    assert not figure.frames
    assert not figure.layout.sliders


def test_contradictions_are_named():
    with pytest.raises(InputError, match="rise from point to point"):
        Trajectory("t", np.array([0.0, 0.0]), np.ones((2, 3)), ("", ""))
    with pytest.raises(InputError, match="as many"):
        Trajectory("t", np.array([0.0]), np.ones((2, 3)), ("", ""))
    with pytest.raises(InputError, match="at least one"):
        TrajectoryGroup("g", ())
    with pytest.raises(InputError, match="no row belongs to 'dia99'"):
        of_groups([overlay()], ["dia99"])
    two = Trajectory("t", np.array([0.0]), np.ones((1, 2)), ("",))
    with pytest.raises(InputError, match="the space has 3"):
        moving(space(), TrajectoryGroup("g", (two,)))


def test_without_kaleido_the_extra_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "kaleido", None)
    one = Trajectory("t", np.array([0.0]), np.ones((1, 3)), ("",))
    with pytest.raises(InputError, match=r"pip install 'mer-jax\[export\]'"):
        write_png(moving(space(), TrajectoryGroup("g", (one,))), tmp_path / "a.png", 300, 200)
    assert not list(tmp_path.iterdir())
