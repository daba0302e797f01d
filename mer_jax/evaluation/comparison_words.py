"""What a comparison supports and what it does not, in plain words.

Every p in a verdict is the bootstrap test's, Holm-corrected. A difference is written in the
metric's own direction: +.067 accuracy, -.067 MAE.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from mer_jax.evaluation.additive import LOWER_IS_BETTER
from mer_jax.evaluation.comparison_differences import Differences, best_on_dev, best_single
from mer_jax.evaluation.comparison_numbers import capital, listed, metric_label, p_text, plain, seed_count
from mer_jax.evaluation.figure_style import FLOOR_LABELS
from mer_jax.evaluation.report_words import floor_label
from mer_jax.evaluation.scoring import FEW_GROUPS
from mer_jax.evaluation.significance import ONE_SEED


def verdict(comparison: Mapping[str, Any]) -> str:
    """A few sentences: who is better than whom, whether fusion helps, floors, limits."""
    return " ".join([*Differences(comparison).sentences(), *_qualifications(comparison)])


def remarks(comparison: Mapping[str, Any]) -> list[str]:
    """How the comparison was made and what qualifies it, a sentence each."""
    c = comparison
    undefined = [
        f"{row['name']}: {metric_label(c)} is undefined for at least one seed, so it is ranked last"
        for row in c["rows"]
        if row["mean"] is None
    ]
    return [*_method(c), *_selection(c), *_disagreements(c), *_temperatures(c), *undefined]


def _temperatures(c: Mapping[str, Any]) -> list[str]:
    found = [
        f"{row['name']} ({row['calibration']['at_bound']} of {seed_count(row['n'])})"
        for row in c["rows"]
        if row.get("calibration", {}).get("at_bound")
    ]
    text = (
        "the temperature ended at a bound, as where every dev row is answered rightly or none better than "
        "by chance, and scaled probabilities mean little"
    )
    return [f"{text}: {listed(found)}"] if found else []


def _qualifications(c: Mapping[str, Any]) -> list[str]:
    direction = ["Lower is better."] if c["metric"] in LOWER_IS_BETTER else []
    return [*direction, *_floors(c), *_collapsed(c), *_ceiling(c), *_limits(c), _scope(c)]


def _floors(c: Mapping[str, Any]) -> list[str]:
    missed = [row for row in c["rows"] if row["above_floor"] is False and row["mean"] is not None]
    below = [row for row in missed if _is_below(c, row)]
    beside = [row for row in missed if row not in below]
    texts = ("Short of the best floor", "Not shown to be better than the best floor")
    return [f"{text}, {_by_floor(rows)}." for rows, text in zip((below, beside), texts, strict=True) if rows]


def _is_below(c: Mapping[str, Any], row: Mapping[str, Any]) -> bool:
    return row["mean"] > row["floor"] if c["metric"] in LOWER_IS_BETTER else row["mean"] < row["floor"]


def _by_floor(rows: Sequence[Mapping[str, Any]]) -> str:
    """Names and means of the rows under each floor."""
    under: dict[str, list[str]] = {}
    for row in rows:
        floor = f"{floor_label(row['floor_name'])} {plain(row['floor'])}"
        under.setdefault(floor, []).append(f"{row['name']} {plain(row['mean'])}")
    return "; ".join(f"{floor}: {listed(names)}" for floor, names in under.items())


def _collapsed(c: Mapping[str, Any]) -> list[str]:
    return [
        f"{capital(row['name'])} collapsed in {row['collapsed_seeds']} of {seed_count(row['n'])}: it answers "
        "nearly always the same."
        for row in c["rows"]
        if row["collapsed"]
    ]


def _ceiling(c: Mapping[str, Any]) -> list[str]:
    best = c["rows"][0]
    if not c["ceilings"] or best["mean"] is None:
        return []
    lower = c["metric"] in LOWER_IS_BETTER
    name = (min if lower else max)(c["ceilings"], key=lambda key: c["ceilings"][key])
    gap = (1 if lower else -1) * (best["mean"] - c["ceilings"][name])
    where = f"{plain(gap)} short of" if gap > 0 else f"{plain(-gap)} beyond"
    named = ", ".join(f"{key} {plain(value)}" for key, value in c["ceilings"].items())
    if len(c["ceilings"]) == 1:
        return [f"{capital(best['name'])}, at {plain(best['mean'])}, is {where} the human ceiling ({named})."]
    return [
        f"{capital(best['name'])}, at {plain(best['mean'])}, is {where} the highest human ceiling "
        f"({name}; people reach {named})."
    ]


def _limits(c: Mapping[str, Any]) -> list[str]:
    unit, groups = c["resample_by"], c["groups"]
    out = []
    if groups < 2:
        out.append(f"All test rows belong to one {unit}, so nothing can be said beyond it.")
    elif groups < FEW_GROUPS:
        out.append(f"Test has only {groups} {unit}s, so intervals and p-values are rough.")
    once = [row["name"] for row in c["rows"] if row["n"] == 1]
    if once and len(once) == len(c["rows"]):
        out.append("Every system was trained once, so nothing is said of training again.")
    elif once:
        out.append(
            f"{capital(listed(once))} {'were' if len(once) > 1 else 'was'} trained once, so nothing is "
            "said of training again."
        )
    grave = [f["check"] for f in c["leakage"] if f["severity"] in ("error", "warning")]
    grave = [check for check in grave if check not in {f"dev_above_test/{floor}" for floor in FLOOR_LABELS}]
    if grave:
        out.append(f"The leakage audit warns of {_checks(grave)}: read that before quoting a score.")
    return out


def _checks(names: Sequence[str]) -> str:
    """The kinds of warnings with what each is about: learned features (text, video)."""
    about: dict[str, list[str]] = {}
    for name in dict.fromkeys(names):
        kind, _, detail = name.partition("/")
        about.setdefault(kind.replace("_", " "), []).extend([detail] if detail else [])
    return listed([f"{kind} ({', '.join(details)})" if details else kind for kind, details in about.items()])


def _scope(c: Mapping[str, Any]) -> str:
    if c["generated"]:
        return "Generated data test the code; nothing here is shown of people."
    return f"Nothing is shown of data other than {c['corpus']}, nor of other protocols."


def _method(c: Mapping[str, Any]) -> list[str]:
    if len(c["rows"]) < 2 or c["groups"] < 2:
        return []
    count = sum(p["test"] == "bootstrap" for p in c["pairs"])
    out = [
        f"p: paired bootstrap of whole {c['resample_by']}s with the variance over seeds added, Holm-corrected over "
        f"{count} pair{'s' * (count > 1)}; it speaks of the procedures, training included",
        "intervals of differences are 95 % for one pair at a time, not corrected for the number of pairs",
    ]
    if any(p.get("remark") == ONE_SEED for p in c["pairs"]):
        out.append(f"{ONE_SEED}; p-values of systems trained once are about these trained models")
    return out


def _selection(c: Mapping[str, Any]) -> list[str]:
    rows = [row for row in c["rows"] if row["dev_mean"] is not None and row["mean"] is not None]
    out = []
    if len(rows) == len(c["rows"]) > 1:
        chosen = best_on_dev(c, rows)
        if chosen["dev_mean"] != rows[0]["dev_mean"]:
            out.append(
                f"rows are ranked by test; to choose one system, go by dev: {chosen['name']}, whose test "
                f"{metric_label(c)} is {plain(chosen['mean'])}"
            )
    single = best_single(c)
    if single is not None:
        out.append(
            f"the best single modality, {single['modalities'][0]}, is chosen by its dev mean, never by test"
        )
    return out


def _disagreements(c: Mapping[str, Any]) -> list[str]:
    """Pairs whose trained models differ while their procedures are not shown to."""
    shown = {(p["a"], p["b"]): p["significant"] for p in c["pairs"] if p["test"] == "bootstrap"}
    only = [
        p for p in c["pairs"] if p["test"] == "mcnemar" and p["significant"] and not shown[p["a"], p["b"]]
    ]
    if not only:
        return []
    named = "; ".join(f"{p['a']} and {p['b']} ({p_text(p['p_holm'])})" for p in only)
    return [
        f"McNemar finds these trained models to differ in accuracy: {named}; that training again would "
        "show it too is not supported"
    ]
