"""How well a modality check finds what was corrupted, and how near proxies come to what was there."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score

from mer_jax.data.corpus import Corpus
from mer_jax.data.examples import ExampleSet, View, make_examples
from mer_jax.evaluation.metrics import number
from mer_jax.robustness.corruption import Corruption
from mer_jax.robustness.pipeline import Repair, corrupted
from mer_jax.robustness.regeneration import ineffective, regenerate, regeneration_errors


@dataclasses.dataclass(frozen=True)
class Assessment:
    """One corruption of test utterances, what the check said, and what the proxies made of it.

    truth, rejected, scores: [samples, modalities]. clean, noisy, regenerated: the examples;
        regenerated as if the check had found exactly what was corrupted.
    """

    modalities: tuple[str, ...]
    corruption: Corruption
    truth: np.ndarray
    rejected: np.ndarray
    scores: np.ndarray
    clean: ExampleSet
    noisy: ExampleSet
    regenerated: ExampleSet | None

    def to_json(self) -> dict[str, Any]:
        """Per modality: `auc`, `hits` and `false_alarms` of the check; and the relative L2 errors of
        `noise` and `proxies`, and how many times nearer these are, in all under "all"."""
        found: dict[str, Any] = {"corruption": dataclasses.asdict(self.corruption), "detector": {}}
        for k, name in enumerate(self.modalities):
            bad = self.truth[:, k]
            if bad.any() and not bad.all():
                found["detector"][name] = {
                    "auc": number(roc_auc_score(bad, self.scores[:, k])),
                    "hits": number(self.rejected[bad, k].mean()),
                    "false_alarms": number(self.rejected[~bad, k].mean()),
                    "n": int(bad.sum()),
                }
        return found | {"regeneration": self.errors()}

    def errors(self) -> Mapping[str, Mapping[str, Any]]:
        """Relative L2 errors over the corrupted samples; empty without proxies."""
        if self.regenerated is None:
            return {}
        errors = regeneration_errors(self.clean, self.noisy, self.regenerated, self.truth)
        return {
            name: {
                "noise": number(e.corrupted), "proxies": number(e.proxy), "ratio": number(e.ratio), "n": e.samples
            }
            for name, e in errors.items()
        }  # fmt: skip

    def example(self) -> dict[str, int]:
        """modality -> the corrupted sample whose proxies err as much as the middle one does."""
        chosen = {}
        for k, name in enumerate(self.modalities):
            bad = np.flatnonzero(self.truth[:, k]).tolist()
            if not bad or self.regenerated is None:
                continue
            made, was = self.regenerated.features[name], self.clean.features[name]
            off = [np.linalg.norm(made[i] - was[i]) / max(np.linalg.norm(was[i]), 1e-9) for i in bad]
            chosen[name] = bad[np.argsort(off)[len(off) // 2]]
        return chosen


def assess(
    repair: Repair,
    corpus: Corpus,
    rows: np.ndarray,
    corruption: Corruption,
    seed: int,
    modalities: Sequence[str],
) -> Assessment:
    """Corrupts the utterances `rows` of a clean corpus and compares."""
    names = repair.modalities
    touched = corrupted(corpus, rows, modalities, corruption, seed)
    view = View(names)
    clean, noisy = (make_examples(c, rows, view, None) for c in (corpus, touched.corpus))
    truth = touched.where[:, [list(modalities).index(name) for name in names]]
    rejected, scores = ineffective(repair.check, noisy)
    made = None
    if repair.proxies is not None:
        made, _ = regenerate(repair.proxies, noisy, truth)
    return Assessment(names, corruption, truth, rejected, scores, clean, noisy, made)
