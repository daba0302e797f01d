"""Tables of compared systems' attention beside the true word times, from comparison.json."""

import html as markup
from collections.abc import Mapping
from typing import Any

from mer_jax.evaluation.comparison_tables import escaped, grid, interval, mean_and_sd, p_value, three
from mer_jax.evaluation.figure_style import METRIC_LABELS

Table = tuple[list[str], list[list[str]]]


def systems(comparison: Mapping[str, Any]) -> Table:
    """Columns and a row for each system, those without attention last; plain text."""
    label = METRIC_LABELS[comparison["metric"]]
    head = ["system", f"{label} on test", "on train", "within the span", "within ±1 word", "95 % interval"]
    head += ["even: ±1 word", "width, s", "s an epoch", "MiB"]
    scores = {row["name"]: row for row in comparison["rows"]}
    found = {row["name"]: row for row in comparison["attention"]["rows"]}
    return head, [_row(scores[name], found.get(name)) for name in dict.fromkeys([*found, *scores])]


def _row(score: Mapping[str, Any], found: Mapping[str, Any] | None) -> list[str]:
    cells = [score["name"], mean_and_sd(score)]
    if found is None:
        cells += [three(None)] * 6
    else:
        near = found["mass_within_one_word"]
        cells += [mean_and_sd(found[name]) for name in ("train", "mass_in_span")]
        cells += [mean_and_sd(near), interval(near), three(found["even"]["mass_within_one_word"])]
        cells.append(f"{found['width']['mean']:.2f}")
    cost = score["cost"]
    known = [cost.get(name) for name in ("epoch_seconds", "memory_mib")]
    return cells + [three(None) if x is None else f"{x:.3g}" for x in known]


def pairs(comparison: Mapping[str, Any]) -> Table:
    """Columns and a row for each pair of systems that attend; plain text."""
    head = ["more", "less", "difference within ±1 word", "95 % interval", "p", "p (Holm)", "supported"]
    rows = []
    for pair in comparison["attention"]["pairs"]:
        cells = [pair["a"], pair["b"], three(pair["difference"], "+.3f"), interval(pair, "+.3f")]
        cells += [p_value(pair["p"]), p_value(pair["p_holm"]), "yes" if pair["significant"] else "no"]
        rows.append(cells)
    return head, rows


def markdown(comparison: Mapping[str, Any]) -> str:
    """Both as GitHub tables."""
    made = []
    for head, rows in (systems(comparison), pairs(comparison)):
        made += [grid(head, [list(map(escaped, row)) for row in rows])] if rows else []
    return "\n\n".join(made)


def html(comparison: Mapping[str, Any]) -> str:
    """Both for the page, the pairs folded away."""
    shown = _html(*systems(comparison))
    head, rows = pairs(comparison)
    if rows:
        shown += f"<details><summary>Every pair of them</summary>{_html(head, rows)}</details>"
    return shown


def _html(head: list[str], rows: list[list[str]]) -> str:
    top = "".join(f"<th class='number'>{markup.escape(name)}</th>" for name in head[1:])
    body = "".join(
        f"<tr><th>{markup.escape(first)}</th>"
        + "".join(f"<td class='number'><span>{markup.escape(cell)}</span></td>" for cell in rest)
        + "</tr>"
        for first, *rest in rows
    )
    return f"<div class='scroll'><table><thead><tr><th></th>{top}</tr></thead><tbody>{body}</tbody></table></div>"
