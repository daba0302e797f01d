"""A finding: one plain sentence about a corpus, and how much it matters."""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Literal

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")
EXAMPLES = 3


@dataclasses.dataclass(frozen=True)
class Finding:
    """severity: `error` stops preparation, `warning` can spoil a result, `note` is to be known.

    check: the name of what found it, the same for every corpus.
    """

    severity: Severity
    check: str
    message: str


def examples(items: Iterable[object]) -> str:
    """The first few of `items`, in words."""
    listed = [str(item) for item in items]
    rest = len(listed) - EXAMPLES
    return ", ".join(listed[:EXAMPLES]) + (f" and {rest} more" if rest > 0 else "")


def share(part: int, whole: int) -> str:
    """`part` of `whole` as a count and a percentage."""
    return f"{part} of {whole} ({100 * part / max(whole, 1):.1f} %)"


def plural(count: int, noun: str) -> str:
    """`count` and the noun, in the plural where it should be."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def in_splits(names: Sequence[str]) -> str:
    """Names of splits in words: `train`, `train and test`, `train, dev and test`."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
