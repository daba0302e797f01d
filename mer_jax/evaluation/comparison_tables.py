"""A comparison's tables for GitHub, LaTeX and the page: pure functions of comparison.json."""

import html as markup
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mer_jax.evaluation.figure_style import METRIC_LABELS
from mer_jax.evaluation.report_words import floor_label

MAIN_METRICS = {
    "classification": ("accuracy", "balanced_accuracy", "macro_f1", "weighted_f1"),
    "regression": ("mae", "pearson", "ccc"),
}
CONSTANT_FLOOR = {"classification": "majority", "regression": "train mean"}
SHORT = {
    "balanced_accuracy": "Bal. acc.",
    "weighted_f1": "Wtd. F1",
    "macro_f1": "Macro F1",
    "ccc": "CCC",
    "pearson": "$r$",
}
UNDEFINED = "\u2013"
STICKY = "position:sticky;left:0;background:white;min-width:128px"
_LATEX = {c: f"\\{c}" for c in "{}$&#%_"} | {
    "\\": r"\textbackslash{}",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    UNDEFINED: "--",
}


def other_metrics(comparison: Mapping[str, Any]) -> list[str]:
    """The task's main metrics beside the one that is compared."""
    return [name for name in MAIN_METRICS[comparison["task"]] if name != comparison["metric"]]


def three(value: float | None, form: str = ".3f") -> str:
    """A number with three decimals, a dash where it is undefined."""
    return UNDEFINED if value is None else f"{value:{form}}"


def mean_and_sd(statistic: Mapping[str, Any]) -> str:
    """`0.790 ± 0.005`; the mean alone where one seed leaves no standard deviation."""
    spread = "" if statistic["sd"] is None else f" ± {statistic['sd']:.3f}"
    return three(statistic["mean"]) + spread


def p_value(p: float | None) -> str:
    """`0.021`, or `< 0.001`."""
    return "< 0.001" if p is not None and p < 0.001 else three(p)


def interval(of: Mapping[str, Any], form: str = ".3f") -> str:
    """`0.779 to 0.801`, or a dash."""
    return UNDEFINED if of["low"] is None else f"{of['low']:{form}} to {of['high']:{form}}"


def setting(comparison: Mapping[str, Any]) -> str:
    """What the numbers belong to, in one line of plain text."""
    generated = ", which is GENERATED data" if comparison["generated"] else ""
    return (
        f"Corpus {comparison['corpus']}{generated}; protocol {comparison['protocol']}; "
        f"{comparison['test_n']:,} test utterances in {comparison['groups']} groups ({comparison['resample_by']})"
    )


def markdown(comparison: Mapping[str, Any]) -> str:
    """The verdict, a GitHub table of the systems and ceilings, and one of the pairs.

    The best mean is bold where it is significantly better than the second.
    """
    c, others = comparison, other_metrics(comparison)
    score = f"{METRIC_LABELS[c['metric']]} on test, mean ± sd"
    head = ["system", "inputs", score, "95 % interval", "seeds", *(METRIC_LABELS[name] for name in others)]
    head += ["dev", "linear floor", "best floor", CONSTANT_FLOOR[c["task"]], "collapsed"]
    body = [_markdown_row(row, others) for row in c["rows"]]
    if best_is_alone(c):
        body[0][2] = re.sub(r"^\S+", r"**\g<0>**", body[0][2])
    for name, value in c["ceilings"].items():
        body.append([f"*human ceiling: {escaped(name)}*", "", f"*{three(value)}*", *[""] * (len(head) - 3)])
    parts = [escaped(c["verdict"]), f"{escaped(setting(c))}.", grid(head, body)]
    if c["pairs"]:
        parts.append(grid(pair_head(c), [list(map(escaped, cells)) for cells in pair_rows(c)]))
    return "\n\n".join(parts) + "\n"


