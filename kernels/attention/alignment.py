"""Which keys each query may attend to: every alignment is a range of keys and perhaps a Gaussian.

    alignment                  centre of query t            keys
    Global                     -                            all n
    SlidingWindow(w)           floor(t n / m)               centre - w/2 .. centre + w/2
    LocalMonotonic(D)          floor(t n / m)               centre - D .. centre + D
    LocalPredictive(D, p)      round(p_t)                   centre - D .. centre + D, and weights
                                                            times exp(-(s - p_t)^2 / 2 sigma^2)
    Forced(spans)              -                            the span of the query

with m and n the true lengths of the two sequences (Luong, Pham and Manning 2015, section 3.2;
local-m generalised to m != n). Ranges are integers and carry no gradient; that of p_t comes
through the Gaussian, whose sigma is D / 2.
"""

import dataclasses
import operator
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np

LONGEST_QUERY = 46_340  # (t n) mod m is computed in int32


class Ranges(NamedTuple):
    """The geometry of one call, leading dimensions flattened into one.

    Attributes:
        start: first key of each query, [batch or 1, m]; a NumPy array where it is known
            before tracing, and so is `end`.
        end: last key of each query, inclusive. An empty range is (n, -1): the context is zero.
        centre: of the Gaussian in keys, [batch, m], or None.
        most: a bound, known before tracing, on the keys of any range; None: all of them.
    """

    start: Any
    end: Any
    centre: Any = None
    most: int | None = None


class Size(NamedTuple):
    """What an alignment is laid over: padded sizes and true lengths, [batch] or None (the padded size)."""

    batch: int
    m: int
    n: int
    query_lengths: Any = None
    key_lengths: Any = None


@runtime_checkable
class Alignment(Protocol):
    """What lays ranges over a pair of sequences."""

    def ranges(self, size: Size) -> Ranges: ...


@dataclasses.dataclass(frozen=True)
class Global:
    """Every query attends to every key."""

    def ranges(self, size: Size) -> Ranges:
        zero = np.zeros((1, size.m), np.int32)
        return _within(zero, zero + (size.n - 1), size.n, size)


@dataclasses.dataclass(frozen=True)
class LocalMonotonic:
    """Keys within `half_width` D of the diagonal t n / m: 2 D + 1 positions.

    Raises:
        ValueError: half_width is not an integer of at least 0.
    """

    half_width: int

    def __post_init__(self):
        _check_integer(self, "half_width", 0)

    def ranges(self, size: Size) -> Ranges:
        return _around(_diagonal(size), self.half_width, size)


