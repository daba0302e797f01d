"""A small generated corpus and a way to run scripts, in this process or in one of their own."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from experiments import train
from experiments.command import run
from mer_jax.data.corpus import prepare
from mer_jax.data.simulation import Options

SMALL = ["--training.epochs", "2", "--training.buckets", "1", "--model.hidden", "6", "--model.dense", "5"]
ROOT = Path(__file__).parents[2]


@dataclasses.dataclass
class Result:
    """What a script did."""

    code: int
    out: str
    err: str


@pytest.fixture(scope="session")
def prepared(tmp_path_factory):
    """A folder of prepared corpora that holds a small generated one."""
    folder = tmp_path_factory.mktemp("prepared")
    options = Options(dialogues=12, utterances=(4, 6), words=(3, 6), speakers=9)
    prepare("generated", None, folder, options=options)
    return folder


@pytest.fixture
def script(capsys):
    """Runs a script's main in this process."""

    def call(module: Any, *argv: str) -> Result:
        parse = getattr(module, "arguments", None) or module.Args
        capsys.readouterr()
        code = run(module.main, parse, list(argv))
        said = capsys.readouterr()
        return Result(code, said.out, said.err)

    return call


@pytest.fixture
def trained(script, prepared, tmp_path):
    """Trains a small system below tmp_path/runs."""

    def call(*argv: str, config: str = "early_fusion_generated", name: str = "r") -> Result:
        where = ["--prepared", str(prepared), "--out", str(tmp_path / "runs"), "--name", name]
        return script(train, config, *SMALL, *where, *argv)

    return call


def start(module: str, *argv: str) -> subprocess.Popen:
    """A script in a process of its own, with one virtual device."""
    flags = " ".join(f for f in os.environ["XLA_FLAGS"].split() if "device_count" not in f)
    environment = os.environ | {"XLA_FLAGS": flags}
    return subprocess.Popen(
        [sys.executable, "-m", module, *argv],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
