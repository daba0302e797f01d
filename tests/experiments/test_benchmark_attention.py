"""The benchmark of attention: what peers compute, what it writes, what it says when something is missing."""

import contextlib
import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest

from experiments import benchmark_attention as benchmark
from experiments import benchmark_attention_contest as contest
from experiments.benchmark_attention_cases import Case, Problem, check_alignment
from experiments.benchmark_attention_contest import OURS
from experiments.benchmark_attention_peers import LABELS, PEERS, save_arrays
from experiments.benchmark_attention_targets import judged, lengths, targets
from experiments.command import run
from kernels.attention import Global, LocalPredictive, SlidingWindow, api
from kernels.attention.reference import Inputs
from kernels.attention.shapes import SHAPES, Shape
from mer_jax.errors import InputError

TINY = Shape("square_24", 2, 24, 24, 8, "a test")
OBLONG = Shape("oblong", 2, 6, 40, 8, "a test")
ROOT = Path(__file__).parents[2]

# Answers as benchmark_attention_torch.py does, for SDPA alone, in NumPy.
FAKE = f"""#!{sys.executable}
import json, sys
import numpy as np
print(json.dumps({{"torch": "0.fake", "device": "cpu"}}), flush=True)
for line in sys.stdin:
    asked = json.loads(line)
    said = {{}}
    if asked["do"] == "prepare" and asked["peer"] != "torch_sdpa":
        said = {{"why": "ImportError: no such thing"}}
    elif asked["do"] == "prepare":
        held, said = np.load(asked["arrays"]), {{"compile_ms": 0.0}}
    elif asked["do"] == "time":
        said = {{"ms": 7.0}}
    elif asked["do"] == "memory":
        said = {{"mib": 3.0}}
    elif asked["do"] == "context":
        scores = held["query"] @ held["key"].swapaxes(1, 2)
        positions = np.arange(scores.shape[-1])
        inside = (held["start"][..., None] <= positions) & (positions <= held["end"][..., None])
        shares = np.where(inside, np.exp(scores), 0)
        np.save(asked["path"], shares / shares.sum(-1, keepdims=True) @ held["value"])
    print(json.dumps(said), flush=True)
"""


@pytest.fixture
def fake_torch(tmp_path):
    path = tmp_path / "python-with-torch"
    path.write_text(FAKE)
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def called(monkeypatch, capsys):
    """Runs the command; the tiny shapes are known to it."""
    for shape in (TINY, OBLONG):
        monkeypatch.setitem(SHAPES, shape.name, shape)

    def call(*argv):
        capsys.readouterr()
        code = run(benchmark.main, benchmark.Args, argv)
        return code, capsys.readouterr()

    return call


def problem(alignment="sliding_window_4", score="dot", shape=TINY, dtype="float32"):
    return Problem.drawn(Case(shape, score, alignment, dtype))


@pytest.mark.parametrize(
    ("alignment", "kind", "half"),
    [
        ("global", "global", None),
        ("forced", "forced", None),
        ("sliding_window_64", "sliding_window", 32),
        ("local_m_32", "local_m", 32),
        ("local_p_7", "local_p", 7),
    ],
)
def test_an_alignment_is_read_from_its_name(alignment, kind, half):
    check_alignment(alignment)
    found = Case(TINY, "dot", alignment, "float32")
    assert (found.kind, found.half) == (kind, half)


@pytest.mark.parametrize("name", ["window_3", "local_p", "local_p_0", "global_3", "sliding_window_-4", ""])
def test_another_alignment_is_refused(name):
    with pytest.raises(InputError, match=r"--alignments .* is unknown; known: global, forced"):
        check_alignment(name)


def test_spans_of_words_fill_the_keys_in_order():
    spans = problem("forced", shape=OBLONG).spans
    assert spans.shape == (2, 6, 2)
    for row in spans:
        keys = [s for first, last in row for s in range(first, last + 1)]
        assert keys == list(range(40))


def test_a_problem_repeats_and_has_what_its_case_needs():
    one, two = problem("local_p_3", "additive", OBLONG), problem("local_p_3", "additive", OBLONG)
    assert set(one.operands) == {"query", "key", "value", "score_vector", "centres"}
    assert all(np.array_equal(one.operands[name], two.operands[name]) for name in one.operands)
    assert isinstance(one.alignment(one.operands), LocalPredictive)
    centres = np.asarray(one.operands["centres"])
    assert centres.min() >= 0
    assert centres.max() <= 39
    assert set(problem("global", dtype="bfloat16").operands) == {"query", "key", "value"}
    first = one.first()
    np.testing.assert_array_equal(first.operands["centres"], centres[:1])


