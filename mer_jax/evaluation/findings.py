"""What an audit found, in words, with the numbers behind them."""

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal

from mer_jax.errors import InputError

Severity = Literal["ok", "note", "warning", "error"]
ORDER: tuple[Severity, ...] = ("error", "warning", "note", "ok")


@dataclasses.dataclass(frozen=True)
class Finding:
    """One check's outcome. numbers: JSON-ready values."""

    check: str
    severity: Severity
    message: str
    numbers: dict[str, Any] = dataclasses.field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The finding as metrics.json holds it."""
        return dataclasses.asdict(self)

    def __str__(self) -> str:
        return f"[{self.severity}] {self.check}: {self.message}"


def by_severity(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """The gravest first, else in order."""
    return tuple(sorted(findings, key=lambda finding: ORDER.index(finding.severity)))


def stop_on_error(findings: Sequence[Finding]) -> None:
    """Raises InputError where a finding is an error."""
    errors = [str(finding) for finding in findings if finding.severity == "error"]
    if errors:
        raise InputError("leakage audit: " + "; ".join(errors))
