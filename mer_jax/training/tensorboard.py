"""Optional TensorBoard curves, through tensorboardX."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mer_jax.errors import InputError


def write_curves(history: Sequence[dict[str, Any]], folder: Path) -> None:
    """Writes every number of every epoch below `folder`/<fold>.

    Raises InputError where the `tensorboard` extra is not installed.
    """
    try:
        from tensorboardX import SummaryWriter
    except ImportError as error:
        raise InputError("--tensorboard needs an extra: pip install 'mer-jax[tensorboard]'") from error
    for fold in dict.fromkeys(row["fold"] for row in history):
        with SummaryWriter(str(folder / fold)) as writer:
            for row in history:
                if row["fold"] == fold:
                    for name, value in row.items():
                        if isinstance(value, float):
                            writer.add_scalar(name, value, row["epoch"])