def test_the_first_of_ours_is_the_one_that_attend_takes():
    """`default` marks that row, and targets speak of it."""
    one = problem()
    inputs, ranges = Inputs(*(one.operands[name] for name in ("query", "key", "value"))), one.ranges()
    serving = []
    for name in OURS:
        with contextlib.suppress(ValueError):  # it cannot serve
            serving.append(api._implementation(name, inputs, ranges))
    assert sorted(OURS) == sorted(api.IMPLEMENTATIONS)
    assert api._implementation(None, inputs, ranges) is serving[0]


@pytest.mark.parametrize("length", [24, 26, 31])
@pytest.mark.parametrize("width", [2, 6, 16])
def test_blocks_of_local_attention_hold_every_key_of_the_window(length, width):
    case = Case(Shape("square", 1, length, length, 4, "a test"), "dot", f"sliding_window_{width}", "float32")
    spans = PEERS["local_attention"].computes(case).spans[0]
    ranges = Problem.drawn(case).ranges()
    assert (spans[:, 0] <= ranges.start[0]).all()
    assert (ranges.end[0] <= spans[:, 1]).all()
    assert (spans[:, 1] - spans[:, 0] + 1).max() <= 3 * width // 2


def test_causal_windows_see_as_many_keys_as_ours():
    case = Case(TINY, "dot", "sliding_window_6", "bfloat16")
    spans = PEERS["cudnn_window"].computes(case).spans[0]
    np.testing.assert_array_equal(spans[10], [4, 10])


def test_peers_of_all_keys_say_so():
    case = Case(TINY, "dot", "sliding_window_6", "float32")
    assert PEERS["jax_full"].computes(case) == Global()
    assert PEERS["jax_window"].computes(case) is None


@pytest.mark.parametrize(
    ("peer", "alignment", "shape", "why"),
    [
        ("jax_window", "sliding_window_4", OBLONG, "its window lies around key t"),
        ("jax_window", "forced", TINY, "no other alignment than a window"),
        ("local_attention", "sliding_window_0", TINY, "its window needs a width"),
        ("jax_full", "forced", TINY, "it attends to all keys"),
        ("naive_jnp", "local_p_3", TINY, "it has no Gaussian"),
        ("torch_flex", "sliding_window_4", OBLONG, "compilation for each shape"),
        ("cudnn_full", "global", TINY, "it needs a gpu"),
    ],
)
def test_a_peer_says_what_it_cannot(peer, alignment, shape, why):
    assert why in PEERS[peer].why_not(Case(shape, PEERS[peer].score, alignment, "float32"))


def test_estimates_of_the_peers_in_torch():
    case = Case(SHAPES["square_1024"], "additive", "sliding_window_64", "float32")
    assert PEERS["keras_formula"].needs(case, False) == 2 * 8 * 1024 * 1024 * 64 * 4
    assert PEERS["torch_unfold"].needs(case, True) == 3 * 8 * 1024 * 65 * 64 * 4
    assert PEERS["local_attention"].needs(case, True) == 0


def test_the_command_end_to_end(called, tmp_path, fake_torch):
    path, page = tmp_path / "deep" / "attention.json", tmp_path / "pages" / "attention.html"
    code, said = called(
        "--shapes", "square_24", "--alignments", "sliding_window_4", "--implementations", "xla", "reference",
        "--peers", "jax_full", "jax_window", "naive_jnp", "torch_sdpa", "keras_formula",
        "--rounds", "2", "--torch-python", fake_torch, "--json", str(path), "--out", str(page),
    )  # fmt: skip
    assert code == 0, said.err
    result = json.loads(path.read_text())
    assert {"device", "versions", "commit", "rows"} <= set(result)
    assert result["versions"]["torch"] == "0.fake"
    contract = {"case", "implementation", "pass", "median_ms", "spread_ms", "compile_ms", "peak_mib"}
    assert all(contract <= set(row) for row in result["rows"])
    own, jax_nn = ["mer_jax xla", "mer_jax reference"], ["jax.nn full", "jax.nn local_window_size"]
    found = {}
    for row in result["rows"]:
        found.setdefault((row["score"], row["pass"]), []).append(row["implementation"])
        assert row["deviation"] is None or row["deviation"] < 1e-5
        assert (row["ratio"] == 1) or not row["default"]
    assert found == {
        ("dot", "forward"): [*own, *jax_nn, "torch SDPA + mask"],
        ("dot", "forward+backward"): [*own, *jax_nn, "torch SDPA + mask"],
        ("additive", "forward"): [*own, "naive jnp"],
        ("additive", "forward+backward"): [*own, "naive jnp"],
    }
    sdpa = next(row for row in result["rows"] if row["implementation"] == LABELS["torch_sdpa"])
    assert (sdpa["median_ms"], sdpa["spread_ms"], sdpa["peak_mib"], sdpa["compile_ms"]) == (7, 0, 3, 0)
    (missing,) = result["left_out"]
    assert (missing["implementation"], missing["why"]) == (
        "Keras formula, torch",
        "ImportError: no such thing",
    )
    assert len(missing["cases"]) == 2
    assert "square_24 dot sliding_window_4 float32 (B = 2, m = 24, n = 24, d = 8)" in said.out
    assert "left out: Keras formula, torch, square_24 additive" in said.out
    assert "DIFFERS" not in said.out
    assert said.out.count("not measured") == len(targets("cpu"))
    assert page.read_text().startswith("<!DOCTYPE html>")
    lines = [line for line in benchmark.markdown(result).splitlines() if line.startswith("| square_24 ")]
    assert [line.count("|") for line in lines] == [5 + len(own) + 3] * 2 + [5 + len(own) + 1] * 2
    assert lines[0].startswith("| square_24 | sliding_window_4 | float32 | forward | ")
    assert lines[0].endswith(" | 7 ± 0; 3.0 |")


