"""Attention over ranges in XLA: tiles of queries walk the keys their ranges cover, and no others.

Time and memory are O(m w) for ranges of w keys that move along with the queries, whatever the
alignment. A tile reads its keys in chunks by plain slices (nothing is gathered), masks inside, and
sums by an online softmax; the backward pass walks the same chunks again.
"""

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from kernels.attention import differentiable
from kernels.attention.alignment import Ranges
from kernels.attention.differentiable import Gradients
from kernels.attention.reference import Inputs, gaussian
from kernels.attention.tile_scores import LIMIT, AdditiveByExponentials, AdditiveByTanh, Dot, Score

QUERIES = {"dot": 32, "additive": 16}
CHUNK = {"dot": 512, "additive": 256}  # most keys of a chunk: a tile's scores stay in the cache


def attend(inputs: Inputs, ranges: Ranges, sigma: float | None) -> Float[Array, "batch m dv"]:
    """The context of every query, differentiable; see `kernels.attention.attend`."""
    score = "dot" if inputs.score_vector is None else "additive"
    queries = min(QUERIES[score], inputs.query.shape[1])
    needed = _needed(ranges, queries, inputs.query.shape[1], inputs.key.shape[1])
    chunks = -(-needed // CHUNK[score])
    kernel = Kernel(queries, -(-needed // chunks), _is_known(ranges) and chunks == 1)
    return differentiable.attend(kernel, sigma, inputs, ranges)


def _needed(ranges: Ranges, queries: int, m: int, n: int) -> int:
    """Keys that a tile of queries covers: the most, where ranges are known; else what to expect."""
    if _is_known(ranges):
        first, last = _covered(ranges, queries, n)
        return int(np.clip((last - first + 1).max(), 1, n))
    return min(n, (ranges.most or n) + queries * -(-n // m))


def _is_known(ranges: Ranges) -> bool:
    return isinstance(ranges.start, np.ndarray) and isinstance(ranges.end, np.ndarray)


def _covered(ranges: Ranges, queries: int, n: int) -> tuple[Any, Any]:
    """First and last key of each tile of queries, [rows, tiles]; (n, -1) where it has none."""
    xp = np if _is_known(ranges) else jnp
    rows, m = ranges.start.shape
    wide = ((0, 0), (0, -m % queries))
    first = xp.pad(ranges.start, wide, constant_values=n).reshape(rows, -1, queries).min(axis=2)
    return first, xp.pad(ranges.end, wide, constant_values=-1).reshape(rows, -1, queries).max(axis=2)


class Walk(NamedTuple):
    """Everything the tiles are cut from, the queries padded to whole tiles.

    first: [rows, tiles] where each tile begins to read; chunks: [tiles] how often it reads on.
    """

    query: Float[Array, "batch padded d"]
    key: Float[Array, "batch n d"]
    value: Float[Array, "batch n dv"]
    vector: Float[Array, " d"] | None
    key_mask: Bool[Array, "batch n"] | None
    start: Int[Array, "rows padded"]
    end: Int[Array, "rows padded"]
    centre: Float[Array, "batch padded"] | None
    first: Int[Array, "rows tiles"]
    chunks: Int[Array, " tiles"]


class Chunk(NamedTuple):
    """The keys that a tile reads in one go, and which of them each of its queries may attend to."""

    at: Int[Array, " rows"]
    key: Float[Array, "batch span d"]
    value: Float[Array, "batch span dv"]
    allowed: Bool[Array, "... queries span"]
    gaussian: Any  # [batch, queries, span], and of the same shape the keys' distance to its centre; or None
    distance: Any


@dataclasses.dataclass(frozen=True)
class Kernel:
    """Tiles of `queries` queries that read `span` keys at a time.

    Attributes:
        once: whether every tile is known to need one reading, so that there is no loop.
    """

    queries: int
    span: int
    once: bool

    def forward(self, inputs, ranges, sigma):
        run = jax.custom_batching.sequential_vmap(functools.partial(self._forward, sigma=sigma))
        return run(inputs, ranges)

    def backward(self, inputs, ranges, sigma, log_sum_exp, cotangent, delta):
        run = jax.custom_batching.sequential_vmap(functools.partial(self._backward, sigma=sigma))
        return run(inputs, ranges, log_sum_exp, cotangent, delta)

    def _forward(self, inputs, ranges, *, sigma):
        return _with_score(inputs, lambda score: self._contexts(score, inputs, ranges, sigma))

    def _backward(self, inputs, ranges, log_sum_exp, cotangent, delta, *, sigma):
        after = (log_sum_exp, cotangent.astype(log_sum_exp.dtype), delta)
        return _with_score(inputs, lambda score: self._gradients(score, inputs, ranges, sigma, *after))

    def _contexts(self, score: Score, inputs, ranges, sigma):
        walk = self._walk(score, inputs, ranges)
        batch, padded, _ = walk.query.shape
        context = jnp.zeros((batch, padded, walk.value.shape[2]), walk.value.dtype)
        log_sum_exp = jnp.zeros((batch, padded), walk.value.dtype)

        def tile(i, written):
            found = self._context(score, walk, sigma, i)
            return tuple(_put(w, self._at(i), x) for w, x in zip(written, found, strict=True))

        context, log_sum_exp = jax.lax.fori_loop(0, len(walk.chunks), tile, (context, log_sum_exp))
        m = inputs.query.shape[1]
        return context[:, :m].astype(inputs.value.dtype), log_sum_exp[:, :m]

    def _context(self, score: Score, walk: Walk, sigma, i):
        """Context and log-sum-exp of tile i by the online softmax."""
        query = self._tile(walk.query, i)
        batch, _, dv = walk.value.shape

        def read(c, state):
            top, total, mixed = state
            chunk = self._chunk(walk, sigma, i, c)
            logits = score.scores(query, chunk.key, walk.vector)
            logits = jnp.where(chunk.allowed, logits, -jnp.inf)
            new_top = jnp.maximum(top, logits.max(axis=2))
            finite = jnp.where(jnp.isfinite(new_top), new_top, 0)
            raised = jnp.exp(logits - finite[:, :, None])
            shrink = jnp.exp(top - finite)
            total = total * shrink + raised.sum(axis=2)
            if chunk.gaussian is not None:
                raised = raised * chunk.gaussian
            mixed = mixed * shrink[:, :, None] + jnp.einsum("bij,bjv->biv", raised, chunk.value)
            return new_top, total, mixed

        least = jnp.full((batch, self.queries), -jnp.inf, walk.value.dtype)
        state = (least, jnp.zeros_like(least), jnp.zeros((batch, self.queries, dv), walk.value.dtype))
        top, total, mixed = self._over_chunks(walk, i, read, state)
        some = total > 0
        total = jnp.where(some, total, 1)
        return mixed / total[:, :, None], jnp.where(some, top + jnp.log(total), jnp.inf)

    def _gradients(self, score: Score, inputs, ranges, sigma, log_sum_exp, cotangent, delta):
        walk = self._walk(score, inputs, ranges)
        wide = walk.query.shape[1] - inputs.query.shape[1]
        log_sum_exp, cotangent, delta = (_padded(x, wide) for x in (log_sum_exp, cotangent, delta))
        of = Gradients(walk.query, walk.key, walk.value, walk.vector, walk.centre)
        zeros = jax.tree.map(jnp.zeros_like, of)

        def tile(i, found):
            after = tuple(self._tile(x, i) for x in (log_sum_exp, cotangent, delta))

            def read(c, found):
                return self._pull(score, walk, sigma, i, c, after, found)

            return self._over_chunks(walk, i, read, found)

        found = jax.lax.fori_loop(0, len(walk.chunks), tile, zeros)
        m = inputs.query.shape[1]
        return found._replace(
            query=found.query[:, :m], centre=None if found.centre is None else found.centre[:, :m]
        )

    def _pull(self, score: Score, walk: Walk, sigma, i, c, after, found: Gradients) -> Gradients:
        """The gradients with those of chunk c of tile i added."""
        log_sum_exp, cotangent, delta = after
        chunk = self._chunk(walk, sigma, i, c)
        query = self._tile(walk.query, i)
        logits = score.scores(query, chunk.key, walk.vector)
        share = jnp.where(chunk.allowed, jnp.exp(logits - log_sum_exp[:, :, None]), 0)
        slope = jnp.einsum("biv,bjv->bij", cotangent, chunk.value)
        kept, centre = share, found.centre
        if chunk.gaussian is not None:
            slope, kept = slope * chunk.gaussian, share * chunk.gaussian
            moved = (share * slope * chunk.distance).sum(axis=2) / sigma**2
            centre = _add(centre, self._at(i), moved)
        slope = share * (slope - delta[:, :, None])
        pulled = score.pull(query, chunk.key, walk.vector, slope)
        return Gradients(
            _add(found.query, self._at(i), pulled.query),
            _add(found.key, chunk.at, pulled.key),
            _add(found.value, chunk.at, jnp.einsum("bij,biv->bjv", kept, cotangent)),
            None if found.score_vector is None else found.score_vector + pulled.score_vector,
            centre,
        )

    def _walk(self, score: Score, inputs: Inputs, ranges: Ranges) -> Walk:
        query, key, vector = score.prepare(inputs)
        m, n = inputs.query.shape[1], inputs.key.shape[1]
        wide = -m % self.queries
        first, last = _covered(ranges, self.queries, n)
        first = jnp.clip(first, 0, n - self.span)
        return Walk(
            _padded(query, wide), key, inputs.value.astype(key.dtype), vector, inputs.key_mask,
            _padded(ranges.start, wide, n), _padded(ranges.end, wide, -1),
            None if ranges.centre is None else _padded(ranges.centre.astype(key.dtype), wide),
            first, jnp.max(-((first - last - 1) // self.span), axis=0),
        )  # fmt: skip

    def _chunk(self, walk: Walk, sigma: float | None, i: Any, c: Any) -> Chunk:
        n = walk.key.shape[1]
        begin = jax.lax.dynamic_index_in_dim(walk.first, i, axis=1, keepdims=False) + c * self.span
        at = jnp.minimum(begin, n - self.span)  # the last chunk may begin earlier: its first keys are masked
        positions = at[:, None, None] + jnp.arange(self.span, dtype=jnp.int32)[None, None, :]
        start, end = self._tile(walk.start, i)[:, :, None], self._tile(walk.end, i)[:, :, None]
        allowed = (start <= positions) & (positions <= end) & (positions >= begin[:, None, None])
        if walk.key_mask is not None:
            allowed = allowed & _slice(walk.key_mask, at, self.span)[:, None, :]
        distance = weight = None
        if walk.centre is not None:
            here = positions.astype(walk.centre.dtype)
            distance = here - self._tile(walk.centre, i)[:, :, None]
            weight = gaussian(distance, jnp.zeros_like(distance), sigma)
        key, value = _slice(walk.key, at, self.span), _slice(walk.value, at, self.span)
        return Chunk(at, key, value, allowed, weight, distance)

    def _over_chunks(self, walk: Walk, i: Any, read: Any, state: Any) -> Any:
        if self.once:
            return read(0, state)
        return jax.lax.fori_loop(0, walk.chunks[i], read, state)

    def _at(self, i: Any) -> Int[Array, "1"]:
        return jnp.asarray(i * self.queries, jnp.int32)[None]

    def _tile(self, x: Array, i: Any) -> Array:
        return _slice(x, self._at(i), self.queries)


def _with_score(inputs: Inputs, run: Any) -> Any:
    """`run` with the score of the call; the additive one by exponentials wherever they are in range."""
    if inputs.score_vector is None:
        return run(Dot())
    largest = jnp.maximum(jnp.abs(inputs.query).max(), jnp.abs(inputs.key).max())
    return jax.lax.cond(
        largest <= LIMIT, lambda: run(AdditiveByExponentials()), lambda: run(AdditiveByTanh())
    )


def _padded(x: Any, wide: int, fill: Any = 0) -> Array:
    x = jnp.asarray(x)
    return jnp.pad(x, ((0, 0), (0, wide), *((0, 0),) * (x.ndim - 2)), constant_values=fill) if wide else x


def _slice(x: Array, at: Int[Array, " rows"], size: int) -> Array:
    """x[:, at : at + size], one place for all rows or one each."""
    if at.shape[0] == 1:
        return jax.lax.dynamic_slice_in_dim(x, at[0], size, axis=1)
    return jax.vmap(lambda row, place: jax.lax.dynamic_slice_in_dim(row, place, size))(x, at)


def _put(x: Array, at: Int[Array, " rows"], part: Array) -> Array:
    """x with the positions from `at` on replaced by `part`."""
    if at.shape[0] == 1:
        return jax.lax.dynamic_update_slice_in_dim(x, part, at[0], axis=1)

    def put(row, place, new):
        return jax.lax.dynamic_update_slice_in_dim(row, new, place, axis=0)

    return jax.vmap(put)(x, at, part)


def _add(x: Array, at: Int[Array, " rows"], part: Array) -> Array:
    return _put(x, at, _slice(x, at, part.shape[1]) + part)
