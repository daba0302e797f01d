"""`experiments.compare_alignments` as a user meets it."""

import json

import pytest

from experiments import compare_alignments
from experiments.command import parse
from mer_jax.data.corpus import prepare
from mer_jax.data.simulation import Options
from mer_jax.errors import InputError

TINY = ":model.hidden=4:model.dense=4:training.epochs=1:training.buckets=1"
BASE = f"lexico_acoustic_generated{TINY}"
ROW = {"score", "alignment", "feedback", "accuracy", "mass_in_span", "epoch_seconds"}  # of the issue


DUAL = "dual recurrent (hidden 4, epochs 1, buckets 1)"


def arguments(*argv):
    return parse(compare_alignments.Args, ["generated", "--base", BASE, *argv])


@pytest.fixture(scope="module")
def short(tmp_path_factory):
    """A generated corpus of few words, so that clips differ in length."""
    folder = tmp_path_factory.mktemp("prepared")
    prepare(
        "generated", None, folder, options=Options(dialogues=12, utterances=(3, 4), words=(3, 6), speakers=9)
    )
    return folder


def test_every_score_and_alignment_is_a_system_and_forced_knows_the_times():
    found = list(compare_alignments.variants(arguments()))
    models = [one.experiment.model for one in found]
    assert len({(m.score, m.alignment, m.feedback) for m in models}) == len(found) == 15
    assert [one.experiment.data.timed for one in found] == [
        "text" if m.alignment == "forced" else "" for m in models
    ]
    assert len({one.name for one in found}) == 15


def test_feedback_needs_a_decoder_and_is_in_the_names():
    decoder = f"{BASE}:model.encoder=decoder:model.attention-size=4"
    asked = ["--scores", "dot", "--alignments", "window", "--feedbacks", "none", "state", "input"]
    args = parse(compare_alignments.Args, ["generated", "--base", decoder, *asked])
    found = list(compare_alignments.variants(args))
    assert [one.experiment.model.feedback for one in found] == ["none", "state", "input"]
    assert found[2].name == "window (dot, feedback input)"
    with pytest.raises(InputError, match=r"needs a base whose model.encoder is decoder"):
        list(compare_alignments.variants(arguments("--feedbacks", "input")))


def test_the_questions_are_the_originals_errors():
    found = list(
        compare_alignments.variants(arguments("--scores", "concat", "--alignments", "global", "--questions"))
    )
    models = [one.experiment.model for one in found]
    assert [(m.auxiliary_states, m.masked) for m in models] == [
        ("in_order", True),
        ("scrambled_by_reshape", True),
        ("in_order", False),
    ]
    assert {(m.score, m.alignment) for m in models} == {("concat", "global")}


def test_what_stands_beside_reads_the_same_modalities():
    found = compare_alignments.others(
        arguments("--beside", "dual_recurrent:seed=3", "unimodal:data.modalities=text:seed=3")
    )
    assert [one.experiment.data.modalities for one in found] == [("text", "audio"), ("text",)]
    assert [one.name for one in found] == ["dual recurrent", "unimodal (text)"]


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--base", "late_fusion"], "'late_fusion' is no lexico-acoustic system"),
        (["--scores"], "--scores names none"),
        (["--alignments"], "--alignments names none"),
    ],
)
def test_bad_input_is_one_line(script, short, tmp_path, argv, message):
    where = ["--prepared", str(short), "--out", str(tmp_path / "runs")]
    result = script(compare_alignments, "generated", *argv, *where)
    assert result.code == 2
    assert message in result.err
    assert not (tmp_path / "runs").exists()


def test_a_comparison_leaves_its_rows_and_pictures(script, short, tmp_path):
    argv = [
        "generated",
        "--base",
        BASE,
        "--scores",
        "general",
        "--alignments",
        "global",
        "forced",
        "--questions",
    ]
    beside = "dual_recurrent:model.hidden=4:training.epochs=1:training.buckets=1"
    where = ["--prepared", str(short), "--out", str(tmp_path / "runs"), "--json", str(tmp_path / "rows.json")]
    result = script(compare_alignments, *argv, "--beside", beside, "--seeds", "2", "--name", "all", *where)
    assert result.code == 0, result.err
    rows = json.loads((tmp_path / "rows.json").read_text())
    assert rows == json.loads((tmp_path / "runs" / "all" / "alignments.json").read_text())
    named = {row["name"]: row for row in rows}
    assert set(named) == {
        "global (general)",
        "forced (general)",
        "global, scrambled reshape (general)",
        "global, no masks (general)",
        DUAL,
    }
    assert all(set(row) >= ROW for row in rows)
    assert named["forced (general)"]["mass_in_span"] == pytest.approx(1, abs=0.2)
    assert named["global (general)"]["mass_in_span"] < 0.5
    assert named[DUAL]["score"] is named[DUAL]["mass_in_span"] is None
    assert all(row["epoch_seconds"] > 0 for row in rows)
    comparison = json.loads((tmp_path / "runs" / "all" / "comparison.json").read_text())
    assert {row["name"]: row["mean"] for row in comparison["rows"]} == {
        n: r["mean"] for n, r in named.items()
    }
    assert "attention against the true word times" in result.out
    page = (tmp_path / "runs" / "all" / "report.html").read_text()
    assert "figure-attention-maps" in page
    again = script(compare_alignments, *argv, "--beside", beside, "--seeds", "2", "--name", "all", *where)
    assert "nothing has changed: nothing was computed" in again.err
