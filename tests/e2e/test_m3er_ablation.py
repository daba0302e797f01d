"""`m3er_ablation`, `robustness_curves` and `multiplicative_loss` as a user meets them."""

import dataclasses
import json

import numpy as np
import pytest

from experiments import m3er_ablation, multiplicative_loss, predict, robustness_curves
from experiments.command import parse, run
from experiments.contestants import contestant
from experiments.setup import set_up
from mer_jax.data.corpus import prepare
from mer_jax.data.simulation import Options
from mer_jax.errors import InputError
from mer_jax.evaluation import ablation
from mer_jax.evaluation.figures_robustness import area
from mer_jax.robustness.corruption import Corruption
from mer_jax.robustness.pipeline import RobustnessConfig

TINY = ":model.hidden=4:model.memory=5:model.units=4:model.dense=4:training.epochs=1:robustness.proxies.neighbours=20"
BASE = f"m3er_generated{TINY}"


@pytest.fixture(scope="module")
def short(tmp_path_factory):
    """A generated corpus of few words whose modalities say the same."""
    folder = tmp_path_factory.mktemp("prepared")
    small = {"dialogues": 14, "utterances": (3, 4), "words": (3, 6), "speakers": 9}
    prepare("generated", None, folder, options=Options("bad_modality", **small, bad_splits=("train",)))
    return folder


@pytest.fixture(scope="module")
def made(short, tmp_path_factory):
    """An ablation of two seeds, with its page, and the folder of its runs."""
    out = tmp_path_factory.mktemp("runs")
    argv = ["generated", "--base", BASE, "--seeds", "2", "--prepared", str(short), "--out", str(out)]
    code = run(m3er_ablation.main, m3er_ablation.Args, [*argv, "--share", "1"])
    assert code == 0
    folder = out / "m3er-ablation-generated"
    return out, json.loads((folder / "ablation.json").read_text()), (folder / "report.html").read_text()


def test_an_ablation_leaves_rows_pairs_and_a_verdict(made):
    _, content, page = made
    assert [(row["condition"][:5], row["system"]) for row in content["table"]] == [
        *(("as th", name) for name in ("Memory Fusion Network", "original loss", "M3ER", "always absent")),
        *(("with ", name) for name in ("neither", "check only", "full", "always absent")),
    ]
    assert {(row["condition"][:5], row["name"], row["n"]) for row in content["rows"]} == {
        *(("as th", name, 2) for name in ("Memory Fusion Network", "original loss", "M3ER")),
        *(("with ", name, 2) for name in ("neither", "check only", "full")),
    }
    assert len(content["pairs"]) == 12  # two tests of three pairs in either condition
    assert content["verdict"].startswith("Features as they are: On generated data:")
    assert {one["corruption"]["snr_db"] for one in content["robustness"]} == {0.0, -10.0}
    for one in content["robustness"]:
        assert set(one["detector"]) <= {"text", "audio", "face"}
        assert all(found["n"] > 0 for found in one["detector"].values())
        assert one["regeneration"]["all"]["noise"] == pytest.approx(
            10 ** (-one["corruption"]["snr_db"] / 20), rel=1e-3
        )
    assert {(row["system"], row["axis"]) for row in content["curves"]} == {
        (name, axis) for name in ("neither", "check only", "full") for axis in ("snr_db", "share_missing")
    }
    for mark in ("GENERATED DATA", "always absent", "figure-detector-0", "figure-regenerated", "figure-snr"):
        assert mark in page


def test_both_halves_of_the_table_score_other_data(made):
    out, content, _ = made
    protocols = {}
    for row in content["rows"]:
        protocol = json.loads((out / row["runs"][0] / "protocol.json").read_text())["hash"]
        protocols.setdefault(row["condition"], set()).add(protocol)
    assert [len(found) for found in protocols.values()] == [1, 1]
    assert len(set.union(*protocols.values())) == 2


def test_without_noise_the_curves_give_the_scores_of_the_runs(made, short):
    """A share of 0 missing is the clean test set, which the clean runs were scored on."""
    out, content, _ = made
    (row,) = [row for row in content["rows"] if row["name"] == "M3ER"]
    folders = robustness_curves.by_system([out / name for name in row["runs"]])
    assert len(folders) == 1
    system = robustness_curves.opened(folders[0], short, None, "m3er")
    wanted = robustness_curves.conditions("noise", (), (0.0,))
    (found,) = robustness_curves.curves([system], wanted, "accuracy", 0)
    assert found["mean"] == pytest.approx(row["metrics"]["accuracy"]["mean"], abs=1e-9)
    assert found["n"] == 2


def test_curves_as_a_command_for_any_system(made, script, short, tmp_path):
    out, content, _ = made
    runs = [str(out / name) for row in content["rows"][:2] for name in row["runs"]]
    where = ["--prepared", str(short), "--out", str(tmp_path / "r.html"), "--json", str(tmp_path / "r.json")]
    result = script(robustness_curves, *runs, "--snrs", "0", "--shares", "0", "1", *where)
    assert result.code == 0, result.err
    rows = json.loads((tmp_path / "r.json").read_text())["rows"]
    assert len(rows) == 6
    assert all(0 <= row["mean"] <= 1 for row in rows)
    assert "GENERATED DATA" in (tmp_path / "r.html").read_text()


