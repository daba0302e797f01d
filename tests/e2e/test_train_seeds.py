"""`experiments.train --seeds` and `--grid` as a user meets them."""

import contextlib
import dataclasses
import io
import json
import os
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from experiments import evaluate, predict, runs, train
from experiments.command import run
from tests.e2e.conftest import SMALL, start

CONTRACT = ("config.json", "protocol.json", "metrics.jsonl", "predictions.npz", "metrics.json", "report.html")
SAME = ("predictions.npz", "metrics.json", "metrics.jsonl", "preprocessing.json", "protocol.json")
CONFIG = "early_fusion_generated"
SEEDS = ("--seeds", "3", "--seed", "2")


def read(path):
    return json.loads(path.read_text())


@dataclasses.dataclass
class Runs:
    """What training three seeds left behind and said."""

    out: Path
    code: int
    said: str
    err: str

    def folder(self, seed, name="x"):
        return self.out / f"{name}-seed{seed}"


@pytest.fixture(scope="module")
def train_seeds(prepared):
    """Trains small systems below a folder."""

    def call(out, *argv):
        said, err = io.StringIO(), io.StringIO()
        where = ["--prepared", str(prepared), "--out", str(out), "--name", "x"]
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(err):
            code = run(train.main, train.arguments, [CONFIG, *SMALL, *where, *argv])
        return Runs(out, code, said.getvalue(), err.getvalue())

    return call


@pytest.fixture(scope="module")
def three(train_seeds, tmp_path_factory):
    """Seeds 2, 3 and 4, never interrupted."""
    out = tmp_path_factory.mktemp("three")
    done = train_seeds(out, *SEEDS, "--json", str(out / "table.json"))
    assert done.code == 0, done.err
    return done


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_every_seed_leaves_a_finished_run_of_its_own(three):
    assert names(three.out) == ["table.json", "x-seed2", "x-seed3", "x-seed4"]
    accuracies = set()
    for seed in (2, 3, 4):
        folder = three.folder(seed)
        assert all((folder / name).stat().st_size for name in CONTRACT)
        assert read(folder / "config.json")["config"]["seed"] == seed
        assert read(folder / "timing.json")["seeds_at_once"] == 3
        lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        assert [line["epoch"] for line in lines] == [0, 1]
        accuracies.add(lines[-1]["train_loss"])
    assert len(accuracies) == 3


def test_the_table_is_mean_and_sd_of_the_runs(three):
    (row,) = read(three.out / "table.json")["rows"]
    scores = [read(three.folder(seed) / "metrics.json") for seed in (2, 3, 4)]
    values = [one["test"][one["headline"]] for one in scores]
    assert (row["n"], row["config"]) == (3, "x")
    assert row["mean"] == pytest.approx(np.mean(values))
    assert row["sd"] == pytest.approx(np.std(values, ddof=1))
    assert f"{row['mean']:.3f} +- {row['sd']:.3f}" in three.said


def test_evaluate_reads_the_runs_and_predict_one_of_them(three, script, prepared, tmp_path):
    folders = [str(three.folder(seed)) for seed in (2, 3, 4)]
    assert script(evaluate, *folders, "--json", str(tmp_path / "table.json")).code == 0
    assert read(tmp_path / "table.json") == read(three.out / "table.json")
    result = script(predict, str(three.folder(3)), "--prepared", str(prepared))
    rows = [line.split(",") for line in result.out.splitlines()[1:]]
    with np.load(three.folder(3) / "predictions.npz") as p:
        known = dict(zip(p["ids"].tolist(), p["probabilities"], strict=True))
    assert len(rows) == len(known) > 10
    for row in rows:
        np.testing.assert_allclose(np.array(row[2:], float), known[row[0]], atol=2e-5)


def assert_same_scores(one, other):
    for split in ("test", "dev"):
        a, b = (read(folder / "metrics.json")[split] for folder in (one, other))
        assert a.keys() == b.keys()
        for name in ("accuracy", "balanced_accuracy", "macro_f1", "log_loss"):
            assert a[name] == pytest.approx(b[name], rel=1e-3), name