@dataclasses.dataclass(frozen=True)
class SlidingWindow:
    """Keys within `width` / 2 of the diagonal t n / m.

    An even width w gives w / 2 keys on each side of the centre, which is there besides;
    an odd one is the number of keys.

    Raises:
        ValueError: width is not an integer of at least 0.
    """

    width: int

    def __post_init__(self):
        _check_integer(self, "width", 0)

    def ranges(self, size: Size) -> Ranges:
        return _around(_diagonal(size), self.width // 2, size)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class LocalPredictive:
    """Keys within `half_width` D of a predicted centre, weighted by a Gaussian around it.

        a_t(s) = softmax_s(score) exp(-(s - p_t)^2 / 2 sigma^2),  sigma = D / 2,
        s in round(p_t) - D .. round(p_t) + D

    The Gaussian multiplies the softmax over the window and the weights are not normalised again
    (Luong, Pham and Manning 2015, equation 10).

    Attributes:
        half_width: D, keys.
        centres: p_t, in keys from 0, floating point, [..., m] with the leading dimensions of
            the query. Finite; the gradient of the loss reaches them through the Gaussian.

    Raises:
        ValueError: half_width is not an integer of at least 1.
    """

    half_width: int = dataclasses.field(metadata={"static": True})
    centres: Any

    def __post_init__(self):
        _check_integer(self, "half_width", 1)

    def ranges(self, size: Size) -> Ranges:
        centre = _per_query(self.centres, "LocalPredictive.centres", size, (), jnp.floating)
        nearest = jnp.floor(jax.lax.stop_gradient(centre) + 0.5).astype(jnp.int32)
        return _around(nearest, self.half_width, size)._replace(centre=centre)

    @property
    def sigma(self) -> float:
        return self.half_width / 2


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class Forced:
    """The keys of a query are given: the frames of a word whose time span is known.

    Attributes:
        spans: first and last key, inclusive, integers [..., m, 2]; last < first: the query has
            no key and its context is zero. Spans that are known before tracing are checked, others
            are cut off at the ends of the key sequence.
        most: a bound on the keys of any span, for traced spans whose weights are asked for
            (known ones tell it themselves); longer spans lose the weights beyond it, not the context.
        overlapping: whether spans may overlap and come in any order.

    Raises:
        ValueError: most is not an integer of at least 1.
    """

    spans: Any
    most: int | None = dataclasses.field(default=None, metadata={"static": True})
    overlapping: bool = dataclasses.field(default=False, metadata={"static": True})

    def __post_init__(self):
        if self.most is not None:
            _check_integer(self, "most", 1)

    def ranges(self, size: Size) -> Ranges:
        spans = _per_query(self.spans, "Forced.spans", size, (2,), jnp.integer)
        if isinstance(spans, np.ndarray):
            _check_spans(spans, size, self.overlapping)
            longest = int(np.max(spans[..., 1] - spans[..., 0] + 1))
            return _within(spans[..., 0], spans[..., 1], max(longest, 1), size)
        return _within(spans[..., 0], spans[..., 1], self.most or size.n, size)


def _diagonal(size: Size) -> Any:
    """floor(t n / m) of every query, without overflow; [batch or 1, m]."""
    if size.m > LONGEST_QUERY:
        raise ValueError(
            f"query has {size.m} positions; SlidingWindow and LocalMonotonic take at most {LONGEST_QUERY}: "
            "use Forced with spans of your own"
        )
    xp = _library(size.query_lengths, size.key_lengths)
    m = xp.maximum(_lengths(size.query_lengths, size.m, xp), 1)[:, None]
    n = _lengths(size.key_lengths, size.n, xp)[:, None]
    t = xp.minimum(xp.arange(size.m, dtype=xp.int32)[None, :], m - 1)
    return t * (n // m) + t * (n % m) // m


def _around(centre: Any, half: int, size: Size) -> Ranges:
    return _within(centre - half, centre + half, 2 * half + 1, size)


def _within(start: Any, end: Any, most: int, size: Size) -> Ranges:
    """Ranges cut off at the true lengths; the empty ones all alike."""
    xp = _library(start, size.query_lengths, size.key_lengths)
    n = _lengths(size.key_lengths, size.n, xp)[:, None]
    m = _lengths(size.query_lengths, size.m, xp)[:, None]
    start, end = xp.maximum(start, 0), xp.minimum(end, n - 1)
    empty = (start > end) | (xp.arange(size.m, dtype=xp.int32)[None, :] >= m)
    start, end = xp.where(empty, size.n, start), xp.where(empty, -1, end)
    return Ranges(start.astype(xp.int32), end.astype(xp.int32), most=min(most, size.n))


def _library(*arrays: Any) -> Any:
    """NumPy while everything is known, so that a compiled program holds the geometry as constants."""
    return np if all(a is None or isinstance(a, np.ndarray) for a in arrays) else jnp


def _lengths(lengths: Any, padded: int, xp: Any) -> Any:
    return xp.full((1,), padded, xp.int32) if lengths is None else xp.asarray(lengths, xp.int32)


def _per_query(array: Any, name: str, size: Size, last: tuple[int, ...], kind: Any) -> Any:
    """The array with its leading dimensions flattened, after a check of shape and type."""
    if not hasattr(array, "dtype"):
        array = np.asarray(array)
    if not jnp.issubdtype(array.dtype, kind):
        raise ValueError(f"{name} has type {array.dtype}; it needs {kind.__name__} numbers")
    rows = int(np.prod(array.shape[: array.ndim - 1 - len(last)]))
    if array.shape[array.ndim - 1 - len(last) :] != (size.m, *last) or rows not in (1, size.batch):
        raise ValueError(
            f"{name} has shape {array.shape}; it needs the query's leading dimensions, then {(size.m, *last)}"
        )
    return array.reshape(rows, size.m, *last)


def _check_spans(spans: np.ndarray, size: Size, overlapping: bool) -> None:
    """Known spans lie within the keys and, unless they may overlap, one after another."""
    start, end = spans[..., 0].astype(np.int64), spans[..., 1].astype(np.int64)
    spoken = start <= end
    outside = spoken & ((start < 0) | (end >= size.n))
    if outside.any():
        row, t = np.argwhere(outside)[0]
        raise ValueError(
            f"Forced.spans: the span {start[row, t]}..{end[row, t]} of query {t} (batch row {row}) lies outside "
            f"the keys 0..{size.n - 1}; the last key of a span is inclusive"
        )
    if overlapping:
        return
    before = np.maximum.accumulate(np.where(spoken, end, -1), axis=1)
    early = spoken[:, 1:] & (start[:, 1:] <= before[:, :-1])
    if early.any():
        row, t = np.argwhere(early)[0]
        raise ValueError(
            f"Forced.spans: the span {start[row, t + 1]}..{end[row, t + 1]} of query {t + 1} (batch row {row}) "
            f"begins at or before key {before[row, t]}, where an earlier one ends; "
            "give overlapping=True where that is meant"
        )


def _check_integer(alignment: Any, field: str, least: int) -> None:
    value = getattr(alignment, field)
    try:
        fits = not isinstance(value, bool) and operator.index(value) >= least
    except TypeError:
        fits = False
    if not fits:
        raise ValueError(
            f"{type(alignment).__name__}({field}={value!r}): {field} counts keys; "
            f"give an integer of at least {least}"
        )
