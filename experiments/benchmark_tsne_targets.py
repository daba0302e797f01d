"""What t-SNE's kernels are held to, and what a run of `benchmark_tsne` says about it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from experiments.benchmark_tables import at_least, at_most

Rows = Sequence[Mapping[str, Any]]
PAIRS = "KL, batch_5120, all pairs"
DISTINCT = "KL, mosei_distinct_1296x6, all pairs"
FASTER = {"calibration, mnist_pca50_5000": 9.0, "calibration, mnist_pca50_100000x90": 8.0}
PERPLEXITY_ERROR, NAIVE, MEMORY, STEP, TRANSFORM = 3e-6, 30.0, 16.0, 1.0, 1.5
TRANSFORMED = 1_000_000


def judged(rows: Rows) -> list[dict[str, Any]]:
    """Every target with its value and whether it is met; None for what was not measured."""
    found = [
        at_least(f"{case}: scikit-learn / ours", bound, _value(rows, case, "scikit-learn", "ratio"))
        for case, bound in FASTER.items()
    ]
    own = [row["deviation"] for row in rows if row["part"] == "calibration" and row["default"]]
    error = max(own, default=None)
    found.append(at_most("largest relative error of the achieved perplexity", PERPLEXITY_ERROR, error, ""))
    found.append(
        at_least(f"{PAIRS}: naive autodiff / ours", NAIVE, _value(rows, PAIRS, "naive autodiff", "ratio"))
    )
    for name in ("dense", "streamed"):
        peak = _ours(rows, PAIRS, "peak_mib", streamed=name == "streamed")
        found.append(at_most(f"{PAIRS}, {name} P: memory beyond P", MEMORY, peak, "MiB"))
    found.append(at_most(f"{DISTINCT}: a step", STEP, _ours(rows, DISTINCT, "median_ms"), "ms"))
    spent = [row["cpu_seconds"] for row in rows if (row["part"], row["n"]) == ("transform", TRANSFORMED)]
    what = f"transform of {TRANSFORMED:,} x 6, 128 x 3: CPU seconds"
    return [*found, at_most(what, TRANSFORM, spent[0] if spent else None, "s")]


def _value(rows: Rows, case: str, implementation: str, quantity: str) -> float | None:
    return _first(rows, quantity, lambda row: (row["case"], row["implementation"]) == (case, implementation))


def _ours(rows: Rows, case: str, quantity: str, *, streamed: bool = False) -> float | None:
    """Of the implementation that serves by default."""

    def wanted(row: Mapping[str, Any]) -> bool:
        own = row["implementation"].startswith("mer_jax") and "streamed" in row["implementation"]
        return row["case"] == case and (own if streamed else row["default"])

    return _first(rows, quantity, wanted)


def _first(rows: Rows, quantity: str, wanted: Callable[[Mapping[str, Any]], bool]) -> float | None:
    return next((row[quantity] for row in rows if wanted(row)), None)
