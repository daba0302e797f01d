"""The loop of the memory network: every implementation against the plain loop in float64."""

import dataclasses
import functools
import platform

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kernels import memory
from kernels.memory import Outputs, Weights, native
from kernels.memory.native import library
from tests.kernels.native_library import built, needs_compiler


@dataclasses.dataclass(frozen=True)
class Case:
    name: str
    batch: int
    time: int
    modalities: int = 3
    hidden: int = 3
    memory: int = 5
    units: int = 8
    feeds: bool = True


CASES = (
    Case("odd", 4, 6),
    Case("one", 1, 1, 1),
    Case("real", 35, 11, 3, 32, 128, 64),
    Case("many_blocks", 300, 2, 2, 17, 16, 33, feeds=False),
)


MASKED = Case("masked", 20, 5)


of_native = built(library)


def problem(case, seed=0):
    """Weights, inputs, which steps and which modalities there are: some of neither."""
    random = np.random.default_rng(seed)
    m, h, d, e = case.modalities, case.hidden, case.memory, case.units
    p = m * h
    shapes = Weights(
        (m, h, 4 * h), (m, 4 * h), (d, 4 * p) if case.feeds else None,
        (2 * p, e), (e,), (e, 2 * p), (2 * p,), (2 * p, 3 * e), (3 * e,), (d, 2 * e), (3, e, d), (3, d),
    )  # fmt: skip
    draw = lambda shape, scale: jnp.asarray(random.normal(0, scale, shape), jnp.float32)  # noqa: E731
    weights = Weights(
        *(None if s is None else draw(s, 1 / np.sqrt(s[-2] if len(s) > 1 else 4)) for s in shapes)
    )
    inputs = [draw((case.batch, case.time, 4 * h), 1) for _ in range(m)]
    lengths = random.integers(0, case.time + 1, case.batch)
    lengths[0] = case.time
    present = random.random((case.batch, m)) < 0.7
    present[0] = True
    return weights, inputs, jnp.arange(case.time)[None, :] < lengths[:, None], jnp.asarray(present)


def loss(outputs, only=Outputs._fields):
    """Something of every part that is named."""
    parts = (getattr(outputs, name) for name in only)
    return sum((jnp.sin(2 * x + 1) @ jnp.linspace(1, 2, x.shape[-1], dtype=x.dtype)).sum() for x in parts)


def with_gradients(run, weights, inputs, mask, present, only=Outputs._fields):
    """Outputs, and gradients of the weights and inputs."""

    def both(weights, inputs):
        outputs = run(weights, inputs, mask, present)
        return loss(outputs, only), outputs

    (_, outputs), gradients = jax.value_and_grad(both, argnums=(0, 1), has_aux=True)(weights, inputs)
    return outputs, gradients


def by(implementation):
    return lambda *given: memory.run(*given, implementation=implementation)


@functools.cache
def compiled(implementation, only=Outputs._fields):
    return jax.jit(lambda *given: with_gradients(by(implementation), *given, only))


def expected(given, only=Outputs._fields):
    with jax.enable_x64(True):
        wide = lambda x: jnp.asarray(np.asarray(x), jnp.float64 if x.dtype == jnp.float32 else x.dtype)  # noqa: E731
        return compiled("reference", only)(*jax.tree.map(wide, given))


def assert_same(found, wanted, tolerance=2e-5):
    def check(x, y):
        x, y = np.asarray(x), np.asarray(y)
        np.testing.assert_allclose(x, y, rtol=0, atol=tolerance * max(1, np.abs(y).max(initial=0)))

    jax.tree.map(check, found, wanted)


