"""The report's tables as HTML."""

import html
import json
from collections.abc import Mapping, Sequence
from typing import Any

from mer_jax.evaluation.figure_style import FLOOR_LABELS, METRIC_LABELS
from mer_jax.evaluation.metrics import REGRESSION_SCORES

CLASSIFICATION_COLUMNS = (
    "accuracy",
    "balanced_accuracy",
    "macro_f1",
    "weighted_f1",
    "roc_auc_micro",
    "average_precision_macro",
    "log_loss",
    "ece",
)


def scores(m: Mapping[str, Any]) -> str:
    """Model, its dev score, and floors; a line each, intervals under the numbers."""
    columns = REGRESSION_SCORES if m["task"] == "regression" else CLASSIFICATION_COLUMNS
    head = "".join(f"<th class='number'>{METRIC_LABELS[name]}</th>" for name in columns)
    rows = [_score_row("Model, test", "", m["test"], m["intervals"], columns, "model")]
    if m["dev"]:
        rows.append(_score_row("Model, dev", "selected on, so not a result", m["dev"], {}, columns, "dev"))
    for name, scored in m["floors"].items():
        label = FLOOR_LABELS.get(name, name)
        rows.append(
            _score_row(label, scored["detail"], scored, scored["intervals"], columns, f"floor-{name}")
        )
    for condition, found in m.get("people", {}).items():
        known = {name: found["majority_vote"].get(name) for name in columns}
        told = f"what people say of the test utterances ({condition}), beside their label"
        rows.append(_score_row("People, majority vote", told, known, {}, columns, "dev"))
    body = "".join(rows)
    return f"<div class='scroll'><table class='scores'><thead><tr><th></th>{head}</tr></thead>{body}</table></div>"


def _score_row(
    label: str,
    detail: str,
    values: Mapping[str, Any],
    intervals: Mapping[str, Any],
    columns: Sequence[str],
    row: str,
) -> str:
    cells = "".join(_cell(row, name, values.get(name), intervals.get(name)) for name in columns)
    small = f"<small>{html.escape(detail)}</small>" if detail else ""
    return f"<tr class='{row.split('-')[0]}'><th>{html.escape(label)}{small}</th>{cells}</tr>"


def _cell(row: str, metric: str, value: float | None, bounds: Sequence[float] | None) -> str:
    shown = "&ndash;" if value is None else f"{value:.3f}"
    small = f"<small>{bounds[0]:.3f} to {bounds[1]:.3f}</small>" if bounds else ""
    return f"<td class='number' data-row='{row}' data-metric='{metric}'><span>{shown}</span>{small}</td>"


def votes(m: Mapping[str, Any]) -> str:
    """How near the predicted distributions are to the annotators' on test."""
    found = m["votes"]
    shown = {
        "test utterances with votes": f"{found['n']:,}",
        "cross-entropy to the votes": f"{found['soft_cross_entropy']:.3f}",
        "least possible (entropy of the votes)": f"{found['votes_entropy']:.3f}",
        "total variation (0 to 1)": f"{found['total_variation']:.3f}",
        "Jensen-Shannon distance (0 to 1)": f"{found['jensen_shannon']:.3f}",
    }
    return _pairs(shown)


def attention(m: Mapping[str, Any]) -> str:
    """Where the attention of the test words lies, beside attention that has learned nothing."""
    found = m["attention"]
    rows = {
        "Trained": found,
        "Untrained, the same seed": found["untrained"],
        "Even over the keys of the alignment": found["uniform"],
        "Even over the whole utterance": found["uniform_everywhere"],
    }
    columns = {
        "mass_in_span": "Mass within the word's true span",
        "mass_within_one_word": "Mass within \N{PLUS-MINUS SIGN}1 word of it",
        "entropy": "Entropy, nats",
        "width": "Width, s",
    }
    head = "".join(f"<th class='number'>{title}</th>" for title in columns.values())
    body = "".join(
        f"<tr class='{'model' if name == 'Trained' else 'floor'}'><th>{name}</th>"
        + "".join(f"<td class='number'><span>{values[column]:.3f}</span></td>" for column in columns)
        + "</tr>"
        for name, values in rows.items()
    )
    return f"<div class='scroll'><table><thead><tr><th></th>{head}</tr></thead>{body}</table></div>"


def leakage(m: Mapping[str, Any]) -> str:
    """The audit's findings, the gravest first."""
    rows = "".join(
        f"<tr><td><span class='severity {f['severity']}'>{f['severity']}</span></td>"
        f"<td class='check'>{html.escape(f['check'])}</td><td>{html.escape(f['message'])}</td></tr>"
        for f in m["leakage"]
    )
    if not rows:
        return "<p class='caption'>No audit was recorded for this run.</p>"
    return f"<div class='scroll'><table><tbody>{rows}</tbody></table></div>"


def protocol(data: Mapping[str, Any], m: Mapping[str, Any]) -> str:
    """What the score belongs to; two scores compare only where the hash is equal."""
    config = data.get("config", {})
    pairs = {
        "protocol hash": m["protocol"],
        "corpus": data.get("corpus", m.get("corpus", "")),
        "content hash": str(data.get("content_hash", ""))[:16],
        "targets": ", ".join(m["targets"]),
        "test utterances": f"{m['test']['n']:,}",
        **{name.replace("_", " "): _value(value) for name, value in config.items()},
    }
    return _pairs(pairs)


def reproduction(config: Mapping[str, Any], timing: Mapping[str, Any]) -> str:
    """Command, code, device and versions."""
    command = config.get("command")
    shown = f"<pre>{html.escape(command)}</pre>" if command else ""
    corpus = config.get("corpus") or {}
    pairs = {
        name.replace("_", " "): config[name] for name in ("commit", "code_hash", "device") if config.get(name)
    }
    if isinstance(corpus, Mapping) and corpus.get("hash"):
        pairs["corpus hash"] = str(corpus["hash"])[:16]
    pairs |= {name: _timing(value) for name, value in timing.items()}
    pairs |= dict(config.get("versions") or {})
    if not shown and not pairs:
        return "<p class='caption'>config.json records no command, versions or device.</p>"
    return shown + _pairs(pairs)


def configuration(config: Mapping[str, Any]) -> str:
    """The whole configuration, folded."""
    text = json.dumps(config.get("config", config), indent=2, ensure_ascii=False)
    return f"<details><summary>Show config.json</summary><pre>{html.escape(text)}</pre></details>"


def _timing(value: Any) -> str:
    return (
        f"{value:,.1f}"
        if isinstance(value, float)
        else f"{value:,}"
        if isinstance(value, int)
        else str(value)
    )


def _value(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "none"
    return str(value)


def _pairs(pairs: Mapping[str, Any]) -> str:
    rows = "".join(
        f"<tr><th>{html.escape(name)}</th><td>{html.escape(str(value))}</td></tr>"
        for name, value in pairs.items()
    )
    return f"<table class='pairs'><tbody>{rows}</tbody></table>"
