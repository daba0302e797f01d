"""Tables and findings on the terminal: rich where there is one, plain text where not."""

from collections.abc import Mapping, Sequence
from typing import Any, TextIO

from rich.console import Console
from rich.table import Table

from mer_jax.evaluation.findings import Finding, by_severity
from mer_jax.evaluation.metrics import REGRESSION_SCORES

PIPE_WIDTH = 110
COLOURS = {"error": "bold red", "warning": "yellow", "note": "dim", "ok": "green"}
SHOWN = {
    "classification": ("accuracy", "balanced_accuracy", "macro_f1", "weighted_f1", "log_loss", "ece"),
    "regression": REGRESSION_SCORES,
}


def console_on(file: TextIO) -> Console:
    """A console that keeps whole lines when piped."""
    return Console(file=file, highlight=False, width=None if file.isatty() else PIPE_WIDTH)


def print_findings(findings: Sequence[Finding], file: TextIO) -> None:
    """The leakage audit: what passed in one line, everything else in a line each."""
    console = console_on(file)
    passed = [finding.check for finding in findings if finding.severity == "ok"]
    console.print(f"leakage audit: {len(findings)} checks, {len(passed)} passed")
    for finding in by_severity(findings):
        if finding.severity != "ok":
            style = COLOURS[finding.severity]
            console.print(f"  [{style}]{finding.severity}[/] {finding.check}: {finding.message}")


def print_scores(scores: Mapping[str, Any], file: TextIO) -> None:
    """Test scores beside their floors, and what must be said about them."""
    console = console_on(file)
    title = f"{'GENERATED data: ' if scores['generated'] else ''}corpus {scores['corpus']}, protocol {scores['protocol']}"
    names = [name for name in SHOWN[scores["task"]] if name in scores["test"]]
    table = Table(title=f"{title}: test, n = {scores['test']['n']}", title_justify="left")
    table.add_column("")
    for name in names:
        table.add_column(name.replace("_", " "), justify="right")
    table.add_row("model", *(_number(scores["test"][name]) for name in names), style="bold")
    intervals = scores["intervals"]
    table.add_row("  95 % interval", *(_interval(intervals.get(name)) for name in names), style="dim")
    for floor, row in scores["floors"].items():
        table.add_row(f"floor: {floor.replace('_', ' ')}", *(_number(row[name]) for name in names))
    for condition, found in scores.get("people", {}).items():
        majority = found["majority_vote"]
        cells = (_number(majority.get(name)) for name in names)
        table.add_row(f"people: majority vote, {condition}", *cells, style="dim")
    console.print(table)
    remarks = [f"COLLAPSED: {reason}" for reason in scores["collapsed_reasons"]]
    remarks += [*scores["not_above"], *scores["notes"]]
    remarks += [
        f"{f['check']}: {f['message']}" for f in scores["leakage"] if f["severity"] in ("warning", "error")
    ]
    for remark in remarks:
        console.print(f"- {remark}", markup=False)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _interval(bounds: Sequence[float] | None) -> str:
    return "" if bounds is None else f"{bounds[0]:.3f}-{bounds[1]:.3f}"
