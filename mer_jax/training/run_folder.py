"""`runs/<name>/`: what one training leaves behind, and whether it is finished.

    config.json protocol.json metrics.jsonl preprocessing.json checkpoints/ timing.json
    predictions.npz attention.npz (of systems that attend to words of known times) report.html metrics.json
    timeline.npz (predictions after every step, where experiments.timeline made them)

`metrics.json` is written last: a folder without it is not finished.
"""

import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import jax

from mer_jax.errors import InputError
from mer_jax.records import write_atomically

PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy", "scikit-learn", "mer-jax")


class RunFolder:
    """A run folder, opened anew, to be resumed, or to be read."""

    def __init__(self, path: Path):
        self.path = path

    @property
    def finished(self) -> bool:
        return (self.path / "metrics.json").exists()

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def begun(self) -> bool:
        return (self.path / "config.json").exists()

    def start(self, record: Mapping[str, Any], *, resume: bool, overwrite: bool) -> None:
        """Makes the folder with its config.json, where it is not there to be resumed.

        Raises InputError as `check` does.
        """
        self.check(record, resume=resume, overwrite=overwrite)
        if overwrite and self.path.exists():
            shutil.rmtree(self.path)
        if not self.begun:
            self.path.mkdir(parents=True, exist_ok=True)
            self.write_json("config.json", record)

    def check(self, record: Mapping[str, Any], *, resume: bool, overwrite: bool) -> None:
        """Raises InputError where the folder stands in the way, or was begun with another
        configuration; the message names every difference. Changes nothing."""
        if resume and overwrite:
            raise InputError("--resume goes on with a run and --overwrite removes it; pass one of them")
        if overwrite and self.path.exists():
            self._refuse_strangers()
        elif resume and self.begun:
            self._check_same(record)
            if self.finished:
                raise InputError(
                    f"{self.path} is finished, there is nothing to resume; "
                    f"python -m experiments.evaluate {self.path} shows its scores"
                )
        elif self.finished:
            raise InputError(
                f"{self.path} holds a finished run; pass --name for another folder or --overwrite"
            )
        elif self.begun:
            raise InputError(f"{self.path} holds an unfinished run; pass --resume to go on or --overwrite")

    def _refuse_strangers(self) -> None:
        if any(self.path.iterdir()) and not (self.path / "config.json").exists():
            raise InputError(f"{self.path} is no run folder (it has no config.json); nothing was removed")

    def _check_same(self, record: Mapping[str, Any]) -> None:
        old = read_json(self.path / "config.json")
        parts = ("config", "corpus", "code_hash")
        differences = [line for part in parts for line in _differences(part, old.get(part), record.get(part))]
        if differences:
            raise InputError(
                f"{self.path} was begun with another configuration: {'; '.join(differences)}; "
                "resume with the old one, or train anew with --overwrite"
            )

    def repair(self, fold: str) -> Path:
        """Where a fold's modality check and proxies lie, if it has any."""
        return self.path / "repair" / fold

    def write_json(self, name: str, content: Any) -> None:
        """Writes one file whole or not at all."""
        text = json.dumps(content, indent=1, allow_nan=False) + "\n"
        write_atomically(self.path / name, text.encode())

    def write_lines(self, name: str, rows: list[dict[str, Any]]) -> None:
        """Writes one JSON object a line."""
        text = "".join(json.dumps(row) + "\n" for row in rows)
        write_atomically(self.path / name, text.encode())

    def read(self, name: str) -> Any:
        """One of the folder's JSON files. Raises InputError where there is none."""
        return read_json(self.path / name)


def read_json(path: Path) -> Any:
    """A JSON file's content. Raises InputError where it is missing or damaged."""
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        raise InputError(f"{path} does not exist; is {path.parent} a run folder?") from None
    except ValueError as error:
        raise InputError(f"{path} is damaged ({error}); train the run again with --overwrite") from error


def provenance() -> dict[str, Any]:
    """Versions, device, commit and command, for config.json."""
    versions = {name: _version(name) for name in PACKAGES} | {"python": platform.python_version()}
    device = jax.devices()[0]
    return {
        "versions": versions,
        "device": f"{jax.local_device_count()} x {device.device_kind} ({device.platform}), {os.cpu_count()} cores",
        "commit": _commit(),
        "command": " ".join(["python", "-m", _module(), *sys.argv[1:]]),
    }


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"


def _commit() -> str:
    """The commit the code stands at, with + where code has changed since; "" outside git."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists() or shutil.which("git") is None:
        return ""
    git = ["git", "-C", os.fspath(root)]
    head = subprocess.run(
        [*git, "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=False
    )
    dirty = subprocess.run(
        [*git, "status", "--porcelain", "-uno", "--", "*.py"], capture_output=True, text=True, check=False
    )
    return head.stdout.strip() + ("+" if dirty.stdout.strip() else "")


def _module() -> str:
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    return spec.name if spec else Path(sys.argv[0]).name


def _differences(path: str, old: Any, new: Any) -> list[str]:
    new = json.loads(json.dumps(new))
    if isinstance(old, dict) and isinstance(new, dict):
        keys = dict.fromkeys([*old, *new])
        return [line for key in keys for line in _differences(f"{path}.{key}", old.get(key), new.get(key))]
    return [] if old == new else [f"{path} was {old!r}, is {new!r}"]
