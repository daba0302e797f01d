"""What `ParametricTSNE.fit` does: checks, affinities, descent, the best parameters on held-out rows."""

import contextlib
import dataclasses
import sys
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console
from rich.progress import Progress

from kernels.tsne import kl_divergence
from mer_jax.data.randomness import stream
from mer_jax.emotion_space import network
from mer_jax.emotion_space.affinities import Affinities, affinities
from mer_jax.emotion_space.distinct_rows import DistinctRows
from mer_jax.emotion_space.objectives import AllRows, Batches, Edges, Settings
from mer_jax.emotion_space.optimization import Descent, descend
from mer_jax.emotion_space.quality import trustworthiness
from mer_jax.errors import InputError, nearest
from mer_jax.training.data_parallel import DataParallel

LEARNING_RATE = 5e-3
STEPS_ALL_PAIRS, STEPS_EDGES = 400, 2_400
BATCH = 1_024
EXAGGERATED = 0.1  # share of the steps
JITTER = 1e-3  # of the root mean square distance
HELD_OUT_MOST, HELD_OUT_LEAST = 2_000, 30
EXACT_DIVERGENCE = 50_000  # rows up to which all pairs are summed after the fit
AUTOMATIC = ("learning_rate", "max_iter", "batch_size")
RANGES = (
    ("n_components", 1, 3),
    ("learning_rate", 1e-9, 10),
    ("early_exaggeration", 1e-3, 1e3),
    ("max_iter", 1, 10**8),
    ("batch_size", 2, 10**6),
    ("noise", 0, 1e30),
    ("noise_in_affinities", 0, 1),
    ("validation_fraction", 1e-6, 1 - 1e-6),
    ("n_iter_no_change", 1, 10**6),
)
DUPLICATES = ("merge", "weight", "jitter", "keep")


@dataclasses.dataclass(frozen=True)
class Fitted:
    """What a fit gives; see `ParametricTSNE` for the meaning."""

    params: Any
    center: np.ndarray
    scale: np.ndarray
    divergence: float
    steps: int
    infeasible: float
    held_out: list[float]


def check(model: Any, rows: int, distinct: int) -> None:
    """Raises InputError for parameters that don't fit one another or the rows."""
    _check_names(model)
    _check_numbers(model)
    if rows < 2:
        raise InputError(
            f"X has {rows} sample; a map of neighbours needs more: give at least 3 distinct rows"
        )
    if distinct < 3:
        raise InputError(
            f"X has {distinct} distinct rows among {rows}; a map needs at least 3: all its states are alike"
        )
    among = rows if model.duplicates in ("keep", "jitter") else distinct
    if not 1 <= model.perplexity < among - 1:
        raise InputError(
            f"perplexity={model.perplexity} does not fit {among} rows ({rows} given, {distinct} distinct): "
            f"it must be at least 1 and less than {among - 1}; lower it"
        )


def _check_names(model: Any) -> None:
    for name, known in (("duplicates", DUPLICATES), ("affinities", ("global", "batch"))):
        value = getattr(model, name)
        if value not in known:
            raise InputError(f"{name}={value!r} is unknown; {nearest(str(value), known)}")


def _check_numbers(model: Any) -> None:
    for name, low, high in RANGES:
        value = getattr(model, name)
        known = isinstance(value, (int, float, np.number)) and low <= value <= high
        if not known and not (name in AUTOMATIC and value == "auto"):
            also = " or 'auto'" if name in AUTOMATIC else ""
            raise InputError(f"{name}={value!r} must be a number from {low} to {high}{also}")
    count = jax.local_device_count()
    if model.n_devices is not None and not 1 <= model.n_devices <= count:
        raise InputError(
            f"n_devices={model.n_devices} must be 1 to {count}, the local devices, or None for all"
        )
    if not model.hidden or min(model.hidden) < 1:
        raise InputError(f"hidden={model.hidden!r} must name the width of at least one layer")


def fit(model: Any, rows: np.ndarray, distinct: DistinctRows, seed: int) -> Fitted:
    """Fits `model`'s network to rows [n, d]."""
    used, counts = _used(model.duplicates, rows, distinct, seed)
    center = used.mean(axis=0, dtype=np.float64)
    spread = np.sqrt(np.square(used - center).sum(axis=1).mean() / used.shape[1])
    constant = used.min(axis=0) == used.max(axis=0)
    scale = np.where(constant, 0.0, 1 / spread).astype(np.float32)
    center = center.astype(np.float32)
    held = _held_out(model, len(used), seed)
    kept, counts = used[~held], None if counts is None else counts[~held]
    scaled = (kept - center) * scale
    with _shown(model.verbose) as tick:
        data, found = _data(model, kept, scaled, float(scale.max()), counts, seed, tick)
        plan = _plan(model, data, len(kept), float(scale.max()), seed)
        look = _Look(model, used[held], center, scale, plan.steps, tick)
        last = descend(plan, data, DataParallel(devices=jax.local_devices()[: model.n_devices]), look)
    params = look.best if model.early_stopping and look.best is not None else last
    divergence = look.value
    if found is not None and len(kept) <= EXACT_DIVERGENCE:
        places = network.embed(params, center, scale, kept)
        divergence = float(_divergence(jnp.asarray(places), found.joint, plan.settings.degrees_of_freedom))
    infeasible = 0.0 if found is None else float(1 - found.feasible.mean())
    return Fitted(params, center, scale, divergence, look.steps, infeasible, look.scores)


