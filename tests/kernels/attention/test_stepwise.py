"""One query a row at a time: every implementation against the definition, and the scan around it."""

import functools
import platform

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kernels.attention import reference
from kernels.attention.alignment import Ranges
from kernels.attention.native import library
from kernels.attention.native.step import Looks
from kernels.attention.reference import Inputs
from kernels.attention.stepwise import Pulled, scan_attending
from kernels.attention.windows import Look, Memory, Windows
from tests.kernels.attention.base import assert_close
from tests.kernels.native_library import built, needs_compiler

B, N, SIGMA = 4, 300, 3.0
built_library = built(library)
WINDOWS = {  # first and last key of each row
    "narrow": ([0, 40, 290, 5], [8, 40, 299, 12]),
    "wide": ([0, 5, 100, 30], [299, 200, 290, 170]),
    "empty": ([0, N, 50, N], [20, -1, 40, -1]),
    "beyond": ([-7, 20, 280, 299], [10, 60, 310, 305]),
}


def random_of(seed):
    random = np.random.default_rng(seed)
    return random, lambda *shape: jnp.asarray(random.normal(size=shape), jnp.float32)


def memory_of(score, holes, seed=0, d=37, dv=21):
    random, normal = random_of(seed)
    mask = jnp.asarray(random.random((B, N)) < 0.6) if holes else None
    return Memory(normal(B, N, d), normal(B, N, dv), normal(d) if score == "additive" else None, mask)


def look_of(window, gaussian, seed=1, d=37):
    _, normal = random_of(seed)
    start, end = (jnp.asarray(x, jnp.int32) for x in WINDOWS[window])
    centre = jnp.asarray([4.3, 41.0, 285.2, 9.9], jnp.float32) if gaussian else None
    return Look(normal(B, d), start, end, centre)


def defined(memory, look, sigma):
    centre = None if look.centre is None else look.centre[:, None]
    inputs = Inputs(look.query[:, None], *memory)
    return reference.attend(inputs, Ranges(look.start[:, None], look.end[:, None], centre), sigma)[:, 0]


def wanted(memory, look, sigma, cotangent):
    """Context and gradients of query, centre, key, value, score vector, by differentiating the definition."""

    def context(query, centre, key, value, vector):
        here = Memory(key, value, vector, memory.mask)
        return defined(here, look._replace(query=query, centre=centre), sigma)

    found, pull = jax.vjp(context, look.query, look.centre, *memory[:3])
    return found, pull(cotangent)


def found_by(attention, memory, look, cotangent, steps=1):
    """The same, the backward pass made `steps` times."""
    context, saved = attention.forward(memory, look)

    def step(sums, _):
        of_look, sums = attention.backward(memory, look, context, saved, cotangent, sums)
        return sums, (of_look.query, of_look.centre)

    sums, found = jax.lax.scan(step, attention.nothing(memory), length=steps)
    of_query, of_centre = jax.tree.map(lambda x: x[-1], found)
    return context, (of_query, of_centre, *attention.gradients(sums))


class StepTests:
    """What holds for every implementation of one step; a subclass gives `made(width, sigma)`."""

    def agrees(self, memory, look, tolerance=1e-5):
        _, normal = random_of(2)
        cotangent = normal(B, memory.value.shape[-1])
        attention = self.made(N, SIGMA)
        found = jax.jit(functools.partial(found_by, attention))(memory, look, cotangent)
        expected = wanted(memory, look, SIGMA, cotangent)
        jax.tree.map(lambda a, b: assert_close(a, b, tolerance, "context or gradient"), found, expected)

    @pytest.mark.parametrize("score", ["dot", "additive"])
    @pytest.mark.parametrize("holes", [False, True])
    @pytest.mark.parametrize("gaussian", [False, True])
    @pytest.mark.parametrize("window", WINDOWS)
    def test_values_and_gradients_are_those_of_the_reference(self, score, holes, gaussian, window):
        self.agrees(memory_of(score, holes), look_of(window, gaussian))

    @pytest.mark.parametrize("features", [(1, 1), (16, 64), (200, 200), (67, 130)])
    def test_any_number_of_features(self, features):
        d, dv = features
        self.agrees(memory_of("additive", False, d=d, dv=dv), look_of("narrow", False, d=d))

    def test_large_projections_that_cancel_keep_their_score(self):
        memory, look = memory_of("additive", False), look_of("wide", False)
        self.agrees(memory._replace(key=memory.key - 90), look._replace(query=look.query + 90), 2e-5)

    @pytest.mark.parametrize("score", ["dot", "additive"])
    def test_large_scores_keep_their_order(self, score):
        memory, look = memory_of(score, True), look_of("wide", False)
        vector = None if score == "dot" else 60 * memory.score_vector
        self.agrees(memory._replace(score_vector=vector), look._replace(query=10 * look.query), 2e-4)

    def test_each_step_adds_to_the_sums(self):
        memory, look = memory_of("additive", True), look_of("wide", True)
        cotangent = jnp.ones((B, 21), jnp.float32)
        attention = self.made(N, SIGMA)
        _, (_, _, *once) = found_by(attention, memory, look, cotangent)
        _, (_, _, *thrice) = jax.jit(functools.partial(found_by, attention, steps=3))(memory, look, cotangent)
        for one, three in zip(once, thrice, strict=True):
            assert_close(three, 3 * one, 1e-5, "sum over steps")

    @pytest.mark.parametrize("mapped", [(0, 0), (0, None), (None, 0)])
    def test_vmap_over_memory_or_look(self, mapped):
        memories = [memory_of("additive", True, seed) for seed in (3, 4)]
        looks = [look_of("wide", True, seed) for seed in (5, 6)]
        cotangent = jnp.ones((B, 21), jnp.float32)
        stacked = [
            jax.tree.map(lambda *x: jnp.stack(x), *x) if axis == 0 else x[0]
            for x, axis in zip((memories, looks), mapped, strict=True)
        ]
        run = functools.partial(found_by, self.made(N, SIGMA))
        found = jax.jit(jax.vmap(run, (*mapped, None)))(*stacked, cotangent)
        for k in (0, 1):
            expected = wanted(memories[k * (mapped[0] == 0)], looks[k * (mapped[1] == 0)], SIGMA, cotangent)
            jax.tree.map(lambda a, b, k=k: assert_close(a[k], b, 1e-5, "mapped"), found, expected)

    def test_vmap_twice(self):
        memory, look = memory_of("additive", False), look_of("wide", False)
        keys = jnp.stack([memory.key, memory.key + 1, memory.key - 1])
        queries = jnp.stack([look.query, look.query + 1])
        attention = self.made(N, None)

        def context(query, key):
            return attention.forward(memory._replace(key=key), look._replace(query=query))[0]

        found = jax.jit(jax.vmap(jax.vmap(context, (None, 0)), (0, None)))(queries, keys)
        for i, query in enumerate(queries):
            for j, key in enumerate(keys):
                expected = defined(memory._replace(key=key), look._replace(query=query), None)
                assert_close(found[i, j], expected, 1e-5, "mapped twice")


