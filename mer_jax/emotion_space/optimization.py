"""Descent of an objective, many steps in one call, on every device."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from mer_jax.emotion_space.network import EmbeddingNetwork, initial
from mer_jax.emotion_space.objectives import Settings, gradient
from mer_jax.training.data_parallel import DataParallel

TOGETHER = 50  # steps in one call: between two calls progress is shown and held-out rows are looked at


@dataclasses.dataclass(frozen=True)
class Descent:
    """How the network is fitted.

    hidden, components: of the network. steps: in all. learning_rate: Adam's first; it falls to 0 as a cosine.
    exaggeration: of the attraction, over the first `exaggerated` steps. settings: of the objective.
    seed: of the start and all draws.
    """

    hidden: tuple[int, ...]
    components: int
    steps: int
    learning_rate: float
    exaggeration: float
    exaggerated: int
    settings: Settings
    seed: int


class _State(NamedTuple):
    params: Any
    moments: Any
    data: Any


def descend(
    plan: Descent,
    data: Any,
    parallel: DataParallel,
    after: Callable[[int, float, Any], bool] = lambda step, value, params: True,
) -> Any:
    """The fitted parameters.

    data: of `objectives`. after: told steps done, the mean divergence of the last call and the parameters;
    False ends the descent.
    """
    network = EmbeddingNetwork(plan.hidden, plan.components)
    params = initial((data.rows.shape[1], *plan.hidden, plan.components), plan.seed)
    calls = max(1, round(plan.steps / TOGETHER))
    together = -(-plan.steps // calls)
    adam = _adam(plan, calls * together)
    state = parallel.place_state(_State(params, jax.jit(adam.init)(params), data))
    step = parallel.train(functools.partial(_steps, plan, network, adam))
    for call in range(calls):
        numbers = np.arange(call * together, (call + 1) * together, dtype=np.int32)
        batch = parallel.place_batch(np.repeat(numbers[:, None], parallel.count, 1), axis=1)
        state, values = step(state, batch)
        params = parallel.one_copy(state.params)
        if not after((call + 1) * together, float(parallel.one_copy(values).mean()), params):
            break
    return params


def _adam(plan: Descent, steps: int) -> optax.GradientTransformation:
    return optax.adam(optax.cosine_decay_schedule(plan.learning_rate, steps))


def _steps(plan: Descent, network: Any, adam: Any, state: _State, numbers: Any) -> tuple[_State, Any]:
    """As many steps as there are numbers, [steps, 1], on one device."""

    def advance(carried: Any, number: Any) -> Any:
        params, moments = carried
        key = jax.random.fold_in(jax.random.key(plan.seed), number)
        exaggeration = jnp.where(number < plan.exaggerated, plan.exaggeration, 1.0).astype(jnp.float32)
        value, slope = gradient(network.apply, params, state.data, plan.settings, key, exaggeration)
        with jax.numpy_dtype_promotion("standard"):  # optax multiplies real by whole numbers
            updates, moments = adam.update(slope, moments, params)
        return (optax.apply_updates(params, updates), moments), value

    (params, moments), values = jax.lax.scan(advance, (state.params, state.moments), numbers[:, 0])
    return _State(params, moments, state.data), values
