"""From measures of predictions to a verdict in words."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from mer_jax.emotion_space.diagnostics import Diagnosis

FLAT = 0.05
ONE_AXIS = 1.5
HALF = 0.5
SHRUNK = 0.25
UNSURE = 0.05
FEWER = 2
Kind = Literal["constant", "unclear", "noise", "one axis", "flat", "narrow", "shrunk", "sound"]
COLLAPSED = ("constant", "noise", "one axis", "flat", "narrow")
_NUMBERS = ("none", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


@dataclasses.dataclass(frozen=True)
class Facts:
    """What a verdict rests on.

    emotions: those that the truth tells apart, of which enough rows are present and absent. told: those that
    predictions tell; beyond: without their strongest axis.
    axis: the emotion that this axis follows; widest: that the cloud's first principal component follows. spread: the largest ratio, over emotions, of the predictions'
    standard deviation to the truth's. variance_ratio: of the whole clouds. rank, dimensions: of the
    predictions, and of the truth. error: the median standard error of the areas under the ROC curves.
    """

    emotions: tuple[str, ...]
    told: tuple[str, ...]
    beyond: tuple[str, ...]
    axis: str
    widest: str
    spread: float
    variance_ratio: float | None
    rank: float
    true_rank: float
    dimensions: int
    true_dimensions: int
    error: float


@dataclasses.dataclass(frozen=True)
class Verdict:
    """kind: see `judge`. words: one line."""

    kind: Kind
    words: str

    @property
    def collapsed(self) -> bool:
        return self.kind in COLLAPSED


def judge(facts: Facts) -> Verdict:
    """The first that holds:

    - constant: no emotion's predictions vary by 5 % of the truth's standard deviation
    - unclear: noise, one axis or narrow would hold, but the areas under the ROC curves have standard errors
      above .05 (the median of them), and the effective rank alone does not say so: so few rows accuse no model
    - noise: they vary, but tell no emotion apart (no area under the ROC curve of .6 or more that is
      three standard errors above .5)
    - one axis: without their strongest axis they tell none apart (.55) but the one which that axis
      follows, where the truth does
    - flat: more axes are told, but the cloud's effective rank is at most 1.5 and half of the truth's
    - narrow: less than half of the emotions are told
    - shrunk: none of these, with less than a quarter of the truth's variance; a regression to
      the mean, which a small share of explained variance asks for
    - sound: none of these

    Constant, noise, one axis, flat and narrow count as collapsed.
    """
    rank = f"effective rank {facts.rank:.1f} of {facts.true_rank:.1f}"
    if facts.spread < FLAT:
        return Verdict(
            "constant",
            f"constant: predictions vary by {facts.spread:.1%} of the truth's standard deviation at most",
        )
    few = len(facts.told) < HALF * len(facts.emotions)
    others = [name for name in facts.beyond if name != facts.axis]
    alone = not others and facts.true_dimensions > 1
    line = facts.rank <= min(ONE_AXIS, HALF * facts.true_rank)
    if (few or alone) and facts.error > UNSURE and not (line and facts.dimensions):
        known = f"areas under the ROC curve are known to {_decimal(facts.error)} only"
        return Verdict("unclear", f"unclear: too few rows to say what is told apart, {known}: {rank}")
    if facts.dimensions == 0:
        return Verdict("noise", f"noise: predictions vary but separate no emotion from the rest: {rank}")
    if alone:
        return Verdict("one axis", f"separates {facts.axis} from the rest only: {rank}")
    if line and others:
        rest = _listed([name for name in facts.told if name != facts.widest]) or "other emotions"
        words = f"hardly leaves the axis of {facts.widest}: {rank}; what it knows of {rest} lies in little variance"
        return Verdict("flat", words)
    covers = f"covers {_covers(facts)} along {facts.dimensions} of {facts.true_dimensions} axes"
    if few:
        return Verdict("narrow", f"{covers} only: {rank}")
    if facts.variance_ratio is not None and facts.variance_ratio < SHRUNK:
        share = f"{facts.variance_ratio:.0%} of the truth's variance"
        return Verdict("shrunk", f"{covers}, shrunk to {share}: {rank}")
    return Verdict("sound", f"{covers}: {rank}")


def compare_verdicts(diagnoses: Mapping[str, "Diagnosis"]) -> tuple[str, ...]:
    """A sentence for each model whose lower MAE hides something: it is collapsed and those it beats are
    not, or it tells apart at least two emotions less than they. Empty where nothing is hidden."""
    out = []
    for winner, low in sorted(diagnoses.items(), key=lambda item: item[1].mae):
        beaten = {name: high for name, high in diagnoses.items() if _decimal(low.mae) < _decimal(high.mae)}
        if low.collapsed:
            better = {name: high for name, high in beaten.items() if not high.collapsed}
            but = f"is collapsed: {low.verdict}"
        else:
            better = {name: high for name, high in beaten.items() if len(low.told) <= len(high.told) - FEWER}
            but = f"tells fewer emotions apart: {low.verdict}"
        if better:
            losers = _listed([f"{name} ({_decimal(high.mae)})" for name, high in better.items()])
            out.append(f"{winner} has a lower MAE ({_decimal(low.mae)}) than {losers} but {but}")
    return tuple(out)


def _covers(facts: Facts) -> str:
    """ "two of the six emotions (happiness and anger)", or which are lacking where those are fewer."""
    lacking = [name for name in facts.emotions if name not in facts.told]
    if not lacking:
        return f"all {_number(len(facts.emotions))} emotions"
    of = f"{_number(len(facts.told))} of the {_number(len(facts.emotions))} emotions"
    if len(lacking) <= len(facts.told):
        return f"{of} (not {_listed(lacking)})"
    return f"{of} ({_listed(facts.told)})" if facts.told else of


def _listed(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), *names[-1:]] if len(names) > 1 else names)


def _number(count: int) -> str:
    return _NUMBERS[count] if count < len(_NUMBERS) else str(count)


def _decimal(value: float) -> str:
    return f"{value:.3f}".removeprefix("0")