class TestWindows(StepTests):
    made = staticmethod(Windows)

    def test_a_window_at_the_end_is_moved_back(self):
        memory, look = memory_of("additive", False), look_of("narrow", False)
        cotangent = jnp.ones((B, 21), jnp.float32)
        found = found_by(Windows(11, None), memory, look, cotangent)
        jax.tree.map(
            lambda a, b: assert_close(a, b, 1e-5, "narrow"), found, wanted(memory, look, None, cotangent)
        )


@needs_compiler
class TestNative(StepTests):
    @staticmethod
    def made(width, sigma, threads=0):
        return Looks(library.name(), sigma, threads)

    def test_any_number_of_threads_and_each_run_give_the_same_bytes(self):
        memory, look = memory_of("additive", True), look_of("wide", True)
        cotangent = jnp.ones((B, 21), jnp.float32)
        found = [
            found_by(self.made(N, SIGMA, threads), memory, look, cotangent) for threads in (1, 2, 3, 8, 8)
        ]
        for again in found[1:]:
            jax.tree.map(np.testing.assert_array_equal, again, found[0])

    def test_a_nan_is_not_hidden(self):
        memory, look = memory_of("additive", True), look_of("wide", False)
        found, _ = self.made(N, None).forward(memory, look._replace(query=look.query.at[1, 3].set(jnp.nan)))
        assert np.isnan(found[1]).all()
        assert np.isfinite(found[0]).all()

    @pytest.mark.slow
    @pytest.mark.parametrize("machine", ["x86-64-v2", "x86-64-v3"])
    def test_narrower_vectors_give_the_same(self, machine, monkeypatch, tmp_path):
        if platform.machine() != "x86_64":
            pytest.skip(f"{machine} is no {platform.machine()}")
        monkeypatch.setattr(library, "machine", machine)
        monkeypatch.setattr(library, "build_folder", tmp_path)
        library.build()
        for score in ("dot", "additive"):
            for window in WINDOWS:
                self.agrees(memory_of(score, True), look_of(window, True))


STEPS, WIDTH, DIM = 7, 5, 4


class Walk:
    """A step whose query and next place depend on what was found; W of the query, U of the carry.

    q = tanh(x + W carry),  carry' = tanh(U q + context)
    """

    def ask(self, parameters, carry, x):
        query = jnp.tanh(x["feature"] + carry @ parameters["w"])
        start = x["place"].astype(jnp.int32)
        return Look(query, start, start + WIDTH - 1), query, None

    def tell(self, parameters, carry, x, told, context):
        after = jnp.tanh(told @ parameters["u"] + context)
        return after, {"query": told, "after": after}

    def pull_tell(self, turned, at, of_carry, of_output):
        of_sum = (of_carry + of_output["after"]) * (1 - at.output["after"] ** 2)
        return of_sum, (of_sum, of_sum @ turned["u"] + of_output["query"])

    def pull_ask(self, parameters, turned, at, told, of_look):
        of_sum, of_query = told
        of_inner = (of_query + of_look.query) * (1 - at.output["query"] ** 2)
        of_x = {"feature": of_inner, "place": jnp.zeros_like(at.x["place"])}
        return Pulled(of_inner @ turned["w"], of_x, (of_sum, of_inner))

    def gradients(self, parameters, steps, of_inputs, left):
        of_sum, of_inner = left
        product = functools.partial(jnp.einsum, "tbd,tbe->de")
        return {"w": product(steps.carry, of_inner), "u": product(steps.output["query"], of_sum)}