def _markdown_row(row: Mapping[str, Any], others: Sequence[str]) -> list[str]:
    cells = [escaped(row["name"]), escaped(", ".join(row["modalities"])), mean_and_sd(row), interval(row)]
    cells += [str(row["n"]), *(mean_and_sd(row["metrics"][name]) for name in others)]
    cells += [three(row["dev_mean"]), three(row["linear"]), escaped(_best_floor(row)), three(row["majority"])]
    return [*cells, f"{row['collapsed_seeds']} of {row['n']}"]


def _best_floor(row: Mapping[str, Any]) -> str:
    if row["floor"] is None:
        return UNDEFINED
    beaten = ", not beaten" if row["above_floor"] is False else ""
    return f"{three(row['floor'])}: {floor_label(row['floor_name'])}{beaten}"


def pair_head(comparison: Mapping[str, Any]) -> list[str]:
    """The columns of `pair_rows`."""
    head = ["better", "worse", f"difference in {comparison['metric'].replace('_', ' ')}", "95 % interval"]
    mcnemar = ["McNemar (accuracy), p (Holm)"] if comparison["task"] == "classification" else []
    return [*head, "p", "p (Holm)", *mcnemar, "supported"]


def pair_rows(comparison: Mapping[str, Any]) -> list[list[str]]:
    """A row a pair: the bootstrap test, and McNemar's p beside it; plain text."""
    mcnemar = {frozenset((p["a"], p["b"])): p for p in comparison["pairs"] if p["test"] == "mcnemar"}
    rows = []
    for pair in comparison["pairs"]:
        if pair["test"] != "bootstrap":
            continue
        cells = [pair["a"], pair["b"], three(pair["difference"], "+.3f"), interval(pair, "+.3f")]
        cells += [p_value(pair["p"]), p_value(pair["p_holm"])]
        if comparison["task"] == "classification":
            cells.append(_beside(pair, mcnemar.get(frozenset((pair["a"], pair["b"])))))
        rows.append([*cells, "yes" if pair["significant"] else "no"])
    return rows


def _beside(pair: Mapping[str, Any], other: Mapping[str, Any] | None) -> str:
    if other is None:
        return UNDEFINED
    turned = "" if other["a"] == pair["a"] else " (the other way round)"
    return p_value(other["p_holm"]) + turned


def escaped(text: str) -> str:
    """Text that GitHub shows as it is, also inside a table."""
    text = re.sub(r"&(?=#?\w+;)", r"\\&", re.sub(r"([\\`*_\[\]<>|~$])", r"\\\1", text))
    return " ".join(text.split())