class MemoryTests:
    """What every implementation has to do."""

    implementation: str

    def found(self, given, only=Outputs._fields):
        return compiled(self.implementation, only)(*given)

    def test_small_numbers_keep_their_digits(self):
        """An update of 1e-4 is known to parts of itself, not of 1."""
        weights, *given = problem(CASES[0])
        given = (jax.tree.map(lambda x: 3e-4 * x, weights), *given)
        found, wanted = self.found(given)[0].memory, expected(given)[0].memory
        assert 1e-6 < np.abs(wanted).max() < 1e-2
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())

    @pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
    def test_values_and_gradients(self, case):
        given = problem(case)
        assert_same(self.found(given), expected(given))

    @pytest.mark.parametrize("only", [("last_hidden", "last_memory"), ("attention",)])
    def test_a_loss_of_some_of_the_outputs(self, only):
        given = problem(CASES[0])
        assert_same(self.found(given, only), expected(given, only))

    def test_without_a_gradient_the_same_is_given(self):
        given = problem(CASES[0])
        assert_same(jax.jit(by(self.implementation))(*given), self.found(given)[0], 1e-6)

    def test_what_is_not_there_does_not_matter(self):
        weights, inputs, mask, present = problem(MASKED)
        seen = [mask[:, :, None] & present[:, m, None, None] for m in range(3)]
        noisy = [jnp.where(there, x, 1e3) for there, x in zip(seen, inputs, strict=True)]
        (outputs, (of_weights, of_inputs)), (others, (of_others, _)) = (
            self.found((weights, x, mask, present)) for x in (noisy, inputs)
        )
        jax.tree.map(np.testing.assert_array_equal, outputs, others)
        assert_same(of_weights, of_others, 1e-6)
        assert not any(
            np.asarray(x)[~np.asarray(there)[..., 0]].any() for x, there in zip(of_inputs, seen, strict=True)
        )
        exists = np.asarray(mask & present.any(axis=1)[:, None])
        attention = np.asarray(outputs.attention)
        assert not attention[~exists].any()
        np.testing.assert_allclose(attention.sum(axis=-1), exists, atol=1e-6)
        assert not attention.reshape(20, 5, 2, 3, 3)[~np.asarray(present)[:, 0], :, :, 0].any()

    def test_a_nan_stays_in_its_example_and_is_not_hidden(self):
        weights, inputs, mask, present = problem(MASKED)
        inputs[0] = inputs[0].at[0, 1, 2].set(jnp.nan)
        outputs, _ = self.found((weights, inputs, mask, present))
        assert np.isnan(outputs.last_memory[0]).all()
        assert all(np.isfinite(x[1:]).all() for x in outputs)

    def test_members_at_once(self):
        several = [problem(CASES[0], seed) for seed in (1, 2, 3)]
        found = jax.jit(jax.vmap(compiled(self.implementation)))(*_stacked(several))
        for k, given in enumerate(several):
            assert_same(jax.tree.map(lambda x, k=k: x[k], found), expected(given))

    def test_members_on_one_batch(self):
        weights, *given = problem(CASES[0])
        several = jax.tree.map(lambda x: jnp.stack([x, 0.5 * x]), weights)
        found = jax.jit(jax.vmap(lambda w: compiled(self.implementation)(w, *given)))(several)
        assert_same(jax.tree.map(lambda x: x[0], found), expected((weights, *given)))

    @pytest.mark.parametrize("way", ["pmap", "shard_map"])
    def test_several_devices(self, way):
        devices = jax.devices()[:2]
        several = [problem(CASES[0], seed) for seed in range(len(devices))]
        stacked, one = _stacked(several), compiled(self.implementation)
        if way == "pmap":
            found = jax.pmap(one, devices=devices)(*stacked)
        else:
            along = jax.sharding.PartitionSpec("data")
            own = lambda *x: jax.tree.map(lambda x: x[None], one(*jax.tree.map(lambda x: x[0], x)))  # noqa: E731
            mesh = jax.sharding.Mesh(np.array(devices), ("data",))
            found = jax.jit(jax.shard_map(own, mesh=mesh, in_specs=along, out_specs=along, check_vma=False))(
                *stacked
            )
        for k, given in enumerate(several):
            assert_same(jax.tree.map(lambda x, k=k: np.asarray(x)[k], found), expected(given))


def _stacked(several):
    return jax.tree.map(lambda *x: jnp.stack(x), *several)


class TestXla(MemoryTests):
    implementation = "xla"


@needs_compiler
class TestNative(MemoryTests):
    implementation = "native"

    def test_threads_do_not_change_a_byte(self, monkeypatch):
        given, loop, found = problem(Case("blocks", 75, 3)), native.Loop, []
        for threads in (1, 2, 3):
            monkeypatch.setattr(native, "Loop", lambda *x, threads=threads: loop(*x, threads))
            found.append(jax.jit(lambda *x: with_gradients(by("native"), *x))(*given))
        for other in found[1:]:
            jax.tree.map(np.testing.assert_array_equal, found[0], other)

    def test_double_precision_is_refused_in_words(self):
        with jax.enable_x64(True):
            weights, inputs, *others = problem(CASES[0])
            wide = [x.astype(jnp.float64) for x in inputs]
            with pytest.raises(ValueError, match=r"takes float32, not float64.*\"xla\""):
                memory.run(weights, wide, *others, implementation="native")

    @pytest.mark.slow
    @pytest.mark.parametrize("machine", ["x86-64-v2", "x86-64-v3"])
    def test_narrower_vectors_give_the_same(self, machine, monkeypatch, tmp_path):
        if platform.machine() != "x86_64":
            pytest.skip(f"{machine} is no {platform.machine()}")
        monkeypatch.setattr(library, "machine", machine)
        monkeypatch.setattr(library, "build_folder", tmp_path)
        library.build()
        for case in CASES:
            found = jax.jit(lambda *x: with_gradients(by("native"), *x))(*problem(case))
            assert_same(found, expected(problem(case)))


def test_without_the_library_xla_serves_and_a_named_kernel_says_what_to_run(monkeypatch, tmp_path):
    monkeypatch.setattr(library, "build_folder", tmp_path)
    given = problem(CASES[0])
    jax.tree.map(np.testing.assert_array_equal, memory.run(*given), by("xla")(*given))
    with pytest.raises(ValueError, match="make native"):
        memory.run(*given, implementation="native")


def test_an_unknown_implementation_names_those_that_are_known():
    with pytest.raises(ValueError, match="'tpu' is unknown; known: reference, xla, native"):
        memory.run(*problem(CASES[0]), implementation="tpu")
