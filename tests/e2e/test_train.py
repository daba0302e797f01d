"""`experiments.train` as a user meets it."""

import json
import re
import shutil
import signal
import time

import numpy as np
import pytest

from experiments import evaluate, predict, runs, train
from mer_jax.data.corpus import prepare
from tests.e2e.conftest import SMALL, start

CONTRACT = ("config.json", "protocol.json", "metrics.jsonl", "predictions.npz", "metrics.json", "report.html")


def read(path):
    return json.loads(path.read_text())


@pytest.mark.parametrize("config", ["unimodal_generated", "early_fusion_generated", "late_fusion_generated"])
def test_a_run_leaves_what_the_contract_promises(trained, tmp_path, config):
    result = trained("--json", str(tmp_path / "new" / "scores.json"), config=config)
    folder = tmp_path / "runs" / "r"
    assert result.code == 0, result.err
    assert all((folder / name).stat().st_size for name in CONTRACT)
    scores = read(folder / "metrics.json")
    assert scores == read(tmp_path / "new" / "scores.json")
    assert {"protocol", "test", "dev", "floors", "intervals", "collapsed", "leakage"} <= set(scores)
    assert {"majority", "linear", "best_single_modality", "prior", "tfidf"} <= set(scores["floors"])
    assert scores["protocol"] == read(folder / "protocol.json")["hash"]
    assert f"{scores['test']['accuracy']:.3f}" in result.out
    assert "GENERATED" in result.out
    assert "leakage audit" in result.err
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [0, 1]
    with np.load(folder / "predictions.npz") as predictions:
        assert set(predictions["splits"]) == {"train", "dev", "test"}
        assert predictions["probabilities"].shape == (len(predictions["ids"]), 7)
        np.testing.assert_allclose(predictions["probabilities"].sum(1), 1, rtol=1e-5)


def test_the_same_seed_gives_the_same_bytes(trained, tmp_path):
    assert trained(name="a").code == trained(name="b").code == 0
    for file in ("predictions.npz", "metrics.json", "metrics.jsonl", "preprocessing.json"):
        a, b = ((tmp_path / "runs" / name / file).read_bytes() for name in "ab")
        assert a == b, file


def test_intensities_can_be_predicted(trained, tmp_path):
    result = trained("--protocol.task", "regression", "--protocol.select", "ccc")
    assert result.code == 0, result.err
    scores = read(tmp_path / "runs" / "r" / "metrics.json")
    assert len(scores["test"]["per_name"]) == 6
    assert {"mae", "pearson", "ccc"} <= set(scores["test"])


def test_every_speaker_can_be_left_out_and_folds_are_pooled(trained, tmp_path):
    options = ["--protocol.split", "leave_one_speaker_out", "--protocol.resample-by", "speaker"]
    result = trained(*options, "--training.epochs", "1", config="unimodal_generated")
    assert result.code == 0, result.err
    with np.load(tmp_path / "runs" / "r" / "predictions.npz") as p:
        test = p["splits"] == "test"
        assert len(set(p["ids"][test])) == test.sum() == len(set(p["ids"]))
        assert len(set(p["folds"])) == len(set(p["speakers"]))


def test_dry_run_and_print_config_write_nothing(trained, tmp_path):
    dry, shown = trained("--dry-run"), trained("--print-config")
    assert dry.code == shown.code == 0
    assert "parameters: " in dry.out
    assert "at once" not in dry.out
    assert re.search(r"one step of 3 trainings at once: \d+ MiB", trained("--dry-run", "--seeds", "3").out)
    assert json.loads(shown.out)["training"]["epochs"] == 2
    assert not (tmp_path / "runs").exists()


def test_predict_and_evaluate_read_a_run_folder(script, trained, prepared, tmp_path):
    assert trained().code == 0
    folder = tmp_path / "runs" / "r"
    result = script(predict, str(folder), "--prepared", str(prepared))
    header, *rows = [line.split(",") for line in result.out.splitlines()]
    assert header[:2] == ["id", "predicted"]
    with np.load(folder / "predictions.npz") as p:
        known = dict(zip(p["ids"].tolist(), p["probabilities"], strict=True))
    assert len(rows) == len(known)
    for row in rows:
        np.testing.assert_allclose(np.array(row[2:], float), known[row[0]], atol=2e-5)
    (folder / "report.html").unlink()
    assert script(evaluate, str(folder)).code == 0
    assert (folder / "report.html").exists()


