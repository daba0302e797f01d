"""The scan over windows against the same scan differentiated as it stands."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kernels.attention.stepwise import scan_windows

STEPS, BATCH, N, WIDTH, DIM = 7, 3, 20, 5, 4


def advance(parameters, carry, x):
    inner = jnp.tanh(carry @ parameters["a"] + x["feature"])
    return inner, x["place"].astype(jnp.int32)


def read(parameters, inner, x, window, first):
    places = first[:, None] + jnp.arange(window["key"].shape[1], dtype=jnp.int32)[None, :]
    near = jnp.abs(places - x["place"].astype(jnp.int32)[:, None]) < WIDTH
    shares = jax.nn.softmax(
        jnp.where(near, jnp.einsum("bd,bwd->bw", inner @ parameters["b"], window["key"]), -jnp.inf)
    )
    found = jnp.einsum("bw,bwd->bd", shares, window["value"])
    return jnp.sin(inner + found), {"found": found, "shares": shares.max(axis=1)}


def plain(parameters, carry, inputs, memory, width):
    """Without a derivative of its own; windows by indices."""

    def step(carry, x):
        inner, first = advance(parameters, carry, x)
        first = jnp.clip(first, 0, max(N - width, 0))
        places = first[:, None] + jnp.arange(min(width, N), dtype=jnp.int32)[None, :]
        window = {name: jnp.take_along_axis(array, places[:, :, None], 1) for name, array in memory.items()}
        return read(parameters, inner, x, window, first)

    return jax.lax.scan(step, carry, inputs)


def ours(parameters, carry, inputs, memory, width):
    return scan_windows(advance, read, parameters, carry, inputs, memory, width=width)


def problem(seed=0):
    random = np.random.default_rng(seed)
    normal = lambda *shape: jnp.asarray(random.normal(size=shape), jnp.float32)  # noqa: E731
    places = jnp.asarray(random.integers(0, N, (STEPS, BATCH)), jnp.float32)
    parameters = {"a": normal(DIM, DIM), "b": normal(DIM, DIM)}
    inputs = {"feature": normal(STEPS, BATCH, DIM), "place": places}
    return (
        parameters,
        normal(BATCH, DIM),
        inputs,
        {"key": normal(BATCH, N, DIM), "value": normal(BATCH, N, DIM)},
    )


def loss(scan, width):
    def total(*given):
        last, outputs = scan(*given, width)
        return jnp.sum(jnp.cos(last)) + jnp.sum(outputs["found"] ** 2) + jnp.sum(outputs["shares"])

    return total


@pytest.mark.parametrize("width", [WIDTH, N, N + 9])
def test_values_and_gradients_are_those_of_the_plain_scan(width):
    given = problem()
    found = jax.jit(lambda *g: ours(*g, width))(*given)
    wanted = jax.jit(lambda *g: plain(*g, width))(*given)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), found, wanted)
    everything = (0, 1, 2, 3)
    found = jax.jit(jax.grad(loss(ours, width), everything))(*given)
    wanted = jax.jit(jax.grad(loss(plain, width), everything))(*given)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), found, wanted)
    assert np.abs(found[3]["key"]).max() > 0
    assert not found[2]["place"].any()


def test_windows_at_the_end_are_moved_back_and_not_counted_twice():
    given = problem()
    given[2]["place"] = jnp.full((STEPS, BATCH), N - 1.0)
    of_memory = jax.grad(loss(ours, WIDTH), 3)(*given)
    assert not of_memory["value"][:, : N - WIDTH].any()
    wanted = jax.grad(loss(plain, WIDTH), 3)(*given)
    np.testing.assert_allclose(of_memory["value"], wanted["value"], rtol=1e-4, atol=1e-6)


def test_vmap_over_parameters_and_memory():
    problems = [problem(seed) for seed in range(3)]
    stacked = jax.tree.map(lambda *x: jnp.stack(x), *problems)
    gradient = jax.grad(loss(ours, WIDTH), (0, 3))
    found = jax.jit(jax.vmap(gradient))(*stacked)
    for number, one in enumerate(problems):
        jax.tree.map(
            lambda a, b, number=number: np.testing.assert_allclose(a[number], b, rtol=1e-4, atol=1e-5),
            found,
            gradient(*one),
        )


def test_no_array_of_the_backward_pass_has_a_memory_for_every_step():
    shapes = str(jax.make_jaxpr(jax.grad(loss(ours, WIDTH), (0, 1, 2, 3)))(*problem()))
    assert f"f32[{BATCH},{N},{DIM}]" in shapes
    assert f"f32[{STEPS},{BATCH},{N},{DIM}]" not in shapes
    # in the loops the memory is read by windows and added to by windows: nothing else makes one
    made = [line for line in shapes.splitlines() if f":f32[{BATCH},{N},{DIM}] = " in line]
    assert made
    assert all("scatter-add" in line or "broadcast_in_dim" in line for line in made)