def probabilities(folder):
    with np.load(folder / "predictions.npz") as p:
        return p["probabilities"]


def in_groups(three, members):
    """The flag that leaves memory for so many of the three."""
    each = read(three.folder(2) / "timing.json")["memory_mib"]
    return ["--memory-gib", str((members + 0.5) * each / 1024)]


def test_little_memory_means_groups_and_the_same_scores(three, train_seeds, tmp_path):
    done = train_seeds(tmp_path, *SEEDS, *in_groups(three, 2))
    assert done.code == 0, done.err
    assert "2 of 3 trainings at once fit into memory" in done.err
    assert names(tmp_path) == ["x-seed2", "x-seed3", "x-seed4"]
    assert [read(done.folder(s) / "timing.json")["seeds_at_once"] for s in (2, 3, 4)] == [2, 2, 1]
    for seed in (2, 3, 4):
        assert_same_scores(done.folder(seed), three.folder(seed))
        np.testing.assert_allclose(
            probabilities(done.folder(seed)), probabilities(three.folder(seed)), atol=1e-4
        )


@pytest.mark.slow
def test_too_little_memory_is_one_clear_line(train_seeds, tmp_path):
    done = train_seeds(tmp_path, "--seeds", "3", "--memory-gib", "1e-6")
    assert done.code == 2
    assert "lower training.batch_size or training.length_quantile, or raise --memory-gib" in done.err


class Watched:
    """Notes what training tells its progress bar, and sends a Ctrl-C when the second epoch
    begins for the `stop_at`-th time: each group of runs has one."""

    def __init__(self, monkeypatch, stop_at=0):
        self.events, self.seen, self.stop_at = [], 0, stop_at
        monkeypatch.setattr(runs.TrainingProgress, "__call__", lambda bar, event: self.take(event))

    def take(self, event):
        self.events.append(event["event"])
        if (event["event"], event.get("epoch"), event.get("batch")) == ("step", 1, 0):
            self.seen += 1
            if self.seen == self.stop_at:
                os.kill(os.getpid(), signal.SIGINT)


def assert_same_bytes(one, other):
    for seed in (2, 3, 4):
        for file in SAME:
            assert (one.folder(seed) / file).read_bytes() == (other.folder(seed) / file).read_bytes(), file


@pytest.mark.slow
def test_after_ctrl_c_resume_gives_the_same_bytes(three, train_seeds, tmp_path, monkeypatch):
    Watched(monkeypatch, stop_at=1)
    cut = train_seeds(tmp_path, *SEEDS)
    assert cut.code == 130
    assert "everything is saved. Go on with" in cut.err
    assert "--resume" in cut.err
    assert not list(tmp_path.glob("*/metrics.json"))
    watched = Watched(monkeypatch)
    done = train_seeds(tmp_path, *SEEDS, "--resume")
    assert done.code == 0, done.err
    assert watched.events[0] == "resumed"
    assert names(tmp_path) == ["x-seed2", "x-seed3", "x-seed4"]
    assert_same_bytes(done, three)
    assert done.said == three.said


def test_resuming_what_is_finished_shows_its_table(three, train_seeds, monkeypatch):
    watched = Watched(monkeypatch)
    again = train_seeds(three.out, *SEEDS, "--resume")
    assert (again.code, again.said, watched.events) == (0, three.said, [])


@pytest.mark.slow
def test_overwrite_begins_anew_after_an_interruption(three, train_seeds, tmp_path, monkeypatch):
    """The checkpoint of the interrupted runs, which may be of older code, is not used."""
    Watched(monkeypatch, stop_at=1)
    assert train_seeds(tmp_path, *SEEDS).code == 130
    assert [name for name in names(tmp_path) if name.startswith(".together-")]
    watched = Watched(monkeypatch)
    done = train_seeds(tmp_path, *SEEDS, "--overwrite")
    assert done.code == 0, done.err
    assert "resumed" not in watched.events
    assert names(tmp_path) == ["x-seed2", "x-seed3", "x-seed4"]
    assert_same_bytes(done, three)