WALK = Walk()


def walk(seed=0):
    random, normal = random_of(seed)
    inputs = {
        "feature": normal(STEPS, B, DIM),
        "place": jnp.asarray(random.integers(-2, N, (STEPS, B)), jnp.float32),
    }
    parameters = {"w": normal(DIM, DIM), "u": normal(DIM, DIM)}
    return parameters, normal(B, DIM), inputs, memory_of("additive", True, seed, DIM, DIM)


def loss(implementation, width=WIDTH):
    def total(parameters, carry, inputs, key, value, vector, mask):
        memory = Memory(key, value, vector, mask)
        last, outputs = scan_attending(
            WALK, parameters, carry, inputs, memory, width=width, implementation=implementation
        )
        return jnp.sum(jnp.cos(last)) + jnp.sum(outputs["after"] ** 2) + jnp.sum(jnp.sin(outputs["query"]))

    return total


def gradients(implementation, width=WIDTH):
    return jax.jit(jax.value_and_grad(loss(implementation, width), argnums=tuple(range(6))))


IMPLEMENTATIONS = ["xla", pytest.param("native", marks=needs_compiler)]


def flat(seed=0):
    parameters, carry, inputs, memory = walk(seed)
    return parameters, carry, inputs, *memory


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("width", [WIDTH, N, N + 9])
def test_values_and_gradients_are_those_of_the_plain_scan(implementation, width):
    found, expected = gradients(implementation, width)(*flat()), gradients("reference")(*flat())
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), found, expected)
    assert np.abs(found[1][3]).max() > 0
    assert not found[1][2]["place"].any()


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_vmap_over_everything(implementation):
    stacked = jax.tree.map(lambda *x: jnp.stack(x), *(flat(seed) for seed in range(3)))
    found = jax.jit(jax.vmap(gradients(implementation)))(*stacked)
    for k in range(3):
        jax.tree.map(
            lambda a, b, k=k: np.testing.assert_allclose(a[k], b, rtol=1e-4, atol=1e-5),
            found,
            gradients("reference")(*flat(k)),
        )


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("way", ["pmap", "shard_map"])
def test_several_devices(implementation, way):
    devices = jax.devices()
    assert len(devices) > 1, "tests/conftest.py makes several"
    parts = [flat(seed) for seed in range(len(devices))]
    stacked = jax.tree.map(lambda *x: jnp.stack(x), *parts)
    if way == "pmap":
        found = jax.pmap(gradients(implementation))(*stacked)
    else:
        mesh = jax.sharding.Mesh(np.array(devices), ("data",))
        along = jax.sharding.PartitionSpec("data")
        one = lambda given: jax.tree.map(  # noqa: E731
            lambda x: x[None], gradients(implementation)(*jax.tree.map(lambda x: x[0], given))
        )
        found = jax.jit(jax.shard_map(one, mesh=mesh, in_specs=along, out_specs=along, check_vma=False))(
            stacked
        )
    for k, part in enumerate(parts):
        jax.tree.map(
            lambda a, b, k=k: np.testing.assert_allclose(np.asarray(a)[k], b, rtol=1e-4, atol=1e-5),
            found,
            gradients("reference")(*part),
        )


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_no_array_of_the_backward_pass_has_a_memory_for_every_step(implementation):
    shapes = str(jax.make_jaxpr(jax.grad(loss(implementation), tuple(range(6))))(*flat()))
    assert f"f32[{B},{N},{DIM}]" in shapes
    assert f"f32[{STEPS},{B},{N},{DIM}]" not in shapes
    # in the loops the memory is added to in place: nothing else makes one
    made = [line for line in shapes.splitlines() if f":f32[{B},{N},{DIM}] = " in line]
    assert made
    assert all(any(name in line for name in ("scatter-add", "broadcast_in_dim", "ffi_call")) for line in made)


def test_without_the_library_a_named_kernel_says_what_to_run(monkeypatch, tmp_path):
    monkeypatch.setattr(library, "build_folder", tmp_path)
    with pytest.raises(ValueError, match="make native"):
        loss("native")(*flat())
    assert np.isfinite(loss(None)(*flat()))


def test_an_unknown_implementation_is_refused_by_name():
    with pytest.raises(ValueError, match="'pallas' is unknown; known: reference, xla, native"):
        loss("pallas")(*flat())


def test_double_precision_runs_through_xla():
    with jax.enable_x64(True):
        given = jax.tree.map(lambda x: x if x.dtype == bool else x.astype(jnp.float64), flat())
        assert loss(None)(*given).dtype == jnp.float64
        with pytest.raises(ValueError, match="float64"):
            loss("native")(*given)