def grid(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A GitHub table of cells that are `escaped`."""
    rule = ["---" if k < 2 else "---:" for k in range(len(head))]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [head, rule, *rows])


def latex(comparison: Mapping[str, Any]) -> str:
    r"""A `table` for a paper; its document needs `\usepackage{booktabs}` and nothing else.

    The best mean is bold where it is significantly better than the second (bootstrap,
    Holm); else those it can't be told apart from are underlined with it.
    """
    c, others = comparison, other_metrics(comparison)
    names = [SHORT.get(name, METRIC_LABELS[name]) for name in (c["metric"], *others)]
    head = ["System", "Inputs", names[0], r"95\,\% interval", *names[1:], "Floor"]
    marked = _emphasis(c)
    lines = [_latex_row(row, others, marked.get(row["name"], "")) for row in c["rows"]]
    if c["ceilings"]:
        lines.append(r"\midrule")
    for name, value in c["ceilings"].items():
        cells = [f"\\raggedright\\emph{{human ceiling: {_tex(name)}}}", "", _tex(three(value))]
        lines.append(" & ".join(cells + [""] * (len(head) - 3)) + r" \\")
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering\footnotesize\setlength{\tabcolsep}{2pt}\setlength{\belowcaptionskip}{5pt}",
            f"\\caption{{{_caption(c)}}}",
            f"\\label{{tab:comparison-{c['protocol']}}}",
            f"\\begin{{tabular}}{{p{{0.155\\linewidth}}p{{0.1\\linewidth}}{'c' * (len(head) - 2)}}}",
            r"\toprule",
            " & ".join(head) + r" \\",
            r"\midrule",
            *lines,
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def leaders(comparison: Mapping[str, Any]) -> list[str]:
    """The best system and those not shown to be worse than it in one run of ranks."""
    best = comparison["rows"][0]["name"]
    return next((list(names) for names in comparison["cliques"] if best in names), [best])


def best_is_alone(comparison: Mapping[str, Any]) -> bool:
    """Whether the best system is significantly better than the second (bootstrap, Holm)."""
    names = [row["name"] for row in comparison["rows"][:2]]
    pairs = [p for p in comparison["pairs"] if p["test"] == "bootstrap" and {p["a"], p["b"]} == set(names)]
    return bool(pairs) and pairs[0]["significant"]


def _emphasis(comparison: Mapping[str, Any]) -> dict[str, str]:
    """The LaTeX command that each system's mean stands in."""
    if len(comparison["rows"]) < 2:
        return {}
    if best_is_alone(comparison):
        return {comparison["rows"][0]["name"]: r"\textbf"}
    return dict.fromkeys(leaders(comparison), r"\underline")


def _latex_row(row: Mapping[str, Any], others: Sequence[str], command: str) -> str:
    marks = (r"$^\dagger$" if row["collapsed"] else "") + (
        r"$^\ddagger$" if row["above_floor"] is False else ""
    )
    mean = _tex_number(row["mean"])
    score = f"{command}{{{mean}}}" if command else mean
    score += "" if row["sd"] is None else f" $\\pm$ {row['sd']:.3f}"
    bounds = "--" if row["low"] is None else f"[{_tex_number(row['low'])}, {_tex_number(row['high'])}]"
    cells = [
        rf"\raggedright {_tex(row['name'])}{marks}",
        rf"\raggedright {_tex(', '.join(row['modalities']))}",
    ]
    cells += [score, rf"{{\scriptsize {bounds}}}"]
    cells += [_tex_number(row["metrics"][name]["mean"]) for name in others]
    cells.append(_tex_number(row["floor"]))
    return " & ".join(cells) + r" \\"


def _caption(comparison: Mapping[str, Any]) -> str:
    c = comparison
    seeds = sorted({row["n"] for row in c["rows"]})
    many = f"{seeds[0]} seed{'s' * (seeds[0] > 1)}" if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]} seeds"
    generated = r" (\textbf{generated data}, not people)" if c["generated"] else ""
    unit = f"{c['groups']} groups ({_tex(c['resample_by'])})"
    parts = [
        f"{METRIC_LABELS[c['metric']]} on the test part of {_tex(c['corpus'])}{generated}, "
        f"mean $\\pm$ standard deviation over {many}; {c['test_n']} test utterances in {unit}, "
        f"protocol \\texttt{{{_tex(c['protocol'])}}}. "
        r"95\,\% intervals count both groups and seeds. "
        "Floor: the best of the constant and linear baselines on the same inputs."
    ]
    parts += _emphasis_note(c)
    if any(row["collapsed"] for row in c["rows"]):
        parts.append(r"$^\dagger$Collapsed to a constant in at least one seed.")
    if any(row["above_floor"] is False for row in c["rows"]):
        parts.append(r"$^\ddagger$Not shown to be above its best floor.")
    return " ".join(parts)


def _emphasis_note(comparison: Mapping[str, Any]) -> list[str]:
    if len(comparison["rows"]) < 2:
        return []
    tested = f"paired bootstrap, Holm, $\\alpha = {comparison['alpha']:g}$"
    if best_is_alone(comparison):
        return [f"Bold: significantly better than the second ({tested})."]
    return [f"Underlined: the best and those not significantly different from it ({tested})."]


def _tex_number(value: float | None) -> str:
    return _tex(three(value)).replace("-", "$-$") if value is not None else "--"


