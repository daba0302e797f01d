"""Names and numbers as a verdict writes them."""

from collections.abc import Mapping, Sequence
from typing import Any

from mer_jax.evaluation.figure_style import METRIC_LABELS


def metric_label(c: Mapping[str, Any]) -> str:
    """The compared metric within a sentence: accuracy, macro F1, MAE."""
    label = METRIC_LABELS[c["metric"]]
    return label if label[:2].isupper() else label[0].lower() + label[1:]


def capital(text: str) -> str:
    """A capital first, unless the first word is written like code."""
    return text if "_" in text.split(" ")[0] else text[:1].upper() + text[1:]


def listed(parts: Sequence[str]) -> str:
    """a, b and c."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def seed_count(n: int) -> str:
    """1 seed, 3 seeds."""
    return f"{n} seed{'s' * (n != 1)}"


def plain(value: float) -> str:
    """.790"""
    return f"{value:.3f}".replace("0.", ".", 1) if abs(value) < 1 else f"{value:.3f}"


def signed(value: float) -> str:
    """+.067"""
    text = f"{value:+.3f}"
    return ("+.000" if float(text) == 0 else text.replace("0.", ".", 1)) if abs(value) < 1 else text


def p_text(p: float) -> str:
    """p = .027, p < .001"""
    if p < 0.001:
        return "p < .001"
    text = f"{p:.3f}" if p < 0.1 else f"{p:.2f}"
    return "p = 1" if float(text) >= 1 else f"p = {text.removeprefix('0')}"