@pytest.mark.parametrize(
    ("alignment", "shape"), [("local_p_2", "oblong"), ("forced", "oblong"), ("global", "oblong")]
)
def test_other_alignments_and_types(called, tmp_path, alignment, shape):
    path = tmp_path / "a.json"
    code, said = called(
        "--shapes", shape, "--alignments", alignment, "--implementations", "xla", "reference", "--peers",
        "--dtypes", "bfloat16", "--rounds", "1", "--scores", "dot", "--json", str(path),
    )  # fmt: skip
    assert code == 0, said.err
    rows = json.loads(path.read_text())["rows"]
    assert [row["pass"] for row in rows] == ["forward"] * 2 + ["forward+backward"] * 2
    assert all(row["deviation"] < 3e-2 for row in rows[:2])


def test_without_torch_its_peers_are_left_out_in_words(called):
    code, said = called(
        "--shapes", "square_24", "--scores", "additive", "--passes", "forward", "--rounds", "1",
        "--implementations", "reference", "pallas", "--peers", "torch_unfold",
    )  # fmt: skip
    assert code == 0, said.err
    assert "left out: torch unfold" in said.out
    assert "no --torch-python is given" in said.out
    assert "implementation='pallas' does not run on the cpu" in said.out


def test_what_needs_too_much_memory_is_left_out_in_words(called, fake_torch):
    code, said = called(
        "--shapes", "square_1024", "--scores", "dot", "--passes", "forward", "--rounds", "1",
        "--implementations", "reference", "--peers", "torch_sdpa", "--memory-gib", ".001", "--torch-python", fake_torch,
    )  # fmt: skip
    assert code == 0, said.err
    assert "left out: mer_jax reference" in said.out
    assert "more than --memory-gib 0.001" in said.out
    assert "left out: torch SDPA + mask" in said.out


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--shapes", "square_25"], "--shapes 'square_25' is unknown; did you mean"),
        (["--peers", "jax_fulll"], "--peers 'jax_fulll' is unknown; did you mean 'jax_full'?"),
        (["--implementations", "xl"], "--implementations 'xl' is unknown"),
        (["--implementations"], "--implementations names none"),
        (["--alignments", "window_64"], "--alignments 'window_64' is unknown"),
        (["--rounds", "0"], "must be positive"),
        (["--torch-python", "/no/such/python", "--shapes", "square_24"], "/no/such/python can't be run"),
    ],
)
def test_bad_input_is_one_line(called, argv, words):
    code, said = called(*argv)
    assert code == 2
    assert words in said.err
    assert len(said.err.strip().splitlines()) == 1


def test_an_interpreter_that_stops_is_named(called, tmp_path):
    path = tmp_path / "python"
    path.write_text("#!/bin/sh\nexit 3\n")
    path.chmod(0o755)
    code, said = called("--shapes", "square_24", "--torch-python", str(path))
    assert code == 2
    assert f"{path} stopped; can the interpreter of --torch-python import torch" in said.err


def benchmark_row(implementation, m, direction="forward", score="dot", default=False, **more):
    row = {"implementation": implementation, "pass": direction, "score": score, "default": default}
    row |= {"shape": f"square_{m}", "alignment": "sliding_window_64", "dtype": "float32"}
    return row | {"median_ms": 1.0, "peak_mib": 1.0} | more