def finished(folder):
    return sorted(path.parent.name for path in folder.glob("*/metrics.json"))


@pytest.mark.slow
def test_resume_keeps_the_groups_and_trains_no_finished_one_again(train_seeds, tmp_path, monkeypatch):
    """Cut in the first of two groups, then, gone on with, in the second one. When the run goes
    on there is memory for all at once."""
    fitting, four = runs.members_at_once, ("--seeds", "4", "--seed", "2")
    monkeypatch.setattr(runs, "members_at_once", lambda *rest: (2, fitting(*rest)[1]))
    Watched(monkeypatch, stop_at=1)
    assert train_seeds(tmp_path, *four).code == 130
    assert finished(tmp_path) == []
    monkeypatch.setattr(runs, "members_at_once", fitting)
    watched = Watched(monkeypatch, stop_at=1)  # the first group is past this step
    assert train_seeds(tmp_path, *four, "--resume").code == 130
    assert watched.events[0] == "resumed", "the first group began anew"
    assert finished(tmp_path) == ["x-seed2", "x-seed3"]
    watched = Watched(monkeypatch)
    done = train_seeds(tmp_path, *four, "--resume")
    assert done.code == 0, done.err
    assert watched.events[0] == "resumed", "the second group began anew"
    assert watched.events.count("epoch") == 1, "the first group was trained again"
    assert names(tmp_path) == ["x-seed2", "x-seed3", "x-seed4", "x-seed5"] == finished(tmp_path)
    assert {read(done.folder(seed) / "timing.json")["seeds_at_once"] for seed in (2, 3, 4, 5)} == {2}


@pytest.mark.slow
def test_what_is_left_of_a_run_is_trained_without_the_finished_ones(
    three, train_seeds, tmp_path, monkeypatch
):
    """A run folder that was removed, or one more seed."""
    shutil.copytree(three.out, tmp_path, dirs_exist_ok=True)
    shutil.rmtree(tmp_path / "x-seed3")
    before = (tmp_path / "x-seed2" / "metrics.json").stat().st_mtime_ns
    done = train_seeds(tmp_path, *SEEDS, "--resume")
    assert done.code == 0, done.err
    assert read(done.folder(3) / "timing.json")["seeds_at_once"] == 1
    assert (tmp_path / "x-seed2" / "metrics.json").stat().st_mtime_ns == before
    assert_same_scores(done.folder(3), three.folder(3))


def first_column(table):
    """The text of a printed table's first column, in one line."""
    return "".join(line.split("│")[1].strip() for line in table.splitlines() if line.startswith("│"))


def test_a_grid_shows_dev_of_all_and_test_of_the_chosen_only(train_seeds, tmp_path):
    """A point that diverges fails alone, and is named."""
    grid = ["--grid", "training.optimizer.learning-rate=1e-3,3e-2,1e30", "--training.optimizer.clip", "0"]
    done = train_seeds(tmp_path, "--seed", "2", *grid, "--json", str(tmp_path / "grid.json"))
    assert done.code == 1
    (failed,) = [line for line in done.err.splitlines() if " failed: " in line]
    assert failed.startswith(str(tmp_path / "x-learning_rate1e+30-seed2"))
    assert "lower --training.optimizer.learning-rate" in failed
    points = ["x-learning_rate0.001", "x-learning_rate0.03"]
    assert finished(tmp_path) == [f"{point}-seed2" for point in points]
    assert not list(tmp_path.glob(".together-*"))
    table = read(tmp_path / "grid.json")
    rows = {row["config"]: row for row in table["rows"]}
    assert list(rows) == points
    chosen = max(points, key=lambda point: rows[point]["dev_mean"])
    assert table["chosen"] == chosen
    dev, test = done.said.split("test accuracy", 1)
    for point in points:
        assert point in first_column(dev)
        assert f"{rows[point]['dev_mean']:.3f}" in dev
        assert (point in first_column(test)) == (point == chosen)
    assert f"{rows[chosen]['mean']:.3f}" in test
    for point, rate in zip(points, (1e-3, 3e-2), strict=True):
        config = read(tmp_path / f"{point}-seed2" / "config.json")["config"]
        assert config["training"]["optimizer"]["learning_rate"] == rate


