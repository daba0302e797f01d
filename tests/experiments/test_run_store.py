"""Which finished runs are found again, and what a change runs anew.

The runs are real ones, made by `experiments.train`; where a test asks only which trainings
would be started, they are noted instead of done.
"""

import dataclasses
import functools
import json
import shutil

import pytest

from experiments import run_store, runs, train
from experiments.command import run
from experiments.contestants import contestant
from experiments.run_store import RunStore, identity
from experiments.setup import set_up
from mer_jax.data.corpus import prepare
from mer_jax.data.simulation import Options
from mer_jax.errors import InputError
from mer_jax.evaluation.findings import Finding

SMALL = {
    "training.epochs": "1",
    "training.buckets": "1",
    "model.hidden": "4",
    "model.dense": "4",
}
SPEC = ":".join(["unimodal", *(f"{name}={value}" for name, value in SMALL.items())])
OTHER_CODE = "0123456789abcdef"
HASHES = (
    (run_store, "training_code"),
    (run_store, "scoring_code"),
    (runs, "training_code"),
    (runs, "scoring_code"),
)


@pytest.fixture(scope="module", autouse=True)
def steady_code():
    """Who edits a file while these tests run does not change what they find."""
    with pytest.MonkeyPatch.context() as patch:
        for module, name in HASHES:
            patch.setattr(module, name, functools.cache(getattr(module, name)))
        yield


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("prepared")
    options = Options(dialogues=12, utterances=(4, 6), words=(3, 6), speakers=9)
    prepare("generated", None, folder, options=options)
    return folder


@pytest.fixture(scope="module")
def made(prepared, tmp_path_factory):
    """x-seed0 and x-seed1, trained by `experiments.train`."""
    out = tmp_path_factory.mktemp("made")
    flags = [word for name, value in SMALL.items() for word in (f"--{name}", value)]
    where = ["--out", str(out), "--prepared", str(prepared), "--name", "x"]
    assert run(train.main, train.arguments, ["unimodal_generated", *flags, *where, "--seeds", "2"]) == 0
    return out


@pytest.fixture
def out(made, tmp_path):
    """A copy of those runs, times of change included."""
    return shutil.copytree(made, tmp_path / "out")


@pytest.fixture
def setup_of(prepared):
    return lambda spec: set_up(contestant(spec, "generated").experiment, prepared, None)


@pytest.fixture
def started(monkeypatch):
    """The folders of the trainings that would be started."""
    found = []

    def note(setup, jobs, findings, options):
        assert options.resume
        found.extend(job.folder.path.name for job in jobs)
        return []

    monkeypatch.setattr(run_store, "train_jobs", note)
    return found


class Audits:
    """An audit that finds nothing, and counts."""

    def __init__(self):
        self.count = 0

    def __call__(self, setup):
        self.count += 1
        return ()


def found(out, setup, seeds=2, stem="s", audit=None):
    """Names of the runs that `RunStore` gives, and how many it made."""
    folders, count = RunStore(out).runs(setup, stem, seeds, 0.0, audit or Audits())
    return [folder.path.name for folder in folders], count


