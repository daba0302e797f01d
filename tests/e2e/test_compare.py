"""`experiments.compare` as a user meets it."""

import contextlib
import dataclasses
import functools
import io
import json
import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest

from experiments import compare, results, run_store, runs
from experiments.command import run
from experiments.contestants import contestant
from experiments.results import Study
from experiments.setup import set_up
from mer_jax.data.corpus import prepare
from mer_jax.evaluation.predictions import Predictions
from tests.e2e.conftest import Result

TINY = ":model.hidden=4:model.dense=4:training.epochs=2:training.buckets=1"
EARLY, TEXT = f"early_fusion{TINY}", f"unimodal{TINY}"
ONE = ":data.modalities=text"
DIVERGES = ":training.optimizer.learning-rate=1e30:training.optimizer.clip=0"
# The contract, in the repository's architecture notes: what other programs read.
ROW = {"config", "metric", "mean", "sd", "n", "low", "high", "floor", "collapsed"}
PAIR = {"a", "b", "difference", "p", "p_holm", "test"}
OTHER = "0123456789abcdef"  # the hash of other code
LEFT = ["comparison.json", "report.html", "table.md", "table.tex"]
HASHES = [(m, f"{kind}_code") for m in (run_store, runs) for kind in ("training", "scoring")]


def read(path):
    return json.loads(path.read_text())


def call(prepared, out, *argv):
    said, err = io.StringIO(), io.StringIO()
    where = ["--prepared", str(prepared), "--out", str(out)]
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(err):
        code = run(compare.main, compare.Args, [*argv, *where])
    return Result(code, said.getvalue(), err.getvalue())


@dataclasses.dataclass
class Compared:
    """A folder of runs, and what the comparison of two systems with two seeds said."""

    out: Path
    prepared: Path
    first: Result

    def again(self, *argv, systems=(EARLY, TEXT)):
        return call(self.prepared, self.out, "generated", *systems, "--seeds", "2", *argv)


@pytest.fixture(scope="module", autouse=True)
def steady_code():
    """Who edits a file while these tests run does not change what they find."""
    with pytest.MonkeyPatch.context() as patch:
        for module, name in (*HASHES, (compare, "code_hash")):
            patch.setattr(module, name, functools.cache(getattr(module, name)))
        yield


@pytest.fixture(scope="module")
def base(prepared, tmp_path_factory):
    """Early fusion and one modality, two seeds each."""
    out = tmp_path_factory.mktemp("compared")
    asked = ["generated", EARLY, TEXT, "--seeds", "2", "--json", str(out / "given" / "table.json")]
    first = call(prepared, out, *asked)
    assert first.code == 0, first.err
    return Compared(out, prepared, first)


@pytest.fixture
def copy(base, tmp_path):
    """A copy of it that a test may add to, times of change included."""
    return dataclasses.replace(base, out=shutil.copytree(base.out, tmp_path / "out"))


@pytest.fixture
def untrained(monkeypatch):
    """Forbids training."""

    def refuse(*_):
        raise AssertionError("something was trained")

    monkeypatch.setattr(run_store, "train_jobs", refuse)


def comparison_of(out):
    """The one folder of a comparison below `out`."""
    (found,) = out.glob("*/comparison.json")
    return found.parent


def stand(out):
    """The time of change of every file."""
    return {str(p.relative_to(out)): p.stat().st_mtime_ns for p in out.rglob("*") if p.is_file()}


def run_names(out):
    return sorted(path.parent.name for path in out.glob("*/metrics.json"))


def one_line(result):
    """The error line of a comparison that was refused."""
    assert (result.code, result.out) == (2, "")
    assert "Traceback" not in result.err
    (line,) = [line for line in result.err.splitlines() if line.startswith("error: ")]
    assert result.err.splitlines()[-1] == line
    return line


def test_a_comparison_leaves_a_page_two_tables_and_json(base):
    folder = comparison_of(base.out)
    assert folder.name.startswith("compare-generated-")
    assert sorted(path.name for path in folder.iterdir()) == LEFT
    content = read(folder / "comparison.json")
    assert content == read(base.out / "given" / "table.json")
    assert {"rows", "pairs", "verdict"} <= content.keys()
    assert all(row.keys() >= ROW for row in content["rows"])
    assert all(pair.keys() >= PAIR for pair in content["pairs"])
    assert {row["config"] for row in content["rows"]} == {EARLY, TEXT}
    assert [row["n"] for row in content["rows"]] == [2, 2]
    assert {pair["test"] for pair in content["pairs"]} == {"bootstrap", "mcnemar"}
    page, markdown, tex = ((folder / name).read_text() for name in LEFT[1:])
    for row in content["rows"]:
        assert all(row["name"] in text for text in (page, markdown))
        assert all(f"{row['mean']:.3f}" in text for text in (markdown, tex))
    assert "GENERATED DATA" in page


