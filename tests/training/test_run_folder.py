"""Run folders: what stands in the way is named before anything is changed."""

import pytest

from mer_jax.errors import InputError
from mer_jax.training.run_folder import RunFolder

RECORD = {"config": {"seed": 0}, "corpus": {"hash": "x"}, "code_hash": "y"}


def begun(path, finished=False, **changes):
    folder = RunFolder(path)
    folder.start(RECORD | changes, resume=False, overwrite=False)
    if finished:
        folder.write_json("metrics.json", {})
    return folder


def test_check_changes_nothing(tmp_path):
    RunFolder(tmp_path / "new").check(RECORD, resume=False, overwrite=True)
    assert not (tmp_path / "new").exists()
    old = begun(tmp_path / "old", finished=True)
    old.check(RECORD, resume=False, overwrite=True)
    assert old.finished


@pytest.mark.parametrize(
    ("finished", "mode", "message"),
    [
        (True, {}, "holds a finished run"),
        (False, {}, "holds an unfinished run"),
        (True, {"resume": True}, "nothing to resume"),
        (False, {"resume": True, "overwrite": True}, "pass one of them"),
    ],
)
def test_what_stands_in_the_way_is_named(tmp_path, finished, mode, message):
    folder = begun(tmp_path / "run", finished)
    with pytest.raises(InputError, match=message):
        folder.check(RECORD, **{"resume": False, "overwrite": False} | mode)


def test_another_configuration_is_named_field_by_field(tmp_path):
    folder = begun(tmp_path / "run")
    folder.check(RECORD, resume=True, overwrite=False)
    with pytest.raises(InputError, match=r"config\.seed was 0, is 1.*code_hash was 'y', is 'z'"):
        folder.start(RECORD | {"config": {"seed": 1}, "code_hash": "z"}, resume=True, overwrite=False)


def test_a_folder_of_something_else_is_not_removed(tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("x")
    with pytest.raises(InputError, match="is no run folder"):
        RunFolder(tmp_path / "thesis").start(RECORD, resume=False, overwrite=True)
    assert (tmp_path / "thesis" / "chapter.txt").exists()
