"""Whether a model has collapsed to a constant: the failure a good-looking accuracy hides."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from mer_jax.evaluation.predictions import Predictions
from mer_jax.evaluation.protocol import Protocol

ONE_CLASS_SHARE = 0.99
FLAT_RATIO = 0.05


def collapsed_reasons(
    protocol: Protocol,
    test: Predictions,
    scores: Mapping[str, Any],
    floors: Mapping[str, Mapping[str, Any]],
) -> list[str]:
    """Why a model counts as collapsed; empty where it does not.

    Classification: accuracy, balanced accuracy and macro F1 all equal the majority
    floor's to within what half an utterance could change, .5 / (classes present x smallest
    class) and for accuracy .5 / n; or one class makes up 99 % of the predictions.
    Regression: no intensity's predictions vary by more than 5 % of the truth's standard
    deviation.
    """
    if protocol.config.task == "regression":
        return _flat(protocol, test)
    reasons = []
    if "majority" in floors and _equals(scores, floors["majority"]):
        reasons.append("accuracy, balanced accuracy and macro F1 equal the majority floor's")
    counts = np.bincount(test.probabilities.argmax(axis=1), minlength=len(protocol.targets))
    if counts.max() >= ONE_CLASS_SHARE * len(test):
        name = protocol.targets[int(counts.argmax())]
        reasons.append(f"{name!r} is predicted for {counts.max() / len(test):.1%} of the test rows")
    return reasons


def _equals(scores: Mapping[str, Any], floor: Mapping[str, Any]) -> bool:
    supports = [row["support"] for row in scores["per_class"].values() if row["support"]]
    half = 0.5 / (len(supports) * min(supports))
    limits = {"accuracy": 0.5 / scores["n"], "balanced_accuracy": half, "macro_f1": half}
    return all(abs(scores[name] - floor[name]) < limit for name, limit in limits.items())


def _flat(protocol: Protocol, test: Predictions) -> list[str]:
    ratios = test.predicted_intensities.std(axis=0) / np.maximum(test.intensities.std(axis=0), 1e-12)
    if (ratios >= FLAT_RATIO).any():
        return []
    shown = ", ".join(f"{name} {r:.1%}" for name, r in zip(protocol.targets, ratios, strict=True))
    return [f"predictions hardly vary: standard deviation relative to the truth's is {shown}"]
