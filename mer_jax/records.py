"""Frozen dataclasses from the JSON that `dataclasses.asdict` makes of them."""

import dataclasses
import typing
from collections.abc import Mapping
from typing import Any

from mer_jax.errors import InputError


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