def test_evaluate_tabulates_seeds_and_refuses_to_mix_protocols(script, trained, tmp_path):
    for seed in ("0", "1"):
        assert trained("--seed", seed, name=f"x-seed{seed}").code == 0
    folders = [str(tmp_path / "runs" / f"x-seed{seed}") for seed in (0, 1)]
    result = script(evaluate, *folders, "--json", str(tmp_path / "table.json"))
    (row,) = read(tmp_path / "table.json")["rows"]
    values = [read(tmp_path / "runs" / f"x-seed{s}" / "metrics.json")["test"]["accuracy"] for s in (0, 1)]
    assert row["n"] == 2
    assert row["mean"] == pytest.approx(np.mean(values))
    assert row["sd"] == pytest.approx(np.std(values, ddof=1))
    assert f"{row['mean']:.3f} +- {row['sd']:.3f}" in result.out
    assert trained("--protocol.split", "dialogue", name="other").code == 0
    mixed = script(evaluate, folders[0], str(tmp_path / "runs" / "other"))
    assert (mixed.code, "2 protocols" in mixed.err) == (2, True)


def one_line(result):
    """The error line of a script that refused its input."""
    assert result.code == 2
    lines = [line for line in result.err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    assert "Traceback" not in result.err
    return lines[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--model.hiden", "3"], "--model.hidden"),
        (["--training.epochs", "many"], "epochs"),
        (["--training.epochs", "0"], "training.epochs=0"),
        (["--data.corpus", "generatd"], "is not prepared"),
        (["--data.modalities", "text", "adio"], "no modality 'adio'"),
        (["--protocol.select", "acc"], "is no metric"),
        (["--protocol.label-map", "hapy=x"], "did you mean 'happy'"),
        (["--model.clock", "adio"], "did you mean 'audio'"),
        (["--training.batch-size", "3"], "multiple of the 4 devices"),
        (["--data.corpus", "mosi"], "is not prepared"),
        (["--data.frames-per-step", "0"], "frames_per_step=0"),
        (["--resume", "--overwrite"], "pass one of them"),
    ],
)
def test_bad_input_is_one_clear_line_and_nothing_is_written(trained, tmp_path, monkeypatch, options, message):
    monkeypatch.delenv("MER_DATA", raising=False)
    assert message in one_line(trained(*options))
    assert not (tmp_path / "runs").exists()


def test_an_unknown_config_suggests_the_nearest(script):
    assert "did you mean 'early_fusion_generated'" in one_line(script(train, "early_fusion_generate"))


def test_a_folder_in_the_way_is_left_alone(trained, tmp_path):
    assert trained().code == 0
    before = (tmp_path / "runs" / "r" / "metrics.json").read_bytes()
    assert "finished run" in one_line(trained())
    assert "nothing to resume" in one_line(trained("--resume"))
    assert "config.training.epochs was 2, is 3" in one_line(trained("--resume", "--training.epochs", "3"))
    assert (tmp_path / "runs" / "r" / "metrics.json").read_bytes() == before
    (tmp_path / "runs" / "mine").mkdir()
    (tmp_path / "runs" / "mine" / "thesis.txt").write_text("years of work")
    assert "no run folder" in one_line(trained("--overwrite", name="mine"))
    assert (tmp_path / "runs" / "mine" / "thesis.txt").exists()


