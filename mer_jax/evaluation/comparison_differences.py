"""The sentences about who differs from whom, each pair told once."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mer_jax.evaluation.additive import LOWER_IS_BETTER
from mer_jax.evaluation.comparison_numbers import (
    capital,
    listed,
    metric_label,
    p_text,
    plain,
    seed_count,
    signed,
)

IN_FULL = 4
SHOWN_FIRST = 2


class Differences:
    """The sentences about differences, each pair told once."""

    def __init__(self, comparison: Mapping[str, Any]):
        self.c = comparison
        self.rows = comparison["rows"]
        self.sign = -1 if comparison["metric"] in LOWER_IS_BETTER else 1
        tests = [p for p in comparison["pairs"] if p["test"] == "bootstrap" and p["p_holm"] is not None]
        self.pairs = {(p["a"], p["b"]): p for p in tests}
        self.told: set[tuple[str, str]] = set()
        self.single = best_single(comparison)
        self.metric_named = self.single_named = False

    def sentences(self) -> list[str]:
        if len(self.rows) < 2 or not self.pairs:
            text = [self._alone()]
        elif not any(p["significant"] for p in self.pairs.values()):
            text = [self._nothing_shown()]
        else:
            text = [*self._best(), *self._fusions(), *self._others()]
        if self.c["generated"]:
            return ["On generated data: " + text[0], *map(capital, text[1:])]
        return list(map(capital, text))

    def _alone(self) -> str:
        row = self.rows[0]
        bounds = "" if row["low"] is None else f", 95 % interval {plain(row['low'])} to {plain(row['high'])}"
        mean = "undefined" if row["mean"] is None else plain(row["mean"])
        shown = (
            f"{row['name']} reaches {metric_label(self.c)} {mean} (mean of {seed_count(row['n'])}{bounds})"
        )
        if len(self.rows) == 1:
            return f"{shown}; there is no other system to compare it with."
        return f"{shown}, the best mean; no difference between systems could be tested."

    def _nothing_shown(self) -> str:
        a, b = max(self.pairs, key=lambda names: self.pairs[names]["difference"])
        if len(self.rows) == 2:
            return f"{a} is not shown to be better than {b}{self._numbers(a, b)}."
        told = self._numbers(a, b)
        return f"no system is shown to be better than another: the largest difference is {a} over {b}{told}."

    def _best(self) -> list[str]:
        """The best system against every other."""
        best, others = self.rows[0]["name"], [row["name"] for row in self.rows[1:]]
        beaten = [name for name in others if self._significant(best, name)]
        tied = [name for name in others if (best, name) in self.pairs and name not in beaten]
        if not beaten:
            label = f"{best} has the best mean, but is not shown to be better than any other system"
            return [f"{label} (to {tied[0]}: {self._inner(best, tied[0])})."] if tied else [f"{label}."]
        out = [f"{best} is better than {self._list(best, beaten)}."]
        if tied:
            out.append(f"it is not shown to be better than {self._list(best, tied)}.")
        return out

    def _fusions(self) -> list[str]:
        """Every fusion against the best single modality, where that is not told yet."""
        if self.single is None:
            return []
        text, alone = self.single["name"], alone_label(self.c, self.single)
        out = []
        for row in self.rows:
            name = row["name"]
            if len(row["modalities"]) < 2 or self._is_told(name, text):
                continue
            if self._significant(name, text):
                out.append(f"{name} is better than {alone}{self._numbers(name, text)}")
            elif self._significant(text, name):
                out.append(f"{name} is worse than {alone}{self._numbers(name, text)}")
            elif self._tested(name, text):
                out.append(f"{name} is not shown to be better than {alone}{self._numbers(name, text)}")
        named = "" if self.single_named else f"the best single modality on dev is {self._modality}: "
        return [f"{named}{'; '.join(out)}."] if out else []

    def _others(self) -> list[str]:
        """The pairs no sentence has named: in full where they are few."""
        rest = [
            names for names in self.pairs if not self._is_told(*names) and self.rows[0]["name"] not in names
        ]
        if len(self.rows) <= IN_FULL:
            return [*self._other_wins(), *self._not_shown(rest)]
        equal = [names for names in rest if not self._significant(*names)]
        if not rest or len(equal) == len(rest):
            return self._not_shown(rest)
        count = len(rest) - len(equal)
        differ = f"of the other {len(rest)} pairs {count} differ{'s' * (count == 1)}"
        named = "; ".join(f"{a} and {b}" for a, b in equal)
        if not equal:
            return [f"the other {len(rest)} pairs all differ."]
        return [f"{differ}; not shown to differ: {named if len(equal) <= IN_FULL else len(equal)}."]

    def _other_wins(self) -> list[str]:
        out = []
        for row in self.rows[1:]:
            won = [b for a, b in self.pairs if a == row["name"] and self._significant(a, b)]
            won = [b for b in won if not self._is_told(row["name"], b)]
            if won:
                out.append(f"{row['name']} is better than {self._list(row['name'], won)}.")
        return out

    def _not_shown(self, pairs: Sequence[tuple[str, str]]) -> list[str]:
        equal = [names for names in pairs if not self._significant(*names)]
        full = len(equal) < IN_FULL
        if len(equal) > 2 * IN_FULL:
            return [f"no difference is shown between the two of any of the other {len(equal)} pairs."]
        named = [f"{a} and {b}{self._numbers(a, b) if full else ''}" for a, b in equal]
        return [f"no difference is shown between {'; between '.join(named)}."] if named else []

    def _list(self, a: str, others: Sequence[str]) -> str:
        """Names with their numbers; of many the first two and the best single modality."""
        single = None if self.single is None else self.single["name"]
        full = [n for k, n in enumerate(others) if len(others) <= IN_FULL or k < SHOWN_FIRST or n == single]
        rest = [name for name in others if name not in full]
        told = [f"{self._naming(a, name)}{self._numbers(a, name)}" for name in full]
        if rest:
            pairs = [self._pair(a, name) for name in rest]
            some = max if self._significant(a, rest[0]) else min
            bound = some(p["p_holm"] for p in pairs)
            kind = "at most" if some is max else "at least"
            told.append(f"{len(rest)} others ({', '.join(rest)}; {p_text(bound)} {kind})")
            self.told |= {(a, name) for name in rest}
        return listed(told)

    def _naming(self, a: str, name: str) -> str:
        fusion = any(row["name"] == a and len(row["modalities"]) > 1 for row in self.rows)
        if self.single is None or name != self.single["name"] or not fusion:
            return name
        self.single_named = True
        return f"the best single modality on dev, {self._modality}"

    @property
    def _modality(self) -> str:
        return "" if self.single is None else alone_label(self.c, self.single).removesuffix(" alone")

    def _pair(self, a: str, b: str) -> Mapping[str, Any]:
        return self.pairs[(a, b) if (a, b) in self.pairs else (b, a)]

    def _tested(self, a: str, b: str) -> bool:
        return (a, b) in self.pairs or (b, a) in self.pairs

    def _significant(self, a: str, b: str) -> bool:
        """Whether a is shown to be better than b."""
        return (a, b) in self.pairs and self.pairs[a, b]["significant"]

    def _is_told(self, a: str, b: str) -> bool:
        return (a, b) in self.told or (b, a) in self.told

    def _numbers(self, a: str, b: str) -> str:
        return f" ({self._inner(a, b)})"

    def _inner(self, a: str, b: str) -> str:
        """a - b in the metric's own direction, its interval where it is not significant, p."""
        self.told.add((a, b))
        pair = self._pair(a, b)
        turn = self.sign if pair["a"] == a else -self.sign
        low, high = sorted((turn * pair["low"], turn * pair["high"]))
        label = "" if self.metric_named else f"{metric_label(self.c)} "
        self.metric_named = True
        bounds = "" if pair["significant"] else f", 95 % interval {signed(low)} to {signed(high)}"
        return f"{label}{signed(turn * pair['difference'])}{bounds}, {p_text(pair['p_holm'])}"


def best_single(comparison: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The row of the best single modality by its dev mean, never by test; None where there is
    no single modality, no fusion to set against it, or no dev score."""
    rows = comparison["rows"]
    single = [row for row in rows if len(row["modalities"]) == 1 and row["dev_mean"] is not None]
    if not single or len(single) < sum(len(row["modalities"]) == 1 for row in rows):
        return None
    if all(len(row["modalities"]) == 1 for row in rows):
        return None
    return best_on_dev(comparison, single)


def best_on_dev(comparison: Mapping[str, Any], rows: Iterable[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The row of the best dev mean; by name where equal."""
    sign = 1 if comparison["metric"] in LOWER_IS_BETTER else -1
    return min(rows, key=lambda row: (sign * row["dev_mean"], row["name"]))


def alone_label(comparison: Mapping[str, Any], row: Mapping[str, Any]) -> str:
    """ "text alone", or the system's name where several systems use that modality alone."""
    same = [other for other in comparison["rows"] if other["modalities"] == row["modalities"]]
    return f"{row['modalities'][0]} alone" if len(same) == 1 else row["name"]
