"""`attend`: one attention operation for every score, alignment and device."""

import importlib
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from kernels.attention import banded, reference, weights
from kernels.attention.alignment import Alignment, Global, Ranges, Size
from kernels.attention.reference import Inputs

SCORES = ("dot", "additive")
IMPLEMENTATIONS = ("reference", "xla", "pallas", "native")


class Weights(NamedTuple):
    """Attention weights inside the ranges alone.

    Attributes:
        values: a_t(s), [..., m, w], with w the most keys that any range of the alignment can have.
        positions: s, the key of each weight, int32 [..., m, w]; -1 where there is none.
    """

    values: Float[Array, "*batch m w"]
    positions: Int[Array, "*batch m w"]


def attend(
    query: Array,
    key: Array,
    value: Array,
    *,
    score: str = "dot",
    score_vector: Array | None = None,
    alignment: Alignment = Global(),  # noqa: B008 (frozen)
    query_lengths: Any = None,
    key_lengths: Any = None,
    key_mask: Any = None,
    return_weights: bool = False,
    implementation: str | None = None,
) -> Any:
    """Context of each query: the mean of the values in its range, weighted by the scores.

        dot       e_ts = query_t . key_s                           (general: query = W^T h_t, key = s)
        additive  e_ts = v . tanh(query_t + key_s)                 (concat: query = W1 h_t, key = W2 s)
        a_t = softmax of e_t over the keys of t,   c_t = sum_s a_t(s) value_s

    Queries and keys are given projected; scale the queries for a scaled score. Computed and
    accumulated in float32 at least. A query without keys (padding, a silent word, masked keys
    only) has the context zero and zero gradients.

    Args:
        query: [..., m, d].
        key: [..., n, d], the leading dimensions those of the query.
        value: [..., n, dv].
        score: "dot" or "additive".
        score_vector: v of the additive score, [d].
        alignment: `Global()`, `SlidingWindow(width)`, `LocalMonotonic(half_width)`,
            `LocalPredictive(half_width, centres)` or `Forced(spans)`.
        query_lengths: true lengths of the queries, integers of the leading dimensions
            (or the first of them); default m.
        key_lengths: the same of the keys; default n. Both lengths lay out the alignment.
        key_mask: keys that count, [..., n], where more than an end is to be left out.
        return_weights: also give `Weights`, differentiable.
        implementation: "reference" (materialised), "xla", "pallas" (GPU or TPU), "native" (CPU,
            built by `make native`), or None: "native" where it can serve, else "xla".

    Returns:
        context [..., m, dv] in the type of the values; with return_weights (context, Weights).

    Raises:
        ValueError: before compilation, where shapes, types, lengths, the score, the alignment or
            the implementation do not fit.

    Sources: Bahdanau, Cho and Bengio 2015, appendix A.1.2 (additive); Luong, Pham and Manning
    2015, equations 7 to 10 (dot, general, concat, local).
    """
    _check_score(score, score_vector)
    batch = _check_shapes(query, key, value, score_vector)
    rows, (m, n) = int(np.prod(batch)), (query.shape[-2], key.shape[-2])
    size = Size(
        rows, m, n,
        _lengths(query_lengths, "query_lengths", batch, m),
        _lengths(key_lengths, "key_lengths", batch, n),
    )  # fmt: skip
    inputs = Inputs(
        query.reshape(rows, *query.shape[-2:]),
        key.reshape(rows, *key.shape[-2:]),
        value.reshape(rows, *value.shape[-2:]),
        score_vector,
        None if key_mask is None else jnp.asarray(_over(key_mask, "key_mask", batch, (n,), np.bool_)),
    )
    ranges, sigma = alignment.ranges(size), getattr(alignment, "sigma", None)
    context = _implementation(implementation, inputs, ranges)(inputs, ranges, sigma)
    context = context.reshape(*batch, *context.shape[1:])
    if not return_weights:
        return context
    found = weights.banded(inputs, ranges, sigma)
    return context, Weights(*(x.reshape(*batch, *x.shape[1:]) for x in found))


FUSED = {("native", "cpu"): "native", ("pallas", "gpu"): "pallas_gpu", ("pallas", "tpu"): "pallas_tpu"}
UNASKED = ("native",)  # the Pallas kernels have not run on a device yet: they serve when they are named