def test_targets_are_ratios_of_this_run():
    rows = [
        benchmark_row("mer_jax native", 1024, default=True, median_ms=5.0),
        benchmark_row("mer_jax native", 4096, default=True, median_ms=10.0),
        benchmark_row("mer_jax native", 4096, "forward+backward", default=True, peak_mib=80.0),
        benchmark_row(LABELS["jax_window"], 4096, median_ms=900.0),
        benchmark_row(LABELS["local_attention"], 4096, median_ms=12.0),
        benchmark_row(LABELS["torch_sdpa"], 4096, median_ms=900.0, alignment="global"),
    ]
    together = [
        benchmark_row("mer_jax native", 1024, default=True, median_ms=2.0),
        benchmark_row("mer_jax native", 8192, default=True, median_ms=20.0),
    ]
    found = {one["what"]: (one["measured"], one["met"]) for one in judged(rows, together, "cpu")}
    assert found["dot, forward: t(m=8192) / t(m=1024)"] == (10, False)
    assert found["dot, forward, m=4096: jax.nn local_window_size / ours"] == (90, True)
    assert found["dot, forward, m=4096: local-attention / ours"] == (1.2, False)
    assert found["dot, forward, m=4096: torch SDPA + mask / ours"] == (None, None)
    assert found["dot, forward+backward, m=4096: peak extra memory"] == (80, True)
    assert sum(met is not None for _, met in found.values()) == 4
    assert len(found) == 20
    assert len({one.what for one in targets("gpu")}) == 6


def test_lengths_that_a_target_compares_are_timed_together(called, monkeypatch, tmp_path):
    monkeypatch.setitem(SHAPES, "square_12", Shape("square_12", 2, 12, 12, 8, "a test"))
    monkeypatch.setattr(benchmark, "lengths", lambda _: {("dot", "forward", "float32"): [12, 24]})
    turns = []
    monkeypatch.setattr(
        contest, "in_turns", lambda calls, *_: turns.append(set(calls)) or {name: [1.0] for name in calls}
    )
    common = ["--peers", "--rounds", "1", "--passes", "forward", "--json", str(tmp_path / "a.json")]
    code, said = called(
        "--shapes", "square_12", "square_24", "--implementations", "xla", "reference", *common
    )
    assert code == 0, said.err
    rows = json.loads((tmp_path / "a.json").read_text())["lengths"]
    assert [(row["m"], row["implementation"], row["default"]) for row in rows] == [
        (12, "xla", True),
        (24, "xla", True),
    ]
    names = {f"square_{m} dot sliding_window_64 float32" for m in (12, 24)}
    assert turns.count(names) == 1
    called("--shapes", "square_12", "--implementations", "xla", *common)
    assert json.loads((tmp_path / "a.json").read_text())["lengths"] == []


def test_targets_name_the_lengths_they_compare():
    found = lengths("cpu")
    assert set(map(tuple, found.values())) == {(1024, 8192)}
    assert len(found) == 4
    assert lengths("gpu") == {}


def test_the_memory_of_the_native_kernel_is_measured_in_a_process_of_its_own(called, tmp_path):
    path = tmp_path / "a.json"
    code, said = called(
        "--shapes", "square_24", "--scores", "dot", "--passes", "forward", "--rounds", "1", "--peers",
        "--implementations", "native", "xla", "--json", str(path),
    )  # fmt: skip
    assert code == 0, said.err
    result = json.loads(path.read_text())
    native = [row for row in result["rows"] if row["implementation"] == "mer_jax native"]
    if not native:
        assert result["left_out"][0]["implementation"] == "mer_jax native"
        pytest.skip(f"the native kernel is not built here: {result['left_out'][0]['why']}")
    assert native[0]["default"]
    assert 0 <= native[0]["peak_mib"] < 8


@pytest.mark.slow
def test_peers_in_torch_compute_what_they_say(called, tmp_path):
    """With a real interpreter: their context is ours over the keys that the table names."""
    python = os.environ.get("MER_TORCH_PYTHON")
    if not python:
        pytest.skip("MER_TORCH_PYTHON is not set: an interpreter with torch and local-attention")
    path = tmp_path / "a.json"
    code, said = called(
        "--shapes", "square_24", "oblong", "--rounds", "1", "--implementations", "xla", "--alignments",
        "sliding_window_4", "forced", "global", "--torch-python", python, "--json", str(path),
    )  # fmt: skip
    assert code == 0, said.err
    rows = json.loads(path.read_text())["rows"]
    in_torch = {name: peer.label for name, peer in PEERS.items() if peer.build is None}
    assert set(in_torch.values()) <= {row["implementation"] for row in rows}
    assert all(row["deviation"] < 1e-5 for row in rows if row["pass"] == "forward")


def test_arrays_for_another_interpreter_are_float32_and_have_their_ranges(tmp_path):
    one = problem("local_p_3", "additive", OBLONG, "bfloat16")
    save_arrays(one, tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz") as held:
        assert {held[name].dtype.name for name in (*one.operands, "cotangent")} == {"float32"}
        assert held["start"].shape == held["end"].shape == (2, 6)
        np.testing.assert_array_equal(held["query"], np.asarray(one.operands["query"], np.float32))
    assert isinstance(problem().alignment({}), SlidingWindow)