def _tex(text: str) -> str:
    return " ".join("".join(_LATEX.get(character, character) for character in text).split())


def html(comparison: Mapping[str, Any], colours: Mapping[str, str]) -> str:
    """The table of systems for the page; a dot shows each system's colour in the figures."""
    c, others = comparison, other_metrics(comparison)
    head = [METRIC_LABELS[c["metric"]], *(METRIC_LABELS[name] for name in others)]
    head += ["Dev", "Linear floor", "Best floor", CONSTANT_FLOOR[c["task"]].capitalize(), "Seeds"]
    shown = "".join(f"<th class='number'>{name}</th>" for name in head)
    body = "".join(_html_row(row, others, colours[row["name"]]) for row in c["rows"])
    for name, value in c["ceilings"].items():
        told = f"Human ceiling: {markup.escape(name)}"
        cells = _cell(f"ceiling-{name}", c["metric"], three(value)) + "<td></td>" * (len(head) - 1)
        body += (
            f"<tr class='dev'><th style='{STICKY}'>{told}<small>people, not a system</small></th>{cells}</tr>"
        )
    return f"<div class='scroll'><table class='scores'><thead><tr><th style='{STICKY}'></th>{shown}</tr></thead>{body}</table></div>"


def _html_row(row: Mapping[str, Any], others: Sequence[str], colour: str) -> str:
    name, inputs = markup.escape(row["name"]), markup.escape(", ".join(row["modalities"]))
    collapsed = f"{row['collapsed_seeds']} of {row['n']} collapsed" if row["collapsed"] else ""
    mark = f" <span class='badge bad'>{collapsed}</span>" if collapsed else ""
    scores = [_cell(row["name"], row["metric"], three(row["mean"]), _sd(row), interval(row))]
    for metric in others:
        one = row["metrics"][metric]
        scores.append(_cell(row["name"], metric, three(one["mean"]), _sd(one)))
    best = "" if row["floor"] is None else floor_label(row["floor_name"])
    best += "<br><b>not beaten</b>" if row["above_floor"] is False else ""
    scores.append(_cell(row["name"], "dev", three(row["dev_mean"])))
    scores.append(_cell(row["name"], "linear", three(row["linear"])))
    scores.append(_cell(row["name"], "floor", three(row["floor"]), small=best))
    scores.append(_cell(row["name"], "majority", three(row["majority"])))
    scores.append(_cell(row["name"], "seeds", str(row["n"])))
    return f"<tr><th style='{STICKY}'>{dot(colour)}{name}{mark}<small>{inputs}</small></th>{''.join(scores)}</tr>"


def _cell(row: str, metric: str, value: str, spread: str = "", small: str = "") -> str:
    below = f"<small>{small}</small>" if small else ""
    return (
        f"<td class='number' data-row='{markup.escape(row)}' data-metric='{metric}'>"
        f"<span>{value}</span>{spread}{below}</td>"
    )


def _sd(statistic: Mapping[str, Any]) -> str:
    return (
        "" if statistic["sd"] is None else f" <small style='display:inline'>± {statistic['sd']:.3f}</small>"
    )


def dot(colour: str) -> str:
    """A small disc of a system's colour."""
    return (
        f"<i style='display:inline-block;width:10px;height:10px;border-radius:5px;margin-right:7px;"
        f"background:{colour}'></i>"
    )


def html_pairs(comparison: Mapping[str, Any]) -> str:
    """Every pair in a table, folded away under the matrix."""
    shown = "".join(f"<th>{name}</th>" for name in pair_head(comparison))
    rows = "".join(
        "<tr>" + "".join(f"<td>{markup.escape(cell)}</td>" for cell in cells) + "</tr>"
        for cells in pair_rows(comparison)
    )
    table = f"<div class='scroll'><table><thead><tr>{shown}</tr></thead>{rows}</table></div>"
    return f"<details><summary>Every pair as a table</summary>{table}</details>"
