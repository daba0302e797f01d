"""What is kept on disk: files written whole, and frozen dataclasses from the JSON of `dataclasses.asdict`."""

import dataclasses
import os
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mer_jax.errors import InputError


def write_atomically(path: Path, content: bytes) -> None:
    """Writes beside `path`, then moves into place: a half-written file is never seen."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_bytes(content)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def from_json(cls: type, data: Mapping[str, Any]) -> Any:
    """An instance of `cls`, nested dataclasses and tuples restored.

    Raises InputError for a field `cls` does not have: the file is of another version.
    """
    hints = typing.get_type_hints(cls)
    unknown = sorted(set(data) - {field.name for field in dataclasses.fields(cls)})
    if unknown:
        raise InputError(
            f"{cls.__name__} has no field {unknown[0]!r}: the file was written by another version, make it anew"
        )
    return cls(**{key: _value(hints[key], value) for key, value in data.items()})


def _value(hint: Any, value: Any) -> Any:
    arguments = typing.get_args(hint)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return from_json(hint, value)
    if isinstance(value, list):
        return tuple(_value(arguments[0] if arguments else Any, item) for item in value)
    if isinstance(value, dict):
        return {key: _value(arguments[1] if len(arguments) > 1 else Any, item) for key, item in value.items()}
    return value
