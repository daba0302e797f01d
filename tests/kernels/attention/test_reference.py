"""The definition against a plain loop over queries and keys in NumPy, float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from kernels.attention import reference
from tests.kernels.attention.base import CASES, SCORES, AttentionTests, assert_close, problem


def by_hand(inputs, ranges, sigma):
    """The formulas of the papers, one query and one key at a time."""
    query, key, value = (np.asarray(x, np.float64) for x in inputs[:3])
    batch, m = query.shape[:2]
    start, end = (np.broadcast_to(np.asarray(x), (batch, m)) for x in ranges[:2])
    context = np.zeros((batch, m, value.shape[-1]))
    for b, t in np.ndindex(batch, m):
        keys = [
            s for s in range(start[b, t], end[b, t] + 1) if inputs.key_mask is None or inputs.key_mask[b, s]
        ]
        if not keys:
            continue
        if inputs.score_vector is None:
            scores = [float(query[b, t] @ key[b, s]) for s in keys]
        else:
            vector = np.asarray(inputs.score_vector, np.float64)
            scores = [float(vector @ np.tanh(query[b, t] + key[b, s])) for s in keys]
        raised = np.exp(np.array(scores) - max(scores))
        share = raised / raised.sum()
        if ranges.centre is not None:
            share *= np.exp(-((np.array(keys) - float(ranges.centre[b, t])) ** 2) / (2 * sigma**2))
        context[b, t] = share @ value[b, keys]
    return context


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_context_is_that_of_the_formulas(case, score):
    inputs, ranges, sigma = problem(case, score)
    assert_close(reference.attend(inputs, ranges, sigma), by_hand(inputs, ranges, sigma), 2e-6, "context")


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("name", ["window_ragged", "window_no_keys", "local_p_holes", "forced"])
def test_gradients_are_those_of_finite_differences(name, score):
    case = next(case for case in CASES if case.name == name)
    with jax.enable_x64(True):
        inputs, ranges, sigma = problem(case, score, jnp.float64)
        floats = {**inputs._asdict(), "centre": ranges.centre}
        floats = {k: x.astype(jnp.float64) for k, x in floats.items() if x is not None and k != "key_mask"}

        def context(floats):
            floats = jax.tree.map(jnp.asarray, floats)
            centre = {k: v for k, v in floats.items() if k == "centre"}
            moved = {k: v for k, v in floats.items() if k != "centre"}
            return reference.attend(inputs._replace(**moved), ranges._replace(**centre), sigma)

        check_grads(context, (floats,), order=1, modes=["rev"], atol=1e-6, rtol=1e-6)


class TestReference(AttentionTests):
    """The shared tests hold of the definition itself; what they add here are its own transformations."""

    attend = staticmethod(reference.attend)
    drawn = 3
