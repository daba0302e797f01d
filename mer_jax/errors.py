"""Errors a person can act on: what, where and the remedy, in one line."""

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """Bad input. Scripts print it as one line and leave with exit code 2."""


def nearest(name: str, known: Iterable[str]) -> str:
    """A clause naming the known name nearest to `name`, or all of them."""
    known = sorted(known)
    match = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {match[0]!r}?" if match else f"known: {', '.join(known) or 'none'}"