def _divergence(places: Any, joint: Any, degrees_of_freedom: float) -> Any:
    return jax.jit(lambda y, p: kl_divergence(y, p, degrees_of_freedom=degrees_of_freedom))(places, joint)


def _used(duplicates: str, rows: np.ndarray, distinct: DistinctRows, seed: int) -> tuple[np.ndarray, Any]:
    """The rows that are fitted, and their weights or None."""
    if duplicates == "merge":
        return distinct.rows, None
    if duplicates == "weight":
        return distinct.rows, distinct.counts.astype(np.float32)
    if duplicates == "keep":
        return rows, None
    size = JITTER * np.sqrt(rows.var(axis=0).mean())
    return rows + np.float32(size) * stream(seed, "jitter").standard_normal(rows.shape, np.float32), None


def _held_out(model: Any, n: int, seed: int) -> np.ndarray:
    held = np.zeros(n, bool)
    count = min(HELD_OUT_MOST, round(model.validation_fraction * n))
    if not model.early_stopping:
        return held
    if count < HELD_OUT_LEAST or n - count <= model.perplexity + 1:
        raise InputError(
            f"early_stopping holds out {count} of {n} rows, fewer than {HELD_OUT_LEAST} (or too many for the perplexity); "
            "set early_stopping=False or another validation_fraction"
        )
    held[stream(seed, "held out").choice(n, count, replace=False)] = True
    return held


def _data(
    model: Any, rows: np.ndarray, scaled: np.ndarray, scale: float, counts: Any, seed: int, tick: Any
) -> tuple[Any, Affinities | None]:
    """What the objective is of, and the affinities where they are of all rows."""
    ends = np.stack([scaled.min(axis=0), scaled.max(axis=0)])
    if model.affinities == "batch":
        size = min(_batch_size(model), len(rows))
        if model.perplexity >= size - 1:
            raise InputError(
                f"perplexity={model.perplexity} does not fit batches of {size} rows; lower it or raise batch_size"
            )
        return Batches(scaled, ends, np.float32(model.perplexity)), None
    found = affinities(rows, model.perplexity, counts, seed, lambda share: tick("neighbours", share))
    if found.numbers is None or found.probabilities is None:
        return AllRows(scaled, ends, found.joint, found.beta / np.float32(scale * scale)), found
    weights = np.ones(len(rows), np.float32) if counts is None else counts
    reached = np.cumsum(found.probabilities, axis=1, dtype=np.float32)
    entropy = np.float32(found.joint.negative_entropy)
    return Edges(scaled, ends, found.numbers, reached, weights, entropy), found


def _batch_size(model: Any) -> int:
    return BATCH if model.batch_size == "auto" else int(model.batch_size)


def _plan(model: Any, data: Any, n: int, scale: float, seed: int) -> Descent:
    steps = STEPS_ALL_PAIRS if isinstance(data, AllRows) else STEPS_EDGES
    steps = steps if model.max_iter == "auto" else int(model.max_iter)
    size = min(_batch_size(model), n) if isinstance(data, Batches) else _batch_size(model)
    return Descent(
        hidden=tuple(int(width) for width in model.hidden),
        components=model.n_components,
        steps=steps,
        learning_rate=LEARNING_RATE if model.learning_rate == "auto" else float(model.learning_rate),
        exaggeration=float(model.early_exaggeration),
        exaggerated=round(EXAGGERATED * steps),
        settings=Settings(
            batch_size=size,
            noise=float(model.noise) * scale,
            in_affinities=float(model.noise_in_affinities),
            degrees_of_freedom=float(max(1, model.n_components - 1)),
        ),
        seed=seed,
    )


class _Look:
    """After each call: progress, and where rows are held out the best parameters on them so far."""

    def __init__(
        self, model: Any, held: np.ndarray, center: np.ndarray, scale: np.ndarray, steps: int, tick: Any
    ):
        self.model, self.held, self.center, self.scale = model, held, center, scale
        self.planned, self.tick = steps, tick
        self.best: Any = None
        self.scores: list[float] = []
        self.steps, self.value = 0, float("nan")

    def __call__(self, step: int, value: float, params: Any) -> bool:
        self.steps, self.value = step, value
        self.tick(f"KL {value:.3f}", min(1.0, step / self.planned))
        if not len(self.held):
            return True
        places = network.embed(params, self.center, self.scale, self.held)
        self.scores.append(trustworthiness(self.held, places))
        best = int(np.argmax(self.scores))
        if best == len(self.scores) - 1:
            self.best = params
        return len(self.scores) - 1 - best < self.model.n_iter_no_change


@contextlib.contextmanager
def _shown(verbose: int) -> Iterator[Any]:
    """A function that is told what is done and its share."""
    shown = bool(verbose) and sys.stderr.isatty()
    with Progress(console=Console(stderr=True), disable=not shown, transient=True) as progress:
        task = progress.add_task("parametric t-SNE", total=1.0)
        yield lambda what, share: progress.update(task, description=what, completed=share)