def test_a_repaired_run_predicts_with_its_check_and_proxies_and_without_modalities(
    made, script, short, tmp_path
):
    out, content, _ = made
    (row,) = [row for row in content["rows"] if row["name"] == "full"]
    run_folder = out / row["runs"][0]
    assert {path.name for path in run_folder.glob("repair/*/*")} == {"modality_check.npz", "proxies.npz"}
    tables = []
    for k, without in enumerate(([], ["--without", "audio", "face"])):
        table = tmp_path / f"{k}.csv"
        result = script(predict, str(run_folder), "--csv", str(table), "--prepared", str(short), *without)
        assert result.code == 0, result.err
        tables.append(np.loadtxt(table, delimiter=",", skiprows=1, usecols=(2, 3, 4)))
    assert np.isfinite(tables[1]).all()
    assert not np.allclose(*tables)
    for wrong, message in ((["faec"], "did you mean 'face'"), (["text", "audio", "face"], "leave it one")):
        result = script(predict, str(run_folder), "--prepared", str(short), "--without", *wrong)
        assert result.code == 2
        assert message in result.err


def test_loss_over_beta(script, short, tmp_path):
    argv = ["generated", "--base", BASE, "--betas", "0", "3", "--seeds", "1", "--prepared", str(short)]
    result = script(multiplicative_loss, *argv, "--out", str(tmp_path))
    assert result.code == 0, result.err
    folder = tmp_path / "multiplicative-loss-generated"
    content = json.loads((folder / "loss.json").read_text())
    assert {(row["stop_gradient"], row["beta"]) for row in content["rows"]} == {
        (stopped, beta) for stopped in (True, False) for beta in (0.0, 3.0)
    }
    same = {row["stop_gradient"]: row["mean"] for row in content["rows"] if row["beta"] == 0}
    assert same[True] == same[False]  # the weights are 1
    assert content["threshold"] == pytest.approx(2 / np.log(7))
    again = script(multiplicative_loss, *argv, "--out", str(tmp_path))
    assert again.code == 0
    assert again.err.count("leakage audit") == 0  # nothing was trained


def test_corruption_of_the_scores_is_another_protocol(short):
    base, noise = contestant(BASE, "generated").experiment, Corruption(share=0.5)
    setups = {
        name: set_up(dataclasses.replace(base, robustness=robustness), short, None)
        for name, robustness in {
            "clean": RobustnessConfig(),
            "noisy": RobustnessConfig(noise),
            "train": RobustnessConfig(noise, splits=("train",)),
            "repaired": RobustnessConfig(noise, repair="check"),
        }.items()
    }
    hashes = {name: setup.protocol.hash for name, setup in setups.items()}
    assert hashes["clean"] == hashes["train"]
    assert hashes["noisy"] == hashes["repaired"] != hashes["clean"]
    for name, setup in setups.items():
        found = {finding.check: finding for finding in setup.audit()}
        assert ("corruption" in found) == (name != "clean")
        assert ("modality check" in found["fitted_statistics"].message) == (name == "repaired")
        (plan,) = setup.plans
        assert (plan.corpus is setup.corpus) == (name == "clean")
        assert (plan.corpus is plan.given) == (name != "repaired")


def test_what_a_builder_left_out_is_a_finding(short):
    setup = set_up(contestant(BASE, "generated").experiment, short, None)
    notes = ("Read from small files.", "WARNING: 9 of 35 video columns were dropped")
    spec = dataclasses.replace(setup.corpus.spec, notes=notes)
    setup = dataclasses.replace(setup, corpus=dataclasses.replace(setup.corpus, spec=spec))
    (found,) = [finding for finding in setup.audit() if finding.check.startswith("corpus_note")]
    assert (found.severity, found.message) == ("warning", "9 of 35 video columns were dropped")


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--base", "late_fusion"], "'late_fusion' is no M3ER"),
        (["--share", "0"], "a share of utterances with a bad modality"),
    ],
)
def test_what_cannot_be_taken_apart_says_why(argv, message):
    with pytest.raises(InputError, match=message):
        m3er_ablation.halves(parse(m3er_ablation.Args, ["generated", *argv]))


def test_one_class_against_the_rest_by_hand():
    """Confusions of two seeds of ten utterances each: rows are the truth."""
    confusion = [[6, 2], [4, 8]]
    f1 = {"a": {"f1": {"mean": 0.6}}, "b": {"f1": {"mean": 0.7}}}
    comparison = {"targets": ["a", "b"], "rows": [{"name": "M3ER", "confusion": confusion, "per_class": f1}]}
    system, absent = ablation.rows(comparison, "as they are", ["M3ER", "full"])
    assert system["classes"]["a"] == {"f1": 0.6, "accuracy": pytest.approx(0.7)}
    assert system["classes"]["overall"] == {"f1": pytest.approx(0.65), "accuracy": pytest.approx(0.7)}
    assert absent["classes"]["a"]["accuracy"] == pytest.approx(0.6)
    assert "0.824 / 0.827" in ablation.markdown([system, absent])


def test_area_is_the_mean_under_the_curve():
    rows = [{"x": x, "mean": y} for x, y in ((0.0, 1.0), (0.5, 0.5), (1.0, 0.5))]
    assert area(rows) == pytest.approx(0.625)
    assert area(rows[:1]) == 1.0
