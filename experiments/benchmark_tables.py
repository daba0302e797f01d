"""What the benchmarks' tables have in common: targets with what was measured, GitHub tables."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table


def at_least(what: str, bound: float, value: float | None, unit: str = "x") -> dict[str, Any]:
    """A target: the value (None where it was not measured) is to be the bound or more."""
    return _target(what, ">=", bound, value, unit, None if value is None else value >= bound)


def at_most(what: str, bound: float, value: float | None, unit: str = "x") -> dict[str, Any]:
    """A target: the value (None where it was not measured) is to be the bound or less."""
    return _target(what, "<=", bound, value, unit, None if value is None else value <= bound)


def _target(
    what: str, sign: str, bound: float, value: float | None, unit: str, met: bool | None
) -> dict[str, Any]:
    measured = None if value is None else float(f"{value:.4g}")
    return {
        "what": what,
        "bound": f"{sign} {bound:g} {unit}".rstrip(),
        "measured": measured,
        "unit": unit,
        "met": met,
    }


def target_cells(target: Mapping[str, Any]) -> list[str]:
    """A target's line: what, bound, measured, met."""
    if target["measured"] is None:
        return [target["what"], target["bound"], "not measured", ""]
    measured = f"{target['measured']:g} {target['unit']}".rstrip()
    return [target["what"], target["bound"], measured, "yes" if target["met"] else "NO"]


def targets_table(title: str, targets: Sequence[Mapping[str, Any]]) -> Table:
    """Every target for the terminal."""
    table = Table(title=title, title_justify="left")
    for name in ("", "bound", "measured", "met"):
        table.add_column(name)
    for target in targets:
        table.add_row(*target_cells(target))
    return table


def markdown_targets(targets: Sequence[Mapping[str, Any]]) -> list[str]:
    """The same for GitHub, line by line."""
    return markdown_table(("asked", "bound", "measured", "met"), [target_cells(t) for t in targets])


def markdown_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A GitHub table, line by line."""
    return [f"| {' | '.join(line)} |" for line in (columns, ["---"] * len(columns), *rows)]
