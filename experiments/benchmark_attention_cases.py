"""What `benchmark_attention` computes: a shape, a score, an alignment, a type, and numbers for them."""

import dataclasses
import re
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from kernels.attention import Forced, Global, LocalMonotonic, LocalPredictive, SlidingWindow, attend
from kernels.attention.alignment import Ranges, Size
from kernels.attention.shapes import Shape
from mer_jax.errors import InputError

Operands = Mapping[str, jax.Array]
Function = Callable[[Operands], jax.Array]
ALIGNMENT = re.compile(r"(sliding_window|local_m|local_p)_(\d+)|global|forced")
DEFAULT_ON_SQUARE = ("sliding_window_64",)
DEFAULT_ON_REAL = ("sliding_window_64", "local_p_32", "forced")


@dataclasses.dataclass(frozen=True)
class Case:
    """One table entry; `alignment` as on the command line."""

    shape: Shape
    score: str
    alignment: str
    dtype: str

    @property
    def name(self) -> str:
        return f"{self.shape.name} {self.score} {self.alignment} {self.dtype}"

    @property
    def kind(self) -> str:
        """The alignment's name without its number."""
        return self.alignment.rstrip("0123456789").rstrip("_")

    @property
    def half(self) -> int | None:
        """Keys on each side of a query's centre, or None."""
        number = self.alignment.removeprefix(self.kind).removeprefix("_")
        return int(number) // (2 if self.kind == "sliding_window" else 1) if number else None


def check_alignment(name: str) -> None:
    """Raises InputError for a name that is none."""
    found = ALIGNMENT.fullmatch(name)
    if found is None or (found[1] == "local_p" and int(found[2]) < 1):
        raise InputError(
            f"--alignments {name!r} is unknown; known: global, forced, sliding_window_W (W / 2 keys on each side), "
            "local_m_D, local_p_D (D keys on each side, a number such as 32)"
        )


@dataclasses.dataclass(frozen=True)
class Problem:
    """A case with numbers.

    Attributes:
        operands: query, key, value, and score_vector and centres where the case has them.
        cotangent: of the context.
        spans: of the words, [batch, m, 2], where the alignment is forced.
    """

    case: Case
    operands: Operands
    cotangent: jax.Array
    spans: np.ndarray | None = None

    @classmethod
    def drawn(cls, case: Case, seed: int = 0) -> "Problem":
        """Normal numbers; scores of variance about 1."""
        rng, s = np.random.default_rng(seed), case.shape

        def normal(*shape: int, scale: float = 1.0) -> jax.Array:
            return jnp.asarray(scale * rng.standard_normal(shape, np.float32), case.dtype)

        narrow = s.d**-0.5
        operands = {
            "query": normal(s.batch, s.m, s.d, scale=narrow if case.score == "dot" else 1.0),
            "key": normal(s.batch, s.n, s.d),
            "value": normal(s.batch, s.n, s.d),
        }
        if case.score == "additive":
            operands["score_vector"] = normal(s.d, scale=narrow)
        if case.kind == "local_p":
            operands["centres"] = _centres(case, rng)
        spans = _words(s, rng) if case.kind == "forced" else None
        return cls(case, operands, normal(s.batch, s.m, s.d), spans)

    def alignment(self, operands: Operands) -> Any:
        """The case's alignment object."""
        kind, half = self.case.kind, self.case.half
        if half is None:
            return Global() if kind == "global" else Forced(self.spans)
        if kind == "local_p":
            return LocalPredictive(half, operands["centres"])
        return SlidingWindow(2 * half) if kind == "sliding_window" else LocalMonotonic(half)

    def ranges(self) -> Ranges:
        """Keys of each query, NumPy wherever no centre is predicted."""
        s = self.case.shape
        return self.alignment(self.operands).ranges(Size(s.batch, s.m, s.n))

    def ours(self, implementation: str | None, alignment: Any = None) -> Function:
        """`attend` by one implementation; another alignment than the case's if it is given."""

        def call(operands: Operands) -> jax.Array:
            return attend(
                operands["query"],
                operands["key"],
                operands["value"],
                score=self.case.score,
                score_vector=operands.get("score_vector"),
                alignment=self.alignment(operands) if alignment is None else alignment,
                implementation=implementation,
            )

        return call

    def first(self) -> "Problem":
        """The first of the batch alone."""
        operands = {name: x if name == "score_vector" else x[:1] for name, x in self.operands.items()}
        spans = None if self.spans is None else self.spans[:1]
        shape = dataclasses.replace(self.case.shape, batch=1)
        return Problem(dataclasses.replace(self.case, shape=shape), operands, self.cotangent[:1], spans)


def _centres(case: Case, rng: np.random.Generator) -> jax.Array:
    """Around the diagonal, within the keys."""
    s = case.shape
    diagonal = np.arange(s.m) * (s.n / s.m)
    centres = diagonal + (case.half or 0) / 2 * rng.standard_normal((s.batch, s.m))
    return jnp.asarray(np.clip(centres, 0, s.n - 1), jnp.float32)


def _words(shape: Shape, rng: np.random.Generator) -> np.ndarray:
    """[batch, m, 2]: spans of words that fill the keys, in order; with fewer keys some are silent."""
    cuts = np.sort(rng.integers(0, shape.n + 1, (shape.batch, shape.m - 1)), axis=1)
    edges = np.pad(cuts, ((0, 0), (1, 1)), constant_values=((0, 0), (0, shape.n)))
    return np.stack([edges[:, :-1], edges[:, 1:] - 1], axis=-1).astype(np.int32)
