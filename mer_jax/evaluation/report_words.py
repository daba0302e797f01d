"""The report's sentences: badges, the summary in plain words, captions."""

import html
from collections.abc import Collection, Mapping
from typing import Any

from mer_jax.data.schema import WAVEFORM
from mer_jax.evaluation.additive import LOWER_IS_BETTER
from mer_jax.evaluation.figure_style import FLOOR_LABELS, METRIC_LABELS

TITLES = {
    "confusion": ("Confusion matrix", False),
    "per-class": ("F1 per class", False),
    "roc": ("ROC", False),
    "precision-recall": ("Precision and recall", False),
    "reliability": ("Reliability", False),
    "curves": ("Learning curves", False),
    "truth-and-prediction": ("Prediction against truth", True),
    "per-name-ccc": ("Concordance per dimension", False),
    "per-name-mae": ("Mean absolute error per dimension", False),
}


def badges(m: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Pairs (kind, text) shown beside the title."""
    out = [("generated", "GENERATED DATA")] if m.get("generated") else []
    out += [("bad", "COLLAPSED")] if m["collapsed"] else []
    corpus = str(m.get("corpus", ""))
    out += [("plain", corpus)] if corpus != "generated" else []
    return [*out, ("plain", m["task"])]


def summary(m: Mapping[str, Any]) -> str:
    """Leakage warnings first (the floors' own stay in the table), then collapse, score, floors."""
    grave = [f for f in m["leakage"] if f["severity"] in ("error", "warning")]
    grave = [f for f in grave if f["check"] not in {f"dev_above_test/{name}" for name in m["floors"]}]
    boxes = [_box("warn", f"Leakage audit, {f['severity']}: {f['message']}.") for f in grave]
    boxes += [_box("bad", f"The model has collapsed: {reason}.") for reason in m["collapsed_reasons"]]
    sentences = [_score_sentence(m), _floor_sentence(m)]
    if not m["collapsed"]:
        sentences.append("The model has not collapsed to a constant.")
    if m.get("generated"):
        sentences.append("The data are generated: the scores test the code, not people's emotions.")
    sentences += [f"Note: {note}." for note in m.get("notes", [])]
    return "".join(boxes) + f"<p class='lead'>{' '.join(html.escape(s) for s in sentences if s)}</p>"


def _box(kind: str, text: str) -> str:
    return f"<p class='box {kind}'>{html.escape(text)}</p>"


def _score_sentence(m: Mapping[str, Any]) -> str:
    metric = m["headline"]
    bounds = m["intervals"].get(metric)
    shown = f" (95 % interval {bounds[0]:.3f} to {bounds[1]:.3f})" if bounds else ""
    value = m["test"][metric]
    label = _label(metric)
    told = f"is undefined on the {m['test']['n']:,} test utterances"
    if value is not None:
        told = f"is {value:.3f}{shown} on {m['test']['n']:,} test utterances"
    direction = "; lower is better" if metric in LOWER_IS_BETTER else ""
    return f"The model's {label} {told}{direction}."


def _floor_sentence(m: Mapping[str, Any]) -> str:
    metric = m["headline"]
    known = {name: row[metric] for name, row in m["floors"].items() if row[metric] is not None}
    if not known:
        return ""
    best = (min if metric in LOWER_IS_BETTER else max)(known, key=lambda name: known[name])
    text = f"The best floor, {floor_label(best)}, reaches {known[best]:.3f}"
    difference = m["differences"].get(best)
    if difference and difference["low"] is not None:
        bounds = f"interval {difference['low']:+.3f} to {difference['high']:+.3f}"
        text += f"; the model's gain over it is {difference['gain']:+.3f} ({bounds})"
    below = [floor_label(name) for name, d in m["differences"].items() if not d["above"]]
    if below:
        return text + f". It is not above: {', '.join(below)} (the interval of the gain reaches 0 or below)."
    return text + (". It is above every floor." if m["differences"] else ".")


def floor_label(name: str) -> str:
    """A floor's name in words."""
    label = FLOOR_LABELS.get(name, name)
    return label[0].lower() + label[1:] if not label.startswith("TF") else label


def _label(metric: str) -> str:
    label = METRIC_LABELS[metric]
    return label if label[:3].isupper() else label[0].lower() + label[1:]


def caption(name: str, m: Mapping[str, Any]) -> str:
    """One sentence that says how to read a figure."""
    ece = m["test"].get("ece")
    return {
        "scores": "The filled circle is the model, grey marks are floors; bars are 95 % bootstrap intervals, and "
        "a model whose circle lies among the grey marks has learned little.",
        "curves": "Dev loss that rises while train loss falls is over-fitting; thin lines, if any, are single "
        "folds and thick ones their mean.",
        "confusion": "Each row is a true class and sums to 100 %; the diagonal is right, and a dark column is a "
        "class the model prefers.",
        "per-class": "Bars are the model, marks the floors: a bar at or below its marks says the class has not "
        "been learned beyond the floor.",
        "roc": "Curves further to the upper left separate better; the dotted diagonal is chance, numbers are "
        "areas under the curve.",
        "precision-recall": "How many alarms are right (precision) for the share of a class found (recall); "
        "numbers are average precision, to be read against the class's share of test.",
        "reliability": "Bars on the dotted line mean honest probabilities, bars below it over-confidence; the "
        f"expected calibration error is {'undefined' if ece is None else f'{ece:.3f}'}.",
        "truth-and-prediction": "Points on the dotted line are right; a flat cloud is a model that says the "
        "mean whatever it sees.",
        "per-name-ccc": "Bars are the model, marks the floors; concordance is 1 for perfect, 0 for a constant.",
        "per-name-mae": "Bars are the model, marks the floors; lower is better, in the unit of the label.",
    }[name]


def attention_width(m: Mapping[str, Any]) -> str:
    """How much of the audio a word's attention spreads over, beside attention that has learned nothing."""
    found = m["attention"]
    states = (found, found["untrained"], found["uniform"], found["uniform_everywhere"])
    trained, untrained, even, everywhere = (
        f"{state['entropy']:.2f} nats and {state['width']:.2f} s" for state in states
    )
    return (
        f"The trained attention of a word has an entropy and a width of {trained}, the untrained one of {untrained}; "
        f"spread evenly over what the word can reach it would have {even}, over the whole utterance {everywhere} "
        "(means over words). The width is how long exp(entropy) steps of the audio last, the number of steps that "
        "even attention of the same entropy covers."
    )


def attention_caption(m: Mapping[str, Any], sounds: Collection[str]) -> str:
    """What the heat-maps and the `sounds` under them show, and what chance would give."""
    found, even = m["attention"], m["attention"]["uniform"]
    return (
        f"{found['n']:,} words of {found['utterances']:,} test utterances; every row of a heat-map is a word and "
        f"adds up to 1, its true span is outlined, and white is out of its reach. {_sounds(sounds)}Chance: attention "
        f"spread evenly over what a word can reach puts {even['mass_within_one_word']:.0%} of its mass between the "
        f"beginning of the word before and the end of the word after ({even['mass_in_span']:.0%} within the word "
        f"itself); the trained one puts {found['mass_within_one_word']:.0%} ({found['mass_in_span']:.0%}) there. The "
        "examples are evenly spaced among the test utterances in order of id."
    )


def _sounds(names: Collection[str]) -> str:
    told = [
        "the waveform, from its lowest to its highest sample"
        if name == WAVEFORM
        else f"the {name}, as the model reads them"
        for name in sorted(names)
    ]
    return f"Beneath, over the same time: {', or '.join(told)}. " if told else ""