def test_rows_are_mean_and_sd_of_the_runs_they_name(base):
    content = read(comparison_of(base.out) / "comparison.json")
    assert sorted(name for row in content["rows"] for name in row["runs"]) == run_names(base.out)
    for row in content["rows"]:
        values = [read(base.out / name / "metrics.json")["test"]["accuracy"] for name in row["runs"]]
        assert row["mean"] == pytest.approx(np.mean(values))
        assert row["sd"] == pytest.approx(np.std(values, ddof=1))
        seeds = [read(base.out / name / "config.json")["config"]["seed"] for name in row["runs"]]
        assert seeds == row["seeds"] == [0, 1]
        assert row["cost"]["seeds_at_once"] == 2
        assert row["cost"]["parameters"] > 0


def test_what_is_said_is_verdict_table_and_where_the_page_is(base):
    content = read(comparison_of(base.out) / "comparison.json")
    words = " ".join(base.first.out.split())
    assert words.startswith(" ".join(content["verdict"].split())[:60])
    assert f"protocol {content['protocol']}" in words
    for row in content["rows"]:
        assert f"{row['mean']:.3f} +- {row['sd']:.3f}" in words
    assert base.first.out.splitlines()[-1] == f"report: {comparison_of(base.out) / 'report.html'}"
    assert base.first.err.count("0 runs reused, 2 made") == 2
    assert "leakage audit" in base.first.err


def test_a_second_call_computes_nothing_and_touches_nothing(base, untrained, tmp_path):
    before = stand(base.out)
    again = base.again("--json", str(tmp_path / "again.json"))
    assert (again.code, again.out) == (0, base.first.out)
    assert again.err.splitlines()[-1] == "nothing has changed: nothing was computed"
    assert again.err.count("2 runs reused, 0 made") == 2
    assert stand(base.out) == before
    assert read(tmp_path / "again.json") == read(comparison_of(base.out) / "comparison.json")


def test_one_more_seed_trains_the_new_seed_of_each_system_alone(copy):
    before, names = stand(copy.out), run_names(copy.out)
    first = comparison_of(copy.out)
    done = copy.again("--seeds", "3")
    assert done.code == 0, done.err
    assert done.err.count("2 runs reused, 1 made") == 2
    assert before.items() <= stand(copy.out).items()
    new = sorted(set(run_names(copy.out)) - set(names))
    assert new == sorted({name.replace("-seed0", "-seed2") for name in names if name.endswith("-seed0")})
    (second,) = {path.parent for path in copy.out.glob("*/comparison.json")} - {first}
    content = read(second / "comparison.json")
    assert [row["n"] for row in content["rows"]] == [3, 3]
    assert {row["cost"]["seeds_at_once"] for row in content["rows"]} == {2}


def test_another_metric_computes_the_comparison_alone(copy, untrained):
    before = stand(copy.out)
    done = copy.again("--metric", "macro_f1", "--name", "by f1")
    assert done.code == 0, done.err
    after = stand(copy.out)
    assert before.items() <= after.items()
    assert sorted(set(after) - set(before)) == [f"by f1/{name}" for name in LEFT]
    content = read(copy.out / "by f1" / "comparison.json")
    assert content["metric"] == "macro_f1"
    for row in content["rows"]:
        values = [read(copy.out / name / "metrics.json")["test"]["macro_f1"] for name in row["runs"]]
        assert row["mean"] == pytest.approx(np.mean(values))
    assert copy.again("--metric", "accuracy", "--name", "by f1").code == 0
    assert read(copy.out / "by f1" / "comparison.json")["metric"] == "accuracy"


def test_a_single_system_is_shown_beside_its_floors(copy, untrained):
    done = copy.again("--name", "alone", systems=(EARLY,))
    assert done.code == 0, done.err
    content = read(copy.out / "alone" / "comparison.json")
    assert [row["config"] for row in content["rows"]] == [EARLY]
    assert content["pairs"] == []
    assert {"majority", "linear"} <= content["floors"].keys()


def test_changed_code_of_one_system_trains_that_system_alone(copy, monkeypatch):
    real, before = run_store.training_code, stand(copy.out)
    for module in (run_store, runs):
        monkeypatch.setattr(module, "training_code", lambda name: OTHER if "unimodal" in name else real(name))
    done = copy.again()
    assert done.code == 0, done.err
    assert [line for line in done.err.splitlines() if "reused" in line] == [
        "early fusion: 2 runs reused, 0 made",
        "unimodal (text): 0 runs reused, 2 made",
    ]
    assert before.items() <= stand(copy.out).items()


