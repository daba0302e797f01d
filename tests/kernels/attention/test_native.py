"""The C++ kernel of the CPU: the shared tests, and its building, threads and devices."""

import platform

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kernels.attention import Global, SlidingWindow, attend, differentiable, native, reference
from kernels.attention.native import library
from kernels.native import __main__ as command
from kernels.native.library import BuildError
from tests.kernels.attention.base import (
    SCORES,
    AttentionTests,
    Case,
    anywhere,
    assert_close,
    predicted,
    problem,
    with_gradients,
)
from tests.kernels.native_library import built, needs_compiler

WINDOW = Case("window", lambda rng, case: SlidingWindow(64), m=300, n=410)  # several chunks and phases
LONG = (
    WINDOW,
    Case("global", lambda rng, case: Global(), m=70, n=400, holes=True),
    Case("local_p", predicted(90), m=300, n=400),
    Case("anywhere", anywhere, m=260, n=300, d=40, dv=24),
)


pytestmark = needs_compiler
of_native = built(library)


def with_threads(threads):
    kernel = native.Kernel(library.name(), threads)
    return lambda inputs, ranges, sigma: differentiable.attend(kernel, sigma, inputs, ranges)


class TestNative(AttentionTests):
    attend = staticmethod(native.attend)
    drawn = 5

    @pytest.mark.parametrize("score", SCORES)
    @pytest.mark.parametrize("case", LONG, ids=lambda case: case.name)
    def test_many_chunks_of_queries_and_of_keys(self, case, score):
        self.agrees(*problem(case, score))

    def test_large_projections_that_cancel_keep_their_score(self):
        inputs, ranges, sigma = problem(WINDOW, "additive")
        self.agrees(inputs._replace(query=inputs.query + 90, key=inputs.key - 90), ranges, sigma, 2e-5)

    @pytest.mark.parametrize("score", SCORES)
    def test_any_number_of_threads_and_each_run_give_the_same_bytes(self, score):
        for case in LONG:
            given = problem(case, score)
            found = [with_gradients(with_threads(n), *given) for n in (1, 2, 3, 8, 8)]
            for again in found[1:]:
                jax.tree.map(np.testing.assert_array_equal, again, found[0])

    @pytest.mark.parametrize("score", SCORES)
    def test_several_devices_of_one_cpu_at_once(self, score):
        inputs, ranges, sigma = problem(WINDOW, score)
        devices = jax.device_count()
        assert devices > 1, "tests/conftest.py makes several"
        queries = jnp.stack([inputs.query + i for i in range(devices)])
        one = lambda query: with_gradients(native.attend, inputs._replace(query=query), ranges, sigma)  # noqa: E731
        mapped = jax.pmap(one)
        found = [mapped(queries) for _ in range(10)][-1]
        for i, query in enumerate(queries):
            part = jax.tree.map(lambda x, i=i: np.asarray(x)[i], found)
            jax.tree.map(
                lambda x, y: assert_close(x, y, 1e-6, "one of the devices"), part, jax.jit(one)(query)
            )


def test_vmap_over_everything_gives_each_its_own_gradients():
    case = Case("local_p", predicted(4), holes=True)
    parts = [problem(case, "additive", seed=seed) for seed in (1, 2, 3)]
    stack = lambda *arrays: None if arrays[0] is None else jnp.stack(arrays)  # noqa: E731
    inputs, ranges = (
        jax.tree.map(stack, *(part[which] for part in parts), is_leaf=lambda x: x is None) for which in (0, 1)
    )
    sigma = parts[0][2]
    found = jax.vmap(lambda i, r: with_gradients(native.attend, i, r, sigma))(inputs, ranges)
    for k, part in enumerate(parts):
        wanted = with_gradients(reference.attend, *part)
        jax.tree.map(lambda x, y, k=k: assert_close(x[k], y, 1e-5, "mapped"), found, wanted)


@pytest.mark.parametrize("score", SCORES)
def test_a_nan_is_not_hidden(score):
    inputs, ranges, sigma = problem(Case("window", lambda rng, case: SlidingWindow(8)), score)
    found = native.attend(inputs._replace(query=inputs.query.at[0, 5, 3].set(jnp.nan)), ranges, sigma)
    assert np.isnan(found[0, 5]).all()
    assert np.isfinite(found[1]).all()


def test_without_the_library_the_call_says_what_to_run(monkeypatch, tmp_path):
    monkeypatch.setattr(library, "build_folder", tmp_path)
    x = jnp.ones((2, 5, 4))
    with pytest.raises(ValueError, match="make native"):
        attend(x, x, x, implementation="native")


def test_double_precision_is_refused_in_words():
    with jax.enable_x64(True):
        reason = native.why_not(*problem(WINDOW, "dot", jnp.float64)[:2])
    assert "float64" in reason


def test_building_without_a_compiler_says_so(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(library, "build_folder", tmp_path)
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX", raising=False)
    assert command.main([library]) == 1
    assert "no C++ compiler" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_source_that_does_not_compile_leaves_nothing_behind(monkeypatch, tmp_path):
    (tmp_path / "attention.cc").write_text("not C++")
    monkeypatch.setattr(library, "source", tmp_path)
    monkeypatch.setattr(library, "build_folder", tmp_path / "build")
    with pytest.raises(BuildError, match="does not compile"):
        library.build()
    assert list((tmp_path / "build").iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("machine", ["x86-64-v2", "x86-64-v3"])
def test_narrower_vectors_give_the_same(machine, monkeypatch, tmp_path):
    if platform.machine() != "x86_64":
        pytest.skip(f"{machine} is no {platform.machine()}")
    monkeypatch.setattr(library, "machine", machine)
    monkeypatch.setattr(library, "build_folder", tmp_path)
    assert command.main([library]) == 0
    for case in (*LONG, Case("window_holes", lambda rng, case: SlidingWindow(8), holes=True)):
        for score in SCORES:
            TestNative().agrees(*problem(case, score))
