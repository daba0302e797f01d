"""What the attention kernels are held to, and what a run of `benchmark_attention` says about it."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from experiments.benchmark_attention_peers import LABELS

Rows = Sequence[Mapping[str, Any]]
PASSES = ("forward", "forward+backward")
WINDOW = "sliding_window_64"


@dataclasses.dataclass(frozen=True)
class Target:
    """A ratio or a size, at B = 8, d = 64 and a window of 64.

    Attributes:
        what: in words.
        least: whether the bound is a lower one.
        bound: of the measured value.
        over, under: (implementation, length, pass, quantity) of the numerator and the denominator; an
            implementation of None is ours, the one `attend` takes by itself; `under` of None: 1.
    """

    what: str
    score: str
    least: bool
    bound: float
    over: tuple[str | None, int, str, str]
    under: tuple[str | None, int, str, str] | None
    unit: str = "x"
    dtype: str = "float32"

    @property
    def of_lengths(self) -> bool:
        """Whether it compares ours at two lengths, which have their turns together."""
        return (
            self.under is not None
            and self.over[:2] != self.under[:2]
            and self.under[0] is None is self.over[0]
        )

    def measured(self, rows: Rows, lengths: Rows) -> float | None:
        """The value in this run; None where a part is missing."""
        rows = lengths if self.of_lengths else rows
        over = self._find(rows, self.over)
        under = 1.0 if self.under is None else self._find(rows, self.under)
        return None if over is None or not under else over / under

    def _find(self, rows: Rows, wanted: tuple[str | None, int, str, str]) -> float | None:
        label, length, direction, quantity = wanted
        for row in rows:
            same = (row["shape"], row["score"], row["alignment"], row["dtype"], row["pass"])
            if same != (f"square_{length}", self.score, WINDOW, self.dtype, direction):
                continue
            if row["default"] if label is None else row["implementation"] == label:
                return row[quantity]
        return None


def targets(platform: str) -> tuple[Target, ...]:
    """Those of the CPU or of a GPU."""
    return tuple(_on_gpu() if platform == "gpu" else _on_cpu())


def lengths(platform: str) -> dict[tuple[str, str, str], list[int]]:
    """Score, pass, type -> lengths that some target compares."""
    found: dict[tuple[str, str, str], list[int]] = {}
    for target in targets(platform):
        if target.of_lengths and target.under is not None:
            key = (target.score, target.over[2], target.dtype)
            found.setdefault(key, []).extend([target.under[1], target.over[1]])
    return found


def judged(rows: Rows, lengths: Rows, platform: str) -> list[dict[str, Any]]:
    """Every target with its value and whether it is met; None for what was not measured.

    lengths: rows of ours at several lengths, timed in turns."""
    found = []
    for target in targets(platform):
        value = target.measured(rows, lengths)
        met = None if value is None else (value >= target.bound if target.least else value <= target.bound)
        found.append(
            {
                "what": target.what,
                "bound": f"{'>=' if target.least else '<='} {target.bound:g} {target.unit}",
                "measured": None if value is None else float(f"{value:.3g}"),
                "unit": target.unit,
                "met": met,
            }
        )
    return found


def _on_cpu() -> Iterator[Target]:
    for score in ("dot", "additive"):
        for direction in PASSES:
            yield Target(
                f"{score}, {direction}: t(m=8192) / t(m=1024)", score, False, 9,
                (None, 8192, direction, "median_ms"), (None, 1024, direction, "median_ms"),
            )  # fmt: skip
    for peer, *bounds in (("jax_window", 40, 65), ("torch_sdpa", 12, 13), ("local_attention", 1.3, 1.4)):
        for direction, bound in zip(PASSES, bounds, strict=True):
            yield _faster("dot", 4096, peer, direction, bound)
    for direction, bound in zip(PASSES, (55, 38), strict=True):
        yield _faster("additive", 256, "keras_formula", direction, bound)
    for direction in PASSES:
        yield _faster("additive", 256, "naive_jnp", direction, 12)
    for length in (1024, 4096):
        for direction in PASSES:
            yield _faster("additive", length, "torch_unfold", direction, 20)
    for score in ("dot", "additive"):
        yield Target(
            f"{score}, forward+backward, m=4096: peak extra memory", score, False, 100,
            (None, 4096, PASSES[1], "peak_mib"), None, "MiB",
        )  # fmt: skip


def _on_gpu() -> Iterator[Target]:
    yield Target(
        "additive, forward, m=8192", "additive", False, 0.15, (None, 8192, PASSES[0], "median_ms"), None, "ms"
    )
    yield Target(
        "additive, m=8192: forward+backward / forward", "additive", False, 3.5,
        (None, 8192, PASSES[1], "median_ms"), (None, 8192, PASSES[0], "median_ms"),
    )  # fmt: skip
    for peer in ("cudnn_window", "cudnn_full"):
        for direction in PASSES:
            yield _faster("dot", 8192, peer, direction, 1, "bfloat16")


def _faster(
    score: str, length: int, peer: str, direction: str, bound: float, dtype: str = "float32"
) -> Target:
    label = LABELS[peer]
    return Target(
        f"{score}, {direction}, m={length}: {label} / ours", score, True, bound,
        (label, length, direction, "median_ms"), (None, length, direction, "median_ms"), dtype=dtype,
    )  # fmt: skip