def test_other_code_that_scores_makes_the_comparison_anew(copy, untrained, monkeypatch):
    for module in (run_store, runs):
        monkeypatch.setattr(module, "scoring_code", lambda: OTHER)
    before, folder = stand(copy.out), comparison_of(copy.out)
    done = copy.again()
    assert done.code == 0, done.err
    after = stand(copy.out)
    changed = {Path(name).name for name in before if before[name] != after[name]}
    assert changed == {"metrics.json", "report.html", "table.md", "table.tex", "comparison.json"}
    assert comparison_of(copy.out) == folder
    assert copy.again().err.splitlines()[-1] == "nothing has changed: nothing was computed"


def test_a_system_that_diverges_is_named_and_nothing_is_compared(copy):
    shutil.rmtree(comparison_of(copy.out))
    names = run_names(copy.out)
    for _ in range(2):
        failed = one_line(copy.again(systems=(EARLY, f"{TEXT}{DIVERGES}")))
        assert "learning-rate-1e30" in failed
        assert "so there is nothing to compare: " in failed
        assert "lower --training.optimizer.learning-rate" in failed
        assert not list(copy.out.glob("*/comparison.json"))
        assert run_names(copy.out) == names


@pytest.mark.slow
def test_after_ctrl_c_the_same_command_goes_on_to_the_same_bytes(base, tmp_path, monkeypatch):
    events = []

    def watch(bar, event):
        events.append(event["event"])
        if (event["event"], event.get("epoch"), event.get("batch")) == ("step", 1, 0):
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(runs.TrainingProgress, "__call__", watch)
    stopped = dataclasses.replace(base, out=tmp_path / "out")
    cut = stopped.again(systems=(TEXT,))
    assert (cut.code, cut.out) == (130, "")
    assert "everything is saved. Go on with:" in cut.err
    assert "--resume" not in cut.err, "compare has no such flag"
    assert run_names(stopped.out) == []
    assert not list(stopped.out.glob("*/comparison.json"))
    events.clear()
    done = stopped.again(systems=(TEXT,))
    assert done.code == 0, done.err
    assert events[0] == "resumed"
    assert not list(stopped.out.glob(".together-*"))
    names = run_names(stopped.out)
    assert names == [name for name in run_names(base.out) if name.startswith("unimodal")]
    for name in names:
        for file in ("predictions.npz", "metrics.json", "metrics.jsonl"):
            assert (stopped.out / name / file).read_bytes() == (base.out / name / file).read_bytes(), file


@pytest.mark.parametrize(
    ("corpus", "systems", "options", "message"),
    [
        ("generated", (), (), "name at least one system"),
        ("generated", ("early_fuson",), (), "did you mean 'early_fusion'"),
        ("generated", (EARLY, f"{TEXT}:model.hiden=3"), (), "did you mean --model.hidden"),
        ("generated", (EARLY, EARLY), (), "are one system; leave one out or change a flag"),
        ("generated", ("early_fusion", "early_fusion_generated"), (), "are one system"),
        ("generated", ("early_fusion", "early_fusion:seed=0"), (), "are one system"),
        (
            "generated",
            (f"early_fusion_crema_d{ONE}", f"early_fusion{ONE}"),
            (),
            "both called 'early fusion (text)'",
        ),
        ("generated", (EARLY, f"{TEXT}:protocol.split=dialogue"), (), "another protocol than"),
        ("generated", (EARLY, f"{TEXT}:protocol.select=accuracy"), (), "(select)"),
        ("generated", (EARLY, TEXT), ("--metric", "acuracy"), "did you mean 'accuracy'"),
        ("generated", (EARLY, TEXT), ("--metric", "mae"), "can't be compared for a classification"),
        ("generated", (EARLY, TEXT), ("--seeds", "0"), "--seeds 0 must be at least 1"),
        ("generated", (EARLY, f"{TEXT}:data.modalities=vioce"), (), "no modality 'vioce'"),
        ("generatd", ("early_fusion_generated",), (), "is not prepared"),
    ],
)
def test_bad_input_is_one_line_and_trains_nothing(prepared, tmp_path, corpus, systems, options, message):
    refused = call(prepared, tmp_path / "out", corpus, *systems, *options)
    assert message in one_line(refused)
    assert not (tmp_path / "out").exists()


