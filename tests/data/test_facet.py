"""Columns by CMU-MultimodalSDK, issues 239 (FACET 4.2) and 172 (FACET 4.1)."""

import pytest

from mer_jax.data.facet import FACET_41, FACET_42, without_emotion_scores

NINE = ("Anger", "Contempt", "Disgust", "Joy", "Fear", "Sadness", "Surprise", "Confusion", "Frustration")


def test_the_nine_scores_of_facet_42_are_dropped_by_place():
    found = without_emotion_scores(35, facet=True)
    assert found.names == ("Baseline", *FACET_42[10:])
    assert found.kept == (5, *range(10, 35))
    (note,) = found.notes
    assert note.startswith("WARNING: 9 of 35 video columns were dropped")
    assert "by place" in note
    assert ", ".join(NINE) in note


def test_names_win_over_places():
    names = ("AU1", "joy_evidence", "sadnessIntensity", "Pitch")
    found = without_emotion_scores(4, names, facet=False)
    assert (found.names, found.kept) == (("AU1", "Pitch"), (0, 3))
    assert "recognised by name): joy_evidence, sadnessIntensity" in found.notes[0]


def test_facet_41_has_24_scores_of_47():
    found = without_emotion_scores(47, facet=True)
    assert len(FACET_41) == 47
    assert found.names == (*FACET_41[:4], *FACET_41[28:])
    assert found.notes[0].startswith("WARNING: 24 of 47")


def test_kept_scores_are_named_for_the_audit():
    found = without_emotion_scores(35, facet=True, keep=True)
    assert found.names == FACET_42
    assert found.kept == tuple(range(35))
    assert found.notes == ()


@pytest.mark.parametrize("facet", [False, True])
def test_columns_that_cannot_be_told(facet):
    found = without_emotion_scores(20, facet=facet)
    assert (found.names, found.kept) == ((), tuple(range(20)))
    assert [("emotion scores may be among them" in note) for note in found.notes] == [True] * facet


def test_openface_has_no_scores():
    names = ("AU01_r", "AU45_c", "gaze_angle_x", "pose_Rx", "confidence", "success")
    assert without_emotion_scores(6, names, facet=False).kept == tuple(range(6))
