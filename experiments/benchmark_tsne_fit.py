"""Fits of parametric t-SNE to ten thousand, a hundred thousand and a million generated rows: time, memory, faithfulness.

    python -m experiments.benchmark_tsne_fit
    python -m experiments.benchmark_tsne_fit --rows 10000 --features 50 --json fits.json

Rows are drawn around 50 centres; 5,000 more of the same kind are held out. Memory: by how much the peak of the
process' resident memory grows during the fit (what rows take themselves is not counted). Memory and time are of the
whole fit: graph of neighbours, calibration, descent.
"""

import dataclasses
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from experiments.benchmark_tables import markdown_table
from experiments.command import run, write_json
from experiments.printing import console_on
from experiments.resident_memory import growth
from mer_jax.data.randomness import stream
from mer_jax.emotion_space.parametric_tsne import ParametricTSNE
from mer_jax.emotion_space.quality import trustworthiness
from mer_jax.errors import InputError
from mer_jax.training.run_folder import provenance

CENTRES, HELD_OUT = 50, 5_000
COLUMNS = ("generated rows", "fit, CPU s", "fit, s", "steps", "peak MiB", "KL", "T(12), held out")


@dataclasses.dataclass(frozen=True)
class Args:
    """Fits of growing size.

    Args:
        rows: numbers of rows, rising.
        features: of a row.
        seed: of the rows and the fit.
        json: also write the figures to this file.
    """

    rows: tuple[int, ...] = (10_000, 100_000, 1_000_000)
    features: int = 6
    seed: int = 0
    json: Path | None = None


def main(args: Args) -> int:
    """Fits, a table."""
    if not args.rows or min(args.rows) < 100 or sorted(set(args.rows)) != list(args.rows):
        raise InputError(f"--rows {args.rows} must be rising numbers of 100 or more")
    fits = [measured(count, args.features, args.seed) for count in args.rows]
    table = Table(
        title=f"parametric t-SNE of generated rows of {args.features} features", title_justify="left"
    )
    for column in COLUMNS:
        table.add_column(column, justify="right")
    for fit in fits:
        table.add_row(*cells(fit))
    console_on(sys.stdout).print(table)
    write_json(args.json, {**provenance(), "features": args.features, "fits": fits})
    return 0


def generated(count: int, features: int, seed: int) -> np.ndarray:
    """[count + HELD_OUT, features] float32 around centres, the held-out rows last."""
    rng = stream(seed, "rows of a fit")
    centres = 3 * rng.standard_normal((CENTRES, features), np.float32)
    chosen = rng.integers(0, CENTRES, count + HELD_OUT)
    return centres[chosen] + rng.standard_normal((len(chosen), features), np.float32)


def measured(count: int, features: int, seed: int) -> dict[str, Any]:
    """One fit, and what it took."""
    rows = generated(count, features, seed)
    model, spent = ParametricTSNE(random_state=seed, verbose=1), {}

    def fit() -> ParametricTSNE:
        cpu, wall = time.process_time(), time.perf_counter()
        model.fit(rows[:count])
        spent.update(fit_cpu_seconds=time.process_time() - cpu, fit_seconds=time.perf_counter() - wall)
        return model

    peak = growth(fit, lambda model: model.embedding_.nbytes)
    return {
        "rows": count,
        **spent,
        "steps": model.n_iter_,
        "peak_bytes": peak,
        "kl": model.kl_divergence_,
        "trustworthiness": trustworthiness(rows[count:], model.transform(rows[count:])),
    }


def cells(fit: Mapping[str, Any]) -> list[str]:
    """A line of the table."""
    return [
        f"{fit['rows']:,}",
        f"{fit['fit_cpu_seconds']:.1f}",
        f"{fit['fit_seconds']:.1f}",
        f"{fit['steps']:,}",
        "-" if fit["peak_bytes"] is None else f"{fit['peak_bytes'] / 2**20:,.0f}",
        f"{fit['kl']:.3f}",
        f"{fit['trustworthiness']:.3f}",
    ]


def markdown(result: Mapping[str, Any]) -> str:
    """The content of `--json` as a table for BENCHMARKS.md."""
    return "\n".join(markdown_table(COLUMNS, [cells(fit) for fit in result["fits"]]))


if __name__ == "__main__":
    sys.exit(run(main, Args))
