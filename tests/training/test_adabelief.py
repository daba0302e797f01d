"""AdaBelief with AMSGrad beside the authors' own package and beside optax."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mer_jax.training.adabelief import scale_by_amsbelief

CURVATURE, PULL = np.array([1.0, 0.3, 2.0]), np.array([5.0, -3.0, 1.0])
START = [1.0, -2.0, 0.5]
RATE = 0.1

# Parameters after 1, 5 and 20 steps of adabelief_pytorch.AdaBelief, version 0.2.1, on torch 2.13.0+cpu in
# float64: lr=.1, betas=(.9, b2), eps=1e-16, weight_decouple=True, rectify=False; keys: amsgrad, b2, weight_decay.
AUTHORS = {
    (True, 0.999, 0.01): [
        [0.8878888888888892, -1.8868888888888895, 0.38838888888889056],
        [0.4516086844677851, -1.440853558500631, -0.06454780121482424],
        [-0.29281536139615, -0.3983169658896537, -0.1810167028398415],
    ],
    (False, 0.999, 0.01): [
        [0.8878888888888892, -1.8868888888888895, 0.38838888888889056],
        [0.4516086844677851, -1.440853558500631, -0.06457926049518722],
        [-0.29281536139615, -0.3981177878534525, -0.18096201241123938],
    ],
    (True, 0.9, 0.01): [
        [0.887888888888889, -1.8868888888888888, 0.3883888888888889],
        [0.4539848284071904, -1.4445559409622064, -0.06171196154499845],
        [-0.19662496424386017, -0.5554560574513339, -0.20314766189591335],
    ],
    (False, 0.9, 0.01): [
        [0.887888888888889, -1.8868888888888888, 0.3883888888888889],
        [0.4409356828436677, -1.4301879655272907, -0.07812388513575838],
        [-0.45022196852673113, -0.16251998215780739, -0.12133708083754713],
    ],
    (True, 0.9, 0.0): [
        [0.888888888888889, -1.8888888888888888, 0.3888888888888889],
        [0.4578235155999375, -1.453507301136048, -0.060486812289467284],
        [-0.19282247624704393, -0.5762114187818804, -0.20525191692852318],
    ],
}


def gradient(weights, step):
    """Of w'Aw/2 + sum sin(3w)/10, with a pull in the first three steps."""
    return CURVATURE * weights + 0.3 * jnp.cos(3 * weights) + (PULL if step < 3 else 0 * PULL)


def descend(direction, decay, steps=20):
    """[steps, 3] weights after each step of `direction` with decoupled weight decay."""
    chain = optax.chain(direction, optax.add_decayed_weights(decay), optax.scale_by_learning_rate(RATE))
    weights = jnp.array(START)
    state, course = chain.init(weights), []
    with jax.numpy_dtype_promotion("standard"):  # optax multiplies real by whole numbers
        for step in range(steps):
            updates, state = chain.update(gradient(weights, step), state, weights)
            weights = optax.apply_updates(weights, updates)
            course.append(np.asarray(weights))
    return np.stack(course)


@pytest.mark.parametrize("case", AUTHORS)
def test_agrees_with_the_authors_package(case):
    amsgrad, b2, decay = case
    with jax.enable_x64(True):
        direction = scale_by_amsbelief(b2=b2) if amsgrad else optax.scale_by_belief(b2=b2)
        course = descend(direction, decay)
    np.testing.assert_allclose(course[[0, 4, 19]], AUTHORS[case], rtol=1e-12)


def both(gradients, dtype=jnp.float32, **options):
    """Updates of ours, under strict promotion, and of optax, for a sequence of gradients."""
    ours, theirs = scale_by_amsbelief(**options), optax.scale_by_belief(**options)
    params = {"a": jnp.zeros(gradients.shape[1:], dtype)}
    states, found = [ours.init(params), theirs.init(params)], []
    for g in gradients:
        updates = {"a": jnp.asarray(g, dtype)}
        mine, states[0] = jax.jit(ours.update)(updates, states[0])
        with jax.numpy_dtype_promotion("standard"):
            optaxs, states[1] = theirs.update(updates, states[1])
        found.append((mine["a"], optaxs["a"]))
    return [jnp.stack(x) for x in zip(*found, strict=True)], states


@pytest.mark.parametrize("options", [{}, {"b1": 0.8, "b2": 0.95, "eps": 1e-8, "eps_root": 1e-7}])
def test_equals_optax_while_the_second_moment_only_grows(options):
    random = np.random.default_rng(0)
    growing = (
        random.choice([-1, 1], (20, 5)) * random.uniform(1, 1.4, (20, 5)) * 2.0 ** np.arange(20)[:, None]
    )
    (mine, optaxs), states = both(growing, **options)
    np.testing.assert_allclose(mine, optaxs, rtol=1e-6)
    np.testing.assert_array_equal(states[0].nu["a"], states[0].nu_max["a"])


def test_a_past_surprise_keeps_steps_small():
    gradients = np.concatenate([np.full((3, 2), 9.0), np.full((60, 2), 0.5)])
    (mine, optaxs), states = both(gradients, b2=0.9)
    assert (np.abs(mine[-1]) < 0.2 * np.abs(optaxs[-1])).all()
    assert (states[0].nu_max["a"] > 10 * states[0].nu["a"]).all()


def test_keeps_the_type_of_its_parameters():
    (mine, _), states = both(np.ones((2, 3)), dtype=jnp.bfloat16)
    assert mine.dtype == jnp.bfloat16
    assert {x.dtype.name for x in jax.tree.leaves(states[0])} == {"int32", "bfloat16"}


def test_a_gradient_of_zero_gives_no_step():
    (mine, _), _ = both(np.zeros((3, 2)))
    np.testing.assert_array_equal(mine, np.zeros((3, 2)))