def files(folder):
    """Content and time of change of every file."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(p.relative_to(folder)): (p.read_bytes(), p.stat().st_mtime_ns) for p in paths}


def read(path):
    return json.loads(path.read_text())


def test_runs_made_by_train_are_used_as_they_are(out, setup_of, started):
    before, audits = files(out), Audits()
    assert found(out, setup_of(SPEC), audit=audits) == (["x-seed0", "x-seed1"], 0)
    assert (started, audits.count) == ([], 0)
    assert files(out) == before


def test_runs_are_found_under_any_name(out, setup_of, started):
    (out / "x-seed0").rename(out / "the one I like")
    assert found(out, setup_of(SPEC)) == (["the one I like", "x-seed1"], 0)
    assert not started


def test_one_more_seed_trains_that_seed_alone(out, setup_of, started):
    names, count = found(out, setup_of(SPEC), seeds=3)
    assert (names[:2], count) == (["x-seed0", "x-seed1"], 1)
    assert started == names[2:]
    assert names[2].startswith("s-")
    assert names[2].endswith("-seed2")


def test_a_config_with_another_seed_shares_the_seeds_that_are_there(out, setup_of, started):
    names, count = found(out, setup_of(f"{SPEC}:seed=1"))
    assert (names[0], count) == ("x-seed1", 1)
    assert started == names[1:]


@pytest.mark.parametrize(
    "change",
    ["model.dropout=0.25", "training.epochs=3", "data.modalities=audio", "protocol.split=dialogue"],
)
def test_another_configuration_is_another_run(out, setup_of, started, change):
    before = files(out)
    names, count = found(out, setup_of(f"{SPEC}:{change}"))
    assert (names, count) == (started, 2)
    assert not {"x-seed0", "x-seed1"} & set(names)
    assert files(out) == before


def test_another_content_of_the_corpus_is_another_run(out, setup_of, started):
    setup = setup_of(SPEC)
    changed = dataclasses.replace(setup, corpus=dataclasses.replace(setup.corpus, content_hash=64 * "0"))
    assert found(out, changed) == (started, 2)


def test_other_code_is_another_run_of_the_systems_it_touches_alone(out, setup_of, started, monkeypatch):
    real = run_store.training_code
    monkeypatch.setattr(
        run_store, "training_code", lambda module: real(module) if "unimodal" in module else OTHER_CODE
    )
    assert found(out, setup_of(SPEC))[1] == 0
    monkeypatch.setattr(
        run_store, "training_code", lambda module: OTHER_CODE if "unimodal" in module else real(module)
    )
    names, count = found(out, setup_of(SPEC))
    assert (names, count) == (started, 2)


def test_folders_of_other_systems_data_and_code_have_other_names(out, setup_of, started, monkeypatch):
    setup = setup_of(SPEC)
    other = dataclasses.replace(setup, corpus=dataclasses.replace(setup.corpus, content_hash=64 * "0"))
    found(out, other)
    found(out, setup_of(f"{SPEC}:model.dropout=0.25"))
    monkeypatch.setattr(run_store, "training_code", lambda module: OTHER_CODE)
    found(out, setup)
    assert len(set(started)) == len(started) == 6


def test_the_identity_does_not_depend_on_order_nor_on_tuples():
    one = identity({"a": (1, 2), "b": {"c": 0.1}}, "data", "code")
    assert one == identity({"b": {"c": 0.1}, "a": [1, 2]}, "data", "code")
    assert len({one, identity({"a": [2, 1], "b": {"c": 0.1}}, "data", "code")}) == 2
    assert len({one, identity({"a": [1, 2], "b": {"c": 0.1}}, "code", "data")}) == 2


def test_other_code_that_scores_scores_anew_and_trains_nothing(out, setup_of, started, monkeypatch, capsys):
    before, audits = files(out), Audits()
    for module in (run_store, runs):
        monkeypatch.setattr(module, "scoring_code", lambda: OTHER_CODE)
    assert found(out, setup_of(SPEC), audit=audits) == (["x-seed0", "x-seed1"], 2)
    assert (started, audits.count) == ([], 1)
    assert "scoring 2 runs anew" in capsys.readouterr().err
    after = files(out)
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {f"x-seed{seed}/{name}" for seed in (0, 1) for name in ("metrics.json", "report.html")}
    assert after.keys() == before.keys()
    for seed in (0, 1):
        old, new = (json.loads(stand[f"x-seed{seed}/metrics.json"][0]) for stand in (before, after))
        assert new["scoring_code"] == OTHER_CODE != old["scoring_code"]
        assert {k: old[k] for k in ("test", "dev", "floors")} == {
            k: new[k] for k in ("test", "dev", "floors")
        }
    assert found(out, setup_of(SPEC))[1] == 0, "scored a second time"


@pytest.mark.parametrize("content", ["{", "{}"])
def test_damaged_scores_are_made_again_from_the_predictions(out, setup_of, started, content):
    metrics = out / "x-seed1" / "metrics.json"
    told = read(metrics)
    metrics.write_text(content)
    assert found(out, setup_of(SPEC)) == (["x-seed0", "x-seed1"], 1)
    assert not started
    again = read(metrics)
    assert {k: again[k] for k in ("test", "dev", "floors")} == {k: told[k] for k in ("test", "dev", "floors")}


def test_an_unfinished_run_is_not_used_as_a_finished_one(out, setup_of, started):
    (out / "x-seed1" / "metrics.json").unlink()
    names, count = found(out, setup_of(SPEC))
    assert (names[0], count) == ("x-seed0", 1)
    assert started == names[1:]
    assert started != ["x-seed1"]


@pytest.mark.parametrize("config", ["", "{", "[]", "null", "{}", '{"config": {}, "corpus": "mosi"}', "\xff"])
def test_damaged_and_foreign_folders_are_left_alone(out, setup_of, started, capsys, config):
    strange = out / "a folder of something else"
    strange.mkdir()
    (strange / "config.json").write_bytes(config.encode("latin-1"))
    (strange / "metrics.json").write_text("{}")
    (out / "empty").mkdir()
    (out / "notes.txt").write_text("mine")
    before = files(out)
    assert found(out, setup_of(SPEC)) == (["x-seed0", "x-seed1"], 0)
    assert files(out) == before
    assert f"{strange} is left alone" in capsys.readouterr().err


def test_a_damaged_folder_where_a_run_has_to_go_is_named_and_nothing_is_trained(out, setup_of, started):
    """Another name would hide it, and to remove what may be years of work is not ours."""
    (wanted,) = set(found(out, setup_of(SPEC), seeds=3)[0]) - {"x-seed0", "x-seed1"}
    shutil.copytree(out / "x-seed1", out / wanted)
    (out / wanted / "config.json").write_text("{")
    started.clear()
    with pytest.raises(InputError, match=f"{wanted}/config.json is damaged; remove that folder"):
        found(out, setup_of(SPEC), seeds=3)
    assert not started


def test_no_folder_at_all_means_that_everything_is_trained(tmp_path, setup_of, started):
    assert found(tmp_path / "nowhere", setup_of(SPEC)) == (started, 2)
    assert not (tmp_path / "nowhere").exists()


def test_a_training_that_fails_is_named_with_its_reason(out, setup_of, monkeypatch):
    monkeypatch.setattr(run_store, "train_jobs", lambda setup, jobs, *rest: [(jobs[0], "it diverged")])
    with pytest.raises(InputError, match=r"s-\w+-seed2 failed, so there is nothing to compare: it diverged"):
        found(out, setup_of(SPEC), seeds=3)


def test_an_audit_that_forbids_training_stops_before_it(out, setup_of, started):
    def forbids(setup):
        return (Finding("shared_speakers", "error", "a speaker is in train and in test"),)

    with pytest.raises(InputError, match="a speaker is in train and in test"):
        found(out, setup_of(SPEC), seeds=3, audit=forbids)
    assert not started