def test_a_corpus_of_another_version_is_refused(trained, prepared, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(prepared, copy)
    record = read(copy / "generated" / "corpus.json")
    (copy / "generated" / "corpus.json").write_text(json.dumps(record | {"schema": 0}))
    assert "prepared by another version" in one_line(trained("--prepared", str(copy)))


def test_a_truncated_array_file_is_refused(trained, prepared, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(prepared, copy)
    shard = next(copy.rglob("*train*array_record*"))
    shard.write_bytes(shard.read_bytes()[:-100])
    assert "truncated" in one_line(trained("--prepared", str(copy)))


def test_a_full_disk_is_one_clear_line(trained, tmp_path, monkeypatch):
    """The write fails as the operating system would fail it."""
    import errno

    from mer_jax.training import run_folder

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(run_folder, "write_atomically", full)
    assert "disk is full" in one_line(trained())
    assert not list((tmp_path / "runs" / "r").iterdir())


def arguments(prepared, out, name):
    where = ["--prepared", str(prepared), "--out", str(out), "--name", name, "--training.epochs", "15"]
    return ["early_fusion_generated", *SMALL, *where]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_stopped_run_resumes_to_the_same_bytes(prepared, tmp_path, number):
    """Processes of their own: Ctrl-C says how to go on, kill -9 says nothing; both resume."""
    whole = start("experiments.train", *arguments(prepared, tmp_path, "whole"))
    cut = start("experiments.train", *arguments(prepared, tmp_path, "cut"))
    history = tmp_path / "cut" / "metrics.jsonl"
    while not (history.exists() and len(history.read_text().splitlines()) >= 2):
        assert cut.poll() is None, cut.stderr.read()
        time.sleep(0.005)
    cut.send_signal(number)
    _, said = cut.communicate()
    assert not (tmp_path / "cut" / "metrics.json").exists(), "the run was over before the signal came"
    if number == signal.SIGINT:
        assert cut.returncode == 130
        assert "--resume" in said
    resumed = start("experiments.train", *arguments(prepared, tmp_path, "cut"), "--resume")
    for process in (resumed, whole):
        _, errors = process.communicate()
        assert process.returncode == 0, errors
    for file in ("predictions.npz", "metrics.json", "metrics.jsonl"):
        assert (tmp_path / "whole" / file).read_bytes() == (tmp_path / "cut" / file).read_bytes(), file


def test_tensorboard_curves_on_request(trained, tmp_path):
    assert trained("--tensorboard").code == 0
    (events,) = (tmp_path / "runs" / "r" / "tensorboard" / "official").iterdir()
    assert b"dev_loss" in events.read_bytes()


def test_what_a_reader_must_know_of_the_data_is_said_first(trained, tmp_path):
    """A modality that train lacks, and speakers standardised by their own test clips."""
    raw = tmp_path / "raw"
    raw.mkdir()
    rows = ["id,speaker,label,split"]
    random = np.random.default_rng(0)
    for number in range(40):
        split = ("train", "train", "dev", "test")[number % 4]
        streams = ("audio", "text") if split == "test" else ("audio",)
        np.savez(raw / f"u{number}.npz", **{m: random.normal(size=(5, 3)) for m in streams})
        rows.append(f"u{number},s{number % 7},{'ab'[number // 4 % 2]},{split}")
    (raw / "manifest.csv").write_text("\n".join(rows))
    prepare("folder", raw, tmp_path / "prepared", as_name="mine")
    options = ["--data.corpus", "mine", "--data.modalities", "audio", "text", "--data.scaling", "speaker"]
    result = trained(
        *options,
        "--prepared",
        str(tmp_path / "prepared"),
        "--protocol.resample-by",
        "id",
        config="late_fusion_generated",
    )
    assert result.code == 0, result.err
    assert "untrained_modality/text" in result.err
    assert "speaker_scaling" in result.err
    assert (
        "text is missing in all of train but not in test"
        in (tmp_path / "runs" / "r" / "report.html").read_text()
    )


def test_a_run_whose_report_failed_is_not_finished(trained, tmp_path, monkeypatch):
    class PowerCutError(Exception):
        pass

    def cut(*_):
        raise PowerCutError

    monkeypatch.setattr(runs, "write_report", cut)
    with pytest.raises(PowerCutError):
        trained()
    monkeypatch.undo()
    assert not (tmp_path / "runs" / "r" / "metrics.json").exists()
    assert "unfinished run" in one_line(trained())
    assert trained("--resume").code == 0
    assert (tmp_path / "runs" / "r" / "report.html").exists()
