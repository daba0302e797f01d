from pathlib import Path

import pytest

from experiments.run_names import run_names
from mer_jax.errors import InputError


def test_runs_are_called_by_their_folders():
    assert run_names([Path("runs/a-seed0"), Path("runs/b-seed0")]) == ["a-seed0", "b-seed0"]


def test_as_much_of_a_path_is_told_as_tells_runs_apart():
    paths = [Path("first/runs/a"), Path("second/runs/a"), Path("first/runs/b")]
    assert run_names(paths) == ["first/runs/a", "second/runs/a", "b"]


@pytest.mark.parametrize("again", [Path("runs/a"), Path("runs/../runs/a"), Path("runs/a").absolute()])
def test_a_run_named_twice_is_refused(again):
    with pytest.raises(InputError, match="named twice"):
        run_names([Path("runs/a"), Path("runs/b"), again])
