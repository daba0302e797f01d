"""M3ER's ablation table (Mittal et al. 2020, table 2) from comparisons: F1 and accuracy per class.

Every class is a question of its own, this one or not: its F1, and the accuracy of the answer; MA, the
mean accuracy, is their mean over the classes. An always-absent answer stands below: where one emotion
is rare its accuracy is high and says nothing.
"""

import html as markup
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mer_jax.evaluation.comparison_tables import escaped, grid, three

# F1 and MA as reported, each overall; the lower three rows with noise.
PAPER: Mapping[str, Mapping[str, tuple[float, float]]] = {
    "original loss": {"IEMOCAP": (0.751, 0.766), "CMU-MOSEI": (0.878, 0.823)},
    "M3ER": {"IEMOCAP": (0.824, 0.827), "CMU-MOSEI": (0.902, 0.890)},
    "neither": {"IEMOCAP": (0.706, 0.716), "CMU-MOSEI": (0.764, 0.756)},
    "check only": {"IEMOCAP": (0.741, 0.751), "CMU-MOSEI": (0.783, 0.809)},
    "full": {"IEMOCAP": (0.761, 0.782), "CMU-MOSEI": (0.856, 0.850)},
}
OVERALL = "overall"
Row = dict[str, Any]


def rows(comparison: Mapping[str, Any], condition: str, order: Sequence[str]) -> list[Row]:
    """A row for each system of a comparison of classifiers, in the order given, and one of the answer
    "absent": `condition`, `system`, and `classes`, name -> F1 and accuracy, their means under "overall"."""
    found = {row["name"]: row for row in comparison["rows"]}
    made = [_row(condition, name, found[name]) for name in order if name in found]
    confusion = np.array(comparison["rows"][0]["confusion"], float)
    shares = confusion.sum(axis=1) / confusion.sum()
    absent = {
        name: {"f1": 0.0, "accuracy": float(1 - share)}
        for name, share in zip(comparison["targets"], shares, strict=True)
    }
    return [*made, {"condition": condition, "system": "always absent", "classes": _with_overall(absent)}]


def _row(condition: str, name: str, row: Mapping[str, Any]) -> Row:
    confusion = np.array(row["confusion"], float)
    hits = np.diag(confusion)
    wrong = confusion.sum(axis=0) + confusion.sum(axis=1) - 2 * hits
    classes = {
        emotion: {"f1": own["f1"]["mean"], "accuracy": float(1 - wrong[k] / confusion.sum())}
        for k, (emotion, own) in enumerate(row["per_class"].items())
    }
    return {"condition": condition, "system": name, "classes": _with_overall(classes)}


def _with_overall(classes: Mapping[str, Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    means = {key: _mean([one[key] for one in classes.values()]) for key in ("f1", "accuracy")}
    return {**classes, OVERALL: means}


def _mean(values: Sequence[float | None]) -> float | None:
    return None if None in values else float(np.mean(np.array(values, float)))


def _cells(found: Sequence[Row]) -> tuple[list[str], list[list[str]]]:
    classes = list(found[0]["classes"])
    reported = list(next(iter(PAPER.values())))
    head = ["features", "system", *(f"{name}: F1 / acc." for name in classes[:-1]), "overall: F1 / MA"]
    head += [f"{name}, as reported" for name in reported]
    body = []
    for row in found:
        own = [_pair(row["classes"][name]["f1"], row["classes"][name]["accuracy"]) for name in classes]
        paper = PAPER.get(row["system"], {})
        body.append(
            [
                row["condition"],
                row["system"],
                *own,
                *(_pair(*paper.get(name, (None, None))) for name in reported),
            ]
        )
    return head, body


def _pair(f1: float | None, accuracy: float | None) -> str:
    return three(None) if f1 is None and accuracy is None else f"{three(f1)} / {three(accuracy)}"


def markdown(found: Sequence[Row]) -> str:
    """The table for GitHub."""
    head, body = _cells(found)
    return grid(head, [list(map(escaped, row)) for row in body])


def html(found: Sequence[Row]) -> str:
    """The table for the page."""
    head, body = _cells(found)
    top = "".join(f"<th>{markup.escape(name)}</th>" for name in head)
    lines = "".join(
        "<tr>" + "".join(f"<td>{markup.escape(cell)}</td>" for cell in row) + "</tr>" for row in body
    )
    return f"<div class='scroll'><table><thead><tr>{top}</tr></thead><tbody>{lines}</tbody></table></div>"
