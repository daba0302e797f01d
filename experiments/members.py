"""Several trainings of one config: seeds, and a grid over scalar hyper-parameters."""

import dataclasses
import itertools
import math
from collections.abc import Sequence
from typing import Any

from experiments.experiment import Experiment
from mer_jax.errors import InputError, nearest
from mer_jax.training.scalars import Member


@dataclasses.dataclass(frozen=True)
class Variant:
    """One training: its whole experiment, and what is its own within the program.

    suffix: what is added to the config's name: "-dropout0.3-seed2".
    """

    experiment: Experiment[Any]
    member: Member
    suffix: str


def variants(experiment: Experiment[Any], seeds: int, grid: Sequence[str] = ()) -> list[Variant]:
    """Every point of the grid with seeds experiment.seed, experiment.seed + 1, ...

    grid: entries `name=value,value,...` with the name of a real-valued field of the model or
    the optimizer, as its flag is called: `model.dropout=.3,.5`,
    `training.optimizer.learning-rate=1e-3,3e-3`. Raises InputError for any other.
    """
    if seeds < 1:
        raise InputError(f"--seeds {seeds} must be at least 1")
    if not 0 <= experiment.seed <= 2**32 - seeds:
        raise InputError(f"--seed {experiment.seed}: all seeds must lie in [0, 2^32)")
    axes = [_axis(experiment, entry) for entry in grid]
    names = [axis[0][0] for axis in axes]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"--grid names {name} twice; give all its values in one entry")
    found = []
    for point in itertools.product(*axes):
        changed, values = experiment, dict(point)
        for name, value in point:
            changed = _replaced(changed, name.split("."), value)
        label = "".join(f"-{name.rpartition('.')[2]}{value:g}" for name, value in point)
        for seed in range(experiment.seed, experiment.seed + seeds):
            one = dataclasses.replace(changed, seed=seed)
            found.append(Variant(one, Member(seed, values), f"{label}-seed{seed}"))
    return found


def _axis(experiment: Experiment[Any], entry: str) -> list[tuple[str, float]]:
    name, equals, listed = entry.partition("=")
    name = name.strip().removeprefix("--").replace("-", "_")
    known = [f"{prefix}.{field}" for prefix, field in _scalars(experiment)]
    if not equals or name not in known:
        raise InputError(
            f"--grid {entry!r}: {name!r} is no real-valued hyper-parameter; {nearest(name, known)}"
        )
    try:
        values = [float(value) for value in listed.split(",")]
    except ValueError:
        raise InputError(f"--grid {entry!r}: {listed!r} must be numbers with commas between them") from None
    if not all(map(math.isfinite, values)):
        raise InputError(f"--grid {entry!r}: {listed!r} must be finite numbers")
    if len({f"{value:g}" for value in values}) < len(values):
        raise InputError(f"--grid {entry!r} names a value twice (six digits count)")
    return [(name, value) for value in values]


def _scalars(experiment: Experiment[Any]) -> list[tuple[str, str]]:
    parts = {"model": experiment.model, "training.optimizer": experiment.training.optimizer}
    return [
        (prefix, field.name)
        for prefix, config in parts.items()
        for field in dataclasses.fields(config)
        if isinstance(getattr(config, field.name), float)
    ]


def _replaced(config: Any, path: list[str], value: float) -> Any:
    if len(path) == 1:
        return dataclasses.replace(config, **{path[0]: value})
    inner = _replaced(getattr(config, path[0]), path[1:], value)
    return dataclasses.replace(config, **{path[0]: inner})
