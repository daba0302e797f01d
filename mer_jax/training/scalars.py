"""Hyper-parameters that differ between trainings of one compiled program."""

import copy
import dataclasses
from collections.abc import Mapping
from typing import Any, TypeVar

Config = TypeVar("Config")


@dataclasses.dataclass(frozen=True)
class Member:
    """One of the trainings that run together.

    seed: of its initial parameters, order of batches and dropout.
    scalars: dotted name ("model.dropout", "training.optimizer.learning_rate") -> its value;
        all members name the same ones.
    """

    seed: int
    scalars: Mapping[str, float] = dataclasses.field(default_factory=dict)


def with_scalars(config: Config, prefix: str, scalars: Mapping[str, Any]) -> Config:
    """A copy of the dataclass `config` with the fields that `scalars` names below `prefix`.

    Values may be traced arrays, so they are put in place without the checks of `__init__`.
    """
    new = copy.copy(config)
    for name, value in scalars.items():
        if name.startswith(f"{prefix}."):
            object.__setattr__(new, name.removeprefix(f"{prefix}."), value)
    return new


def is_zero(value: Any) -> bool:
    """Whether a hyper-parameter is the number 0, as against an array that may hold it."""
    return isinstance(value, int | float) and value == 0
