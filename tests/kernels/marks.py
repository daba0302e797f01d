"""Marks of tests that a class inherits."""

import functools
from collections.abc import Callable

import pytest


def slow(*names: str) -> Callable[[type], type]:
    """Marks inherited tests of a class as slow, there alone."""

    def mark(tests: type) -> type:
        for name in names:
            setattr(tests, name, pytest.mark.slow(_copy(getattr(tests, name))))
        return tests

    return mark


def _copy(test: Callable) -> Callable:
    return functools.wraps(test)(lambda *given, **named: test(*given, **named))
