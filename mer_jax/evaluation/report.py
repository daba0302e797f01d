"""`report.html`: one page that says what a run is worth, from its run folder alone.

The page holds everything it needs (plotly.js included) and opens offline.
"""

import dataclasses
import html
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mer_jax.errors import InputError
from mer_jax.evaluation import figures_classification, figures_regression, report_tables, report_words
from mer_jax.evaluation.attention_record import AttentionRecord
from mer_jax.evaluation.figures import learning_curves, scores_beside_floors
from mer_jax.evaluation.figures_attention import heat_maps
from mer_jax.evaluation.predictions import Predictions
from mer_jax.evaluation.report_page import Section, filled, page
from mer_jax.records import write_atomically


@dataclasses.dataclass(frozen=True)
class Run:
    """What a run folder holds; what is optional is empty where it is missing."""

    name: str
    metrics: Mapping[str, Any]
    predictions: Predictions
    config: Mapping[str, Any]
    protocol: Mapping[str, Any]
    epochs: tuple[Mapping[str, Any], ...]
    timing: Mapping[str, Any]
    attention: AttentionRecord | None = None


def write_report(run_folder: Path, metrics: Mapping[str, Any] | None = None) -> Path:
    """Writes `report.html` into the run folder and returns its path.

    metrics: the content of metrics.json where that file, the mark of a finished run, is not
    written yet. Reads predictions.npz (and metrics.json; InputError where one is missing or
    damaged), and config.json, protocol.json, metrics.jsonl, timing.json, attention.npz where they
    are there. The same folder gives the same bytes.
    """
    run = read_run(run_folder, metrics)
    path = Path(run_folder) / "report.html"
    write_atomically(path, page(run.name, report_words.badges(run.metrics), sections(run)).encode())
    return path


def read_run(run_folder: Path, metrics: Mapping[str, Any] | None = None) -> Run:
    """The run folder's files. Raises InputError where one is missing or damaged."""
    folder = Path(run_folder)
    if metrics is None and not (folder / "metrics.json").exists():
        raise InputError(f"{folder / 'metrics.json'} does not exist; is {folder} a finished run folder?")
    lines = _text(folder / "metrics.jsonl").splitlines()
    return Run(
        name=folder.resolve().name,
        metrics=_json(folder / "metrics.json") if metrics is None else metrics,
        predictions=Predictions.load(folder / "predictions.npz"),
        config=_json(folder / "config.json"),
        protocol=_json(folder / "protocol.json"),
        epochs=tuple(_parsed(folder / "metrics.jsonl", line) for line in lines if line.strip()),
        timing=_json(folder / "timing.json"),
        attention=_attention(folder / "attention.npz"),
    )


def sections(run: Run) -> list[Section]:
    """The page's parts in reading order."""
    m = run.metrics
    test = run.predictions.part("test")
    made = [
        Section("summary", "In short", report_words.summary(m), wide=True),
        Section("scores", "Scores beside floors", report_tables.scores(m), wide=True),
        Section(
            "scores-figure",
            "Scores with intervals",
            figure=scores_beside_floors(m),
            caption=report_words.caption("scores", m),
            wide=True,
        ),
    ]
    classification = m["task"] == "classification"
    drawn = figures_classification if classification else figures_regression
    figures = [*drawn.sequence(m, test), ("curves", learning_curves(run.epochs, stacked=classification))]
    for name, figure in figures:
        if figure is not None:
            title, wide = report_words.TITLES[name]
            text = report_words.caption(name, m)
            made.append(Section(name, title, figure=figure, caption=text, wide=wide))
    if run.attention is not None and "attention" in m:
        made.append(_attention_section(run.attention, m))
    if m.get("votes"):
        made.append(Section("votes", "Beside the annotators' votes", report_tables.votes(m)))
    made.append(Section("leakage", "Leakage audit", report_tables.leakage(m), wide=True))
    made.append(Section("protocol", "Protocol", report_tables.protocol(run.protocol, m)))
    made.append(
        Section("reproduce", "Reproduce this run", report_tables.reproduction(run.config, run.timing))
    )
    made.append(Section("config", "Configuration", report_tables.configuration(run.config), wide=True))
    return filled(made)


def _attention_section(record: AttentionRecord, m: Mapping[str, Any]) -> Section:
    return Section(
        "attention",
        "Attention and the true word times",
        report_tables.attention(m) + f"<p class='caption'>{html.escape(report_words.attention_width(m))}</p>",
        figure=heat_maps(record.examples, [record.rate] * len(record.examples)),
        caption=report_words.attention_caption(m, {e.trace_name for e in record.examples}),
        wide=True,
    )


def _attention(path: Path) -> AttentionRecord | None:
    return AttentionRecord.load(path) if path.exists() else None


def _text(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def _json(path: Path) -> Mapping[str, Any]:
    return _parsed(path, _text(path) or "{}")


def _parsed(path: Path, text: str) -> Mapping[str, Any]:
    try:
        return json.loads(text)
    except ValueError as error:
        raise InputError(f"{path} is damaged ({error}); train the run again with --overwrite") from error