def test_a_score_that_is_undefined_is_a_dash(base, capsys):
    content = read(comparison_of(base.out) / "comparison.json")
    content["rows"][1] |= {"mean": None, "sd": None, "low": None, "high": None, "dev_mean": None}
    compare.show(Path("x"), content)
    line = next(
        line
        for line in capsys.readouterr().out.splitlines()
        if line.startswith(f"│ {content['rows'][1]['name'][:8]}")
    )
    assert [cell.strip() for cell in line.split("│")[2:6]] == ["-", "-", "2", "-"]


VOTES = {"a": "3,1", "b": "1,3"}  # the majority is right, and so are 3 of 4 annotators


RECORDED = f"unimodal_generated{TINY}:protocol.resample-by=id"


@pytest.fixture
def recorded(tmp_path):
    """Prepares `mine`, no generated corpus, with annotators' votes as asked for."""

    def make(columns="votes_a,votes_b", votes=lambda split, label: VOTES[label]):
        raw, random = tmp_path / "raw", np.random.default_rng(0)
        raw.mkdir()
        rows = [f"id,speaker,label,split,{columns}"]
        for number in range(40):
            split, label = ("train", "train", "dev", "test")[number % 4], "ab"[number // 4 % 2]
            np.savez(raw / f"u{number}.npz", text=random.normal(size=(5, 3)))
            rows.append(f"u{number},s{number % 4},{label},{split},{votes(split, label)}")
        (raw / "manifest.csv").write_text("\n".join(rows))
        return prepare("folder", raw, tmp_path / "prepared", as_name="mine")

    return make


def test_where_people_voted_their_ceiling_stands_beside_the_systems(recorded, tmp_path):
    recorded()
    done = call(tmp_path / "prepared", tmp_path / "out", "mine", RECORDED, "--seeds", "1")
    assert done.code == 0, done.err
    folder = comparison_of(tmp_path / "out")
    ceilings = read(folder / "comparison.json")["ceilings"]
    assert ceilings == {"majority vote": 1.0, "one annotator": pytest.approx(0.75)}
    assert "people: majority vote" in done.out
    assert "0.750" in next(line for line in done.out.splitlines() if "one annotator" in line and "│" in line)
    assert "one annotator" in (folder / "report.html").read_text()


def test_votes_on_train_alone_are_no_ceiling_and_no_error(recorded, tmp_path):
    corpus = recorded(votes=lambda split, label: VOTES[label] if split == "train" else "0,0")
    setup = set_up(contestant(RECORDED, "mine").experiment, tmp_path / "prepared", None)
    columns = {f"{name}s": corpus.column(name) for name in ("id", "dialogue", "speaker")}
    rows = {"splits": corpus.splits, "folds": np.zeros(40), "probabilities": np.full((40, 2), 0.5)}
    assert runs.beside_votes(setup, Predictions.make(**columns, **rows)) == {}


def test_votes_for_what_is_no_class_are_refused_before_training(recorded, tmp_path):
    recorded(columns="votes_a,votes_c")
    said = one_line(call(tmp_path / "prepared", tmp_path / "out", "mine", RECORDED, "--seeds", "1"))
    assert "votes for 'c', which is none of its classes" in said
    assert not (tmp_path / "out").exists()


def test_generated_votes_are_no_people(base):
    content = read(comparison_of(base.out) / "comparison.json")
    assert content["generated"]
    assert content["ceilings"] == {}
    assert "people:" not in base.first.out
    for name in run_names(base.out):
        assert "people" not in read(base.out / name / "metrics.json")


def test_a_results_table_is_made_from_runs_that_are_there(copy, untrained, monkeypatch, tmp_path):
    monkeypatch.setattr(results, "ROOT", tmp_path)
    monkeypatch.setattr(results, "STUDIES", (Study("generated", (EARLY, TEXT), 2),))
    for file, name in (("BENCHMARKS.md", "generated"), ("README.md", "summary")):
        (tmp_path / file).write_text(f"<!-- results:{name} -->\n<!-- /results:{name} -->\n")
    argv = ["generated", "--out", str(copy.out), "--prepared", str(copy.prepared)]
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        assert run(results.main, results.Args, argv) == 0, said.getvalue()
    content = read(copy.out / "compare-generated" / "comparison.json")
    page, readme = ((tmp_path / name).read_text() for name in ("BENCHMARKS.md", "README.md"))
    assert (
        f"python -m experiments.compare generated {EARLY} {TEXT} --seeds 2 --name compare-generated\n" in page
    )
    best = content["rows"][0]
    assert f"| generated (GENERATED) | 2, 2 | {best['name']}: accuracy {best['mean']:.3f}" in readme
    assert all(f"{row['mean']:.3f}" in page for row in content["rows"])
