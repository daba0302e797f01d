"""Errors a person can act on: what, where and the remedy, in one line."""

import difflib
import errno
from collections.abc import Iterable


class InputError(ValueError):
    """Bad input. Scripts print it as one line and leave with exit code 2."""


def nearest(name: str, known: Iterable[str]) -> str:
    """A clause naming the known name nearest to `name`, or all of them."""
    known = sorted(known)
    match = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {match[0]!r}?" if match else f"known: {', '.join(known) or 'none'}"


def is_full_disk(error: BaseException) -> bool:
    """Whether an error, of the operating system or of a library that wraps it, means a full disk."""
    return getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or "No space left on device" in str(
        error
    )
