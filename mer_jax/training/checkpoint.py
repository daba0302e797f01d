"""Checkpoints: state, data position and configuration as one atomic unit (orbax)."""

import shutil
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from mer_jax.errors import InputError, is_full_disk

SPARE_BYTES = 1 << 17


class Checkpoints:
    """`last` (to resume from: the states now and the best so far, of all members) and `best`
    (one member's, to evaluate), each the newest of its kind.

    `position` is JSON: epoch, batch, what each member's record holds, the configuration's hash.
    """

    def __init__(self, folder: Path):
        self.folder = folder.absolute()
        self._managers: dict[str, ocp.CheckpointManager] = {}

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *_: object) -> None:
        for manager in self._managers.values():
            manager.close()
        self._managers.clear()

    def _manager(self, kind: str) -> ocp.CheckpointManager:
        if kind not in self._managers:
            options = ocp.CheckpointManagerOptions(max_to_keep=1, create=True)
            self._managers[kind] = ocp.CheckpointManager(self.folder / kind, options=options)
        return self._managers[kind]

    def save(self, kind: str, step: int, state: Any, position: dict[str, Any]) -> None:
        """Writes a checkpoint and waits for it. Raises InputError on a full disk."""
        manager = self._manager(kind)
        if step in manager.all_steps():  # made again after a kill: the same bytes
            manager.delete(step)
        arrays = jax.tree.map(np.asarray, state)
        self.folder.mkdir(parents=True, exist_ok=True)
        needed = SPARE_BYTES + 2 * sum(x.nbytes for x in jax.tree.leaves(arrays))
        if shutil.disk_usage(self.folder).free < needed:
            raise self._full(step)
        parts = ocp.args.Composite(state=ocp.args.StandardSave(arrays), position=ocp.args.JsonSave(position))
        try:
            manager.save(step, args=parts)
            manager.wait_until_finished()
        except Exception as error:
            if is_full_disk(error):
                raise self._full(step) from error
            raise

    def _full(self, step: int) -> InputError:
        return InputError(
            f"the disk that holds {self.folder} is full: the checkpoint of step {step} was "
            "not written; free some space and run again with --resume"
        )

    def exists(self, kind: str) -> bool:
        return (self.folder / kind).is_dir() and self._manager(kind).latest_step() is not None

    def restore(self, kind: str, like: Any) -> tuple[Any, dict[str, Any]]:
        """The newest checkpoint of `kind`; `like` gives its structure."""
        manager = self._manager(kind)
        step = manager.latest_step()
        if step is None:
            raise InputError(f"{self.folder / kind} holds no checkpoint")
        template = jax.tree.map(np.asarray, like)
        parts = ocp.args.Composite(state=ocp.args.StandardRestore(template), position=ocp.args.JsonRestore())
        try:
            found: Any = manager.restore(step, args=parts)
        except (ValueError, FileNotFoundError) as error:
            raise self._misfit(kind, step, str(error).splitlines()[0]) from error
        for wanted, got in zip(jax.tree.leaves(template), jax.tree.leaves(found.state), strict=True):
            if (wanted.shape, wanted.dtype) != (got.shape, got.dtype):
                raise self._misfit(kind, step, f"an array is {got.shape} where {wanted.shape} is expected")
        return found.state, found.position

    def _misfit(self, kind: str, step: int, what: str) -> InputError:
        return InputError(
            f"checkpoint {self.folder / kind / str(step)} does not fit this model or is damaged "
            f"({what}); train anew with --overwrite"
        )
