"""What a comparison's command line names: configs, with what is changed in each."""

import dataclasses
import re
from collections.abc import Collection, Sequence
from typing import Any

import tyro

from experiments.command import parse
from experiments.experiment import Experiment, config_names, get_config
from mer_jax.errors import InputError, nearest

LONGEST_STEM = 200  # file systems take names of 255 bytes


@dataclasses.dataclass(frozen=True)
class Contestant:
    """One system to compare: what was typed, a name to show, and the experiment it means.

    called: what its run folders' names begin with, in place of what was typed.
    """

    spec: str
    name: str
    experiment: Experiment[Any]
    called: str = ""

    @property
    def stem(self) -> str:
        """What its run folders' names begin with; of a path the last part."""
        short = re.sub(r"=[^:,]*/", "=", self.called or self.spec)
        return re.sub(r"[^A-Za-z0-9.]+", "-", short).strip("-")[:LONGEST_STEM]


def contestants(specs: Sequence[str], corpus: str) -> list[Contestant]:
    """One for each of `specs`; what is changed alike in all of several is not in their names."""
    each = [set(spec.split(":")[1:]) for spec in specs]
    alike = set.intersection(*each) if len(specs) > 1 else set()
    return [contestant(spec, corpus, alike) for spec in specs]


def contestant(spec: str, corpus: str, unnamed: Collection[str] = ()) -> Contestant:
    """Reads `config[:flag=value]...`: a config's name (the corpus' may be left out) and flags
    of `experiments.train`, several values with commas, True or False for a switch:

        early_fusion   unimodal_mosi:data.modalities=audio   early_fusion:model.hidden=128,64:seed=3

    The experiment reads `corpus` whatever the config's own is. unnamed: changes that its name
    does not show. Raises InputError where a name or a value is wrong.
    """
    name, *changes = (part.removeprefix("--") for part in spec.split(":"))
    config_name = name if name in config_names() else f"{name}_{corpus}"
    if config_name not in config_names():
        if others := [known for known in config_names() if known.startswith(f"{name}_")]:
            raise InputError(
                f"{name!r} has no config of its own for corpus {corpus!r}; name the one that shall "
                f"read it: {', '.join(others)}"
            )
        known = [*config_names(), *(known.removesuffix(f"_{corpus}") for known in config_names())]
        raise InputError(f"config {name!r} is unknown; {nearest(name, set(known))}")
    config = get_config(config_name)
    system = config_name.replace(f"_{config.data.corpus}", "").replace("_", " ")
    argv = [word for change in changes for word in _flag(change, spec)]
    generic: Any = Experiment
    flags: Any = tyro.conf.FlagConversionOff[generic[type(config.model)]]
    try:
        changed = parse(flags, argv, default=config, description=f"flags of {name}")
    except InputError as error:
        reason = str(error).partition(" (see ")[0]
        flags_of = f"python -m experiments.train {config_name} --help"
        raise InputError(f"{spec!r}: {reason} ({flags_of} lists the flags)") from None
    data = dataclasses.replace(changed.data, corpus=corpus)
    shown = [change for change in changes if change not in unnamed]
    return Contestant(spec, _shown(system, changed, shown), dataclasses.replace(changed, data=data))


def _flag(change: str, spec: str) -> list[str]:
    name, equals, value = change.partition("=")
    if not equals or not value:
        raise InputError(f"{spec!r}: {change!r} must read flag=value, for instance data.modalities=text")
    if name == "data.corpus":
        raise InputError(f"{spec!r}: the corpus is one for all systems and comes first; leave {change!r} out")
    return [f"--{name}", *value.split(",")]


def _shown(system: str, experiment: Experiment[Any], changes: list[str]) -> str:
    """`unimodal (text)`, `early fusion`, `early fusion (dropout 0.2)`."""
    said = list(experiment.data.modalities) if len(experiment.data.modalities) == 1 else []
    for change in changes:
        name, _, value = change.partition("=")
        if not (said and name == "data.modalities"):
            said.append(f"{name.rpartition('.')[2].replace('_', ' ').replace('-', ' ')} {value}")
    return f"{system} ({', '.join(said)})" if said else system
