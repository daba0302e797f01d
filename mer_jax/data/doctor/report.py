"""An examination as readable tables on a console."""

import rich.box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table

from mer_jax.data.doctor.examination import Examination
from mer_jax.data.doctor.finding import SEVERITIES

STYLES = {"error": "bold red", "warning": "yellow", "note": "cyan"}


def print_report(examination: Examination, console: Console) -> None:
    """Prints what the corpus holds, its known traps, and the findings by severity."""
    spec = examination.spec
    if spec.generated:
        console.print("GENERATED: made up by a program, not recorded from people", style="bold", markup=False)
    console.print(f"{spec.name}: {spec.description}", style="bold", markup=False)
    if spec.licence:
        console.print(f"Licence: {spec.licence}", markup=False)
    console.print(f"Content: {examination.content_hash}", markup=False)
    console.print(_splits(examination))
    if any(split.classes for split in examination.splits):
        console.print(_classes(examination))
    if examination.modalities:
        console.print(_modalities(examination))
    _print_sentences(console, "Known traps", "", list(spec.notes))
    for severity in SEVERITIES:
        found = [f"{finding.check}: {finding.message}" for finding in examination.of(severity)]
        _print_sentences(console, f"{severity.capitalize()}s found", STYLES[severity], found)


def _table(title: str, first: str, *others: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=rich.box.SIMPLE)
    table.add_column(first)
    for name in others:
        table.add_column(name, justify="right")
    return table


def _splits(examination: Examination) -> Table:
    table = _table("Splits", "split", "utterances", "dialogues", "speakers", "with transcript")
    for s in examination.splits:
        table.add_row(s.split, *map(str, (s.utterances, s.dialogues, s.speakers, s.transcripts)))
    return table


def _classes(examination: Examination) -> Table:
    splits = examination.splits
    table = _table("Classes", "class", *(s.split for s in splits))
    for name in dict.fromkeys(name for s in splits for name in s.classes):
        counts = [s.classes.get(name, 0) for s in splits]
        cells = [f"{n} ({100 * n / max(s.utterances, 1):.1f} %)" for n, s in zip(counts, splits, strict=True)]
        table.add_row(name, *cells)
    return table


def _modalities(examination: Examination) -> Table:
    timed = any(m.seconds for m in examination.modalities)
    columns = ("features", "present in", "frames min/median/max", "values")
    table = _table("Modalities", "modality", *columns, *(("seconds min/median/max",) if timed else ()))
    for m in examination.modalities:
        present = ", ".join(f"{split} {count}" for split, count in m.present.items())
        values = "" if m.low is None else f"{m.low:.4g} to {m.high:.4g}"
        cells = [m.name, str(m.dim), present, _spread(m.frames, ".0f"), values]
        table.add_row(*cells, *((_spread(m.seconds, ".1f"),) if timed else ()))
    return table


def _spread(quantiles: tuple[float, ...] | None, form: str) -> str:
    return "/".join(format(quantiles[i], form) for i in (0, 2, 4)) if quantiles else "unknown"


def _print_sentences(console: Console, title: str, style: str, sentences: list[str]) -> None:
    if not sentences:
        return
    console.print(f"{title} ({len(sentences)})", style=f"bold {style}".strip(), markup=False)
    grid = Table.grid(padding=(0, 1))
    for sentence in sentences:
        grid.add_row("-", sentence)
    console.print(Padding(grid, (0, 0, 1, 1)))
