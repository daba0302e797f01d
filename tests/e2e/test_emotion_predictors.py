"""Intensities without a network, over time, and what they are worth: three scripts on the generated corpus."""

import json

import numpy as np
import pytest

from experiments import compare_predictors, diagnose, emotion_predictors, evaluate, predict, timeline
from mer_jax.evaluation.predictions import Predictions
from mer_jax.evaluation.timeline import Timeline

REGRESSION = ["--protocol.task", "regression", "--data.modalities", "text"]


@pytest.fixture
def made(script, prepared, tmp_path):
    """A predictor's run below tmp_path/runs."""

    def call(kind, *argv):
        where = ["--prepared", str(prepared), "--out", str(tmp_path / "runs"), "--name", kind]
        return script(emotion_predictors, kind, "unimodal_generated", *REGRESSION, *where, *argv)

    return call


def last_steps(path):
    """{id: intensities} of whole utterances, by the timeline."""
    found = Timeline.load(path / "timeline.npz")
    ends = found.offsets[1:] - 1
    return dict(zip(found.ids.tolist(), found.predicted_intensities[ends], strict=True))


def of_test(path):
    test = Predictions.load(path / "predictions.npz").part("test")
    return dict(zip(test.ids.tolist(), test.predicted_intensities, strict=True))


def assert_same(one, other):
    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_allclose(one[name], other[name], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["neighbours", "ridge"])
def test_a_predictor_leaves_a_run_folder_like_any_other(made, script, tmp_path, kind):
    done = made(kind, "--json", str(tmp_path / "scores.json"))
    assert done.code == 0, done.err
    path = tmp_path / "runs" / kind
    names = {
        "config.json",
        "protocol.json",
        "preprocessing.json",
        "predictions.npz",
        "metrics.json",
        "report.html",
    }
    assert names <= {file.name for file in path.iterdir()}
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert scores == json.loads((path / "metrics.json").read_text())
    assert {"mae", "mse", "ccc"} <= scores["test"].keys()
    assert {"mean", "median", "linear"} <= scores["floors"].keys()
    (tried,) = json.loads((path / "tried.json").read_text()).values()
    assert sum(row["chosen"] for row in tried) == 1
    assert script(evaluate, str(path)).code == 0
    assert_same(last_steps(path), of_test(path))


def test_a_trained_runs_timeline_ends_in_its_predictions(trained, script, prepared, tmp_path):
    done = trained(*REGRESSION, config="unimodal_generated")
    assert done.code == 0, done.err
    path = tmp_path / "runs" / "r"
    done = script(timeline, str(path), "--prepared", str(prepared), "--most", "3")
    assert done.code == 0, done.err
    assert_same(last_steps(path), of_test(path))
    steps = np.diff(Timeline.load(path / "timeline.npz").offsets)
    assert steps.max() == 3


def test_runs_are_diagnosed_beside_each_other(made, script, tmp_path):
    made("neighbours")
    made("ridge")
    paths = [str(tmp_path / "runs" / kind) for kind in ("neighbours", "ridge")]
    done = script(diagnose, *paths, "--json", str(tmp_path / "said.json"))
    assert done.code == 0, done.err
    said = json.loads((tmp_path / "said.json").read_text())
    assert set(said["runs"]) == {"neighbours", "ridge"}
    for name, one in said["runs"].items():
        assert f"- {name}: {one['verdict'][:30]}" in done.out
        assert len(one["emotions"]) == 6


def test_two_runs_of_one_name_are_both_diagnosed(made, script, tmp_path):
    made("ridge")
    made("neighbours")
    (tmp_path / "later").mkdir()
    (tmp_path / "runs" / "neighbours").rename(tmp_path / "later" / "ridge")
    paths = [str(tmp_path / folder / "ridge") for folder in ("runs", "later")]
    done = script(diagnose, *paths, "--json", str(tmp_path / "said.json"))
    assert done.code == 0, done.err
    assert set(json.loads((tmp_path / "said.json").read_text())["runs"]) == {"runs/ridge", "later/ridge"}


def test_a_run_without_a_network_can_predict_nothing_else_and_says_so(made, script, prepared, tmp_path):
    made("ridge")
    path = str(tmp_path / "runs" / "ridge")
    for module in (predict, timeline):
        done = script(module, path, "--prepared", str(prepared))
        assert (done.code, "holds no network" in done.err) == (2, True)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["neighbour", "unimodal_generated"], "predictor 'neighbour' is unknown; did you mean 'neighbours'"),
        (["ridge", "unimodal_generate"], "config 'unimodal_generate' is unknown; did you mean"),
        (["ridge", "unimodal_generated"], "set --protocol.task regression"),
        (
            ["ridge", "unimodal_generated", "--model.alpha", "1"],
            "option --model.alpha is unknown; did you mean --model.alphas",
        ),
    ],
)
def test_bad_input_is_one_line(script, argv, message):
    done = script(emotion_predictors, *argv)
    assert done.code == 2
    assert message in done.err


def test_networks_and_predictors_are_compared(script, prepared, tmp_path):
    network = "unimodal:protocol.task=regression:data.modalities=text:training.epochs=2:model.hidden=6"
    where = [
        "--prepared",
        str(prepared),
        "--out",
        str(tmp_path),
        "--name",
        "c",
        "--json",
        str(tmp_path / "j"),
    ]
    done = script(compare_predictors, "generated", network, "ridge", "--seeds", "2", *where)
    assert done.code == 0, done.err
    rows = {row["name"]: row["runs"] for row in json.loads((tmp_path / "j").read_text())["rows"]}
    (own,) = (runs for name, runs in rows.items() if name.startswith("unimodal"))
    assert (len(own), len(rows["ridge"])) == (2, 1)
    test = Predictions.load(tmp_path / "c" / "ridge" / "predictions.npz").part("test")
    mae = np.abs(test.intensities - test.predicted_intensities).mean()
    assert rows["ridge"][0]["mae"] == pytest.approx(mae, abs=1e-4)
    table = (tmp_path / "c" / "table.md").read_text()
    assert f"| ridge | {mae:.3f} |" in table
    both = [run["mae"] for run in own]
    assert f" | {np.mean(both):.3f} ± {np.std(both, ddof=1):.3f} |" in table
    assert rows["ridge"][0]["verdict"] in table
    assert "| floor: median |" in table


def test_a_comparison_without_intensities_is_refused(script, prepared, tmp_path):
    where = ["--prepared", str(prepared), "--out", str(tmp_path / "runs")]
    for systems, message in (
        (("ridge",), "at least one network"),
        (("unimodal", "ridge"), "task=regression"),
    ):
        done = script(compare_predictors, "generated", *systems, *where)
        assert (done.code, message in done.err) == (2, True)
    assert not (tmp_path / "runs").exists()