def _implementation(name: str | None, inputs: Inputs, ranges: Ranges) -> Any:
    """The function that serves; one that is named serves, or the reason why it cannot is raised."""
    if name is not None and name not in IMPLEMENTATIONS:
        raise ValueError(f"implementation={name!r} is unknown; known: {', '.join(IMPLEMENTATIONS)}")
    if name in ("reference", "xla"):
        return reference.attend if name == "reference" else banded.attend
    platform = jax.default_backend()
    for (fused, where), place in FUSED.items():
        if where == platform and (name == fused or (name is None and fused in UNASKED)):
            module = importlib.import_module(f"kernels.attention.{place}")  # only where it can run
            reason = module.why_not(inputs, ranges)
            if reason is None:
                return module.attend
            if name is not None:
                raise ValueError(f'implementation={name!r} cannot serve: {reason}; leave it out or use "xla"')
    if name is not None:
        raise ValueError(f'implementation={name!r} does not run on the {platform}; leave it out or use "xla"')
    return banded.attend


def _check_score(score: str, score_vector: Any) -> None:
    if score not in SCORES:
        raise ValueError(
            f'score={score!r} is unknown; known: dot, additive ("general" is dot, "concat" additive, '
            "of projected queries and keys)"
        )
    if (score == "additive") != (score_vector is not None):
        remedy = "give v, [d]" if score == "additive" else "leave it out"
        raise ValueError(f"score={score!r} with score_vector={_shape(score_vector)}: {remedy}")


def _check_shapes(query: Any, key: Any, value: Any, score_vector: Any) -> tuple[int, ...]:
    """The leading dimensions, after a check that everything fits."""
    shapes = f"query {_shape(query)}, key {_shape(key)}, value {_shape(value)}"
    arrays = {"query": query, "key": key, "value": value}
    if score_vector is not None:
        arrays["score_vector"] = score_vector
    if any(a.ndim < 2 for a in (query, key, value)):
        raise ValueError(f"{shapes}: each needs [..., positions, features]")
    batch = query.shape[:-2]
    if key.shape[:-2] != batch or value.shape[:-2] != batch:
        raise ValueError(f"{shapes}: the leading dimensions (batch, heads) differ; broadcast or repeat them")
    if key.shape[-1] != query.shape[-1]:
        raise ValueError(f"{shapes}: query and key differ in features; project both to one size")
    if value.shape[-2] != key.shape[-2]:
        raise ValueError(f"{shapes}: key and value differ in positions; each key has one value")
    if 0 in query.shape or 0 in key.shape or 0 in value.shape:
        raise ValueError(f"{shapes}: a dimension is 0; pad to at least one position and give the lengths")
    if score_vector is not None and score_vector.shape != query.shape[-1:]:
        raise ValueError(
            f"score_vector {_shape(score_vector)}, query {_shape(query)}: v needs one entry a feature"
        )
    types = {name: a.dtype.name for name, a in arrays.items()}
    if len(set(types.values())) > 1 or not jnp.issubdtype(query.dtype, jnp.floating):
        raise ValueError(f"{types}: all need one floating type; cast them with astype")
    return batch


def _lengths(lengths: Any, name: str, batch: tuple[int, ...], padded: int) -> Any:
    """Lengths of the flattened leading dimensions; those known before tracing are checked."""
    if lengths is None:
        return None
    lengths = _over(lengths, name, batch, (), np.integer)
    if isinstance(lengths, np.ndarray) and ((lengths < 0) | (lengths > padded)).any():
        wrong = lengths[(lengths < 0) | (lengths > padded)][0]
        raise ValueError(f"{name} holds {wrong}; a length lies within 0 and the padded {padded}")
    return lengths.astype(np.int32)


def _over(array: Any, name: str, batch: tuple[int, ...], last: tuple[int, ...], kind: Any) -> Any:
    """The array, of the first leading dimensions or all, repeated over the others and flattened."""
    array = array if hasattr(array, "dtype") else np.asarray(array)
    lead = array.shape[: array.ndim - len(last)]
    if not jnp.issubdtype(array.dtype, kind):
        raise ValueError(f"{name} has type {array.dtype}; it needs {kind.__name__}")
    if array.shape[len(lead) :] != last or lead != batch[: len(lead)]:
        raise ValueError(
            f"{name} has shape {array.shape}; it needs the leading dimensions {batch}, then {last}"
        )
    xp = np if isinstance(array, np.ndarray) else jnp
    spread = array.reshape(*lead, *(1,) * (len(batch) - len(lead)), *last)
    return xp.broadcast_to(spread, (*batch, *last)).reshape(-1, *last)


def _shape(array: Any) -> str:
    return "None" if array is None else f"{list(array.shape)}"