@pytest.mark.slow
def test_a_grid_of_one_point_has_a_folder_that_names_it(train_seeds, tmp_path):
    done = train_seeds(tmp_path, "--grid", "model.dropout=.25", "--training.epochs", "1")
    assert done.code == 0, done.err
    assert finished(tmp_path) == ["x-dropout0.25-seed0"]
    assert read(tmp_path / "x-dropout0.25-seed0" / "config.json")["config"]["model"]["dropout"] == 0.25
    assert "<- chosen" in done.said


@pytest.mark.slow
def test_where_all_fail_each_is_named_and_there_is_no_table(train_seeds, tmp_path):
    done = train_seeds(tmp_path, "--seeds", "2", "--training.optimizer.learning-rate", "1e30")
    assert (done.code, done.said) == (1, "")
    assert [f"seed {k}, epoch 0" in line for k, line in enumerate(done.err.splitlines()[-2:])] == [True, True]
    assert not list(tmp_path.glob(".together-*"))


@pytest.mark.slow
def test_a_single_run_that_fails_says_so_in_one_line(train_seeds, tmp_path):
    done = train_seeds(tmp_path, "--training.optimizer.learning-rate", "1e30")
    assert (done.code, done.said) == (1, "")
    assert done.err.splitlines()[-1].startswith(f"{tmp_path / 'x'} failed: fold ")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--seeds", "0"], "--seeds 0 must be at least 1"),
        (["--grid", "model.dropuot=.1,.2"], "did you mean 'model.dropout'"),
        (["--seeds", "2", "--model.clock", "adio"], "did you mean"),
        (["--seeds", "2", "--training.batch-size", "3"], "multiple of the 4 devices"),
        (["--seeds", "2", "--resume", "--overwrite"], "pass one of them"),
    ],
)
def test_bad_input_is_one_clear_line_and_nothing_is_written(train_seeds, tmp_path, options, message):
    done = train_seeds(tmp_path / "runs", *options)
    assert done.code == 2
    (line,) = [line for line in done.err.splitlines() if line.startswith("error: ")]
    assert message in line
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_stopped_process_resumes_to_the_same_bytes(prepared, tmp_path, number):
    """Processes of their own: Ctrl-C says how to go on, kill -9 says nothing; both resume."""

    def arguments(name):
        where = ["--prepared", str(prepared), "--out", str(tmp_path / name), "--name", "x"]
        return [CONFIG, *SMALL, *where, *SEEDS, "--training.epochs", "15"]

    whole = start("experiments.train", *arguments("whole"))
    cut = start("experiments.train", *arguments("cut"))
    history = tmp_path / "cut" / "x-seed4" / "metrics.jsonl"
    while not (history.exists() and len(history.read_text().splitlines()) >= 2):
        assert cut.poll() is None, cut.stderr.read()
        time.sleep(0.005)
    cut.send_signal(number)
    _, said = cut.communicate()
    assert not finished(tmp_path / "cut"), "the run was over before the signal came"
    if number == signal.SIGINT:
        assert cut.returncode == 130
        assert "--resume" in said
    resumed = start("experiments.train", *arguments("cut"), "--resume")
    for process in (resumed, whole):
        _, errors = process.communicate()
        assert process.returncode == 0, errors
    assert names(tmp_path / "cut") == names(tmp_path / "whole") == ["x-seed2", "x-seed3", "x-seed4"]
    assert_same_bytes(Runs(tmp_path / "cut", 0, "", ""), Runs(tmp_path / "whole", 0, "", ""))
