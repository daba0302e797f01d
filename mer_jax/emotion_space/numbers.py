"""What is said of a space and of runs on it, as rows of text for terminal and page alike."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mer_jax.emotion_space.diagnostics import Diagnosis
from mer_jax.emotion_space.mapping import Map
from mer_jax.emotion_space.overlay import Overlay

QUALITY_HEAD = ("", "ours", "openTSNE")
DIAGNOSIS_HEAD = (
    "",
    "MAE",
    "MSE",
    "CCC",
    "variance",
    "effective rank",
    "axes told",
    "energy ratio",
    "map reached",
    "emotions told",
)
PERCEIVED_HEAD = ("perceived from", "clips", "share on the intended", "distance to it", "distance on the map")


def quality_rows(ours: Mapping[str, Any], peer: Mapping[str, Any] | None) -> list[tuple[str, ...]]:
    """A line per figure; the last column is empty without a peer."""
    lines = [
        ("KL(P || Q) at perplexity 30, states of train", ("kl",), ".3f"),
        ("distinct states of train", ("distinct",), "d"),
        ("trustworthiness T(12), states of train", ("observed", "trustworthiness"), ".3f"),
        ("T(12), held-out states train lacks", ("held_out", "trustworthiness"), ".3f"),
        ("continuity C(12), the same", ("held_out", "continuity"), ".3f"),
        ("held-out states train lacks", ("held_out", "rows"), "d"),
        ("T(12), states between the observed", ("continuous", "trustworthiness"), ".3f"),
        ("C(12), the same", ("continuous", "continuity"), ".3f"),
        ("longest step of a path, median / radius", ("path", "longest_step"), ".3f"),
        ("longest step of all / radius", ("path", "longest_of_all"), ".3f"),
        ("CPU seconds of the fit", ("fit_cpu_seconds",), ".1f"),
    ]
    return [
        (label, _at(ours, keys, form), "" if peer is None else _at(peer, keys, form))
        for label, keys, form in lines
    ]


def diagnosis_rows(found: Mapping[str, Diagnosis]) -> list[tuple[str, ...]]:
    """A line per run; see `diagnostics.Diagnosis`."""
    return [
        (
            name,
            f"{one.mae:.3f}",
            f"{one.mse:.3f}",
            _number(one.ccc),
            _number(one.variance_ratio),
            f"{one.effective_rank:.1f} of {one.true_effective_rank:.1f}",
            f"{one.dimensions} of {one.true_dimensions}",
            "-" if one.energy is None or one.energy.ratio is None else f"{one.energy.ratio:.1f}",
            "-" if one.reach is None else f"{one.reach.by_predictions:.0%} of {one.reach.by_truth:.0%}",
            ", ".join(one.told) or "none",
        )
        for name, one in found.items()
    ]


def perceived_rows(overlays: Sequence[Overlay], space: Map) -> list[tuple[str, ...]]:
    """A line per condition: how far what is perceived is from what was intended."""
    places = space.place(space.states)
    radius = np.linalg.norm(places - places.mean(axis=0), axis=1).mean()
    rows: list[tuple[str, ...]] = []
    for one in overlays:
        apart = np.linalg.norm(one.predicted - one.truth, axis=1)
        on_map = np.linalg.norm(space.place(one.predicted) - space.place(one.truth), axis=1) / radius
        share = (one.predicted * one.truth).sum(axis=1)
        rows.append(
            (
                one.name,
                f"{len(one):,}",
                f"{share.mean():.3f}",
                f"{apart.mean():.3f}",
                f"{on_map.mean():.2f} radii",
            )
        )
    return rows


def _at(values: Mapping[str, Any], keys: Sequence[str], form: str) -> str:
    found: Any = values
    for key in keys:
        found = found[key]
    return "too few rows" if found is None else format(found, form)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
