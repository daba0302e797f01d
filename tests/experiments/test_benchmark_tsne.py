"""The benchmark of t-SNE's kernels: what it measures, that it is exact, what it is held to."""

import json
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import benchmark_tsne as benchmark
from experiments import benchmark_tsne_cases as cases
from experiments.benchmark_tsne_targets import judged
from experiments.command import run
from kernels.tsne.shapes import SHAPES, Shape
from tests.kernels.tsne import by_hand

TINY = Shape("tiny", 40, 3, 5.0, None, "nowhere")
NEAR = Shape("near", 60, 3, 5.0, 15, "nowhere")
ARGV = (
    *("--calibrated", "tiny", "near", "--mapped", "tiny", "--grown", "30", "50", "--transformed", "30"),
    *("--features", "3", "--neighbours", "12", "--rounds", "1", "--all-pairs-up-to", "40"),
)


@pytest.fixture
def called(capsys, tmp_path, monkeypatch):
    """Runs the command; its --json beside what it said."""
    for shape in (TINY, NEAR):
        monkeypatch.setitem(SHAPES, shape.name, shape)

    def call(*argv):
        path = tmp_path / "a.json"
        code = run(benchmark.main, benchmark.Args, [*ARGV, *argv, "--json", str(path)])
        return code, capsys.readouterr(), json.loads(path.read_text()) if path.exists() else None

    return call


def test_every_part_has_its_rows_and_the_page_its_figures(called, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "openTSNE", None)  # as where it is not installed
    code, said, result = called("--out", str(tmp_path / "a.html"))
    assert code == 0, said.err
    found = {(row["case"], row["implementation"]): row for row in result["rows"]}
    for name in ("tiny", "near"):
        assert found[f"calibration, {name}", "mer_jax xla"]["deviation"] < 3e-6
        assert 3e-6 < found[f"calibration, {name}", "scikit-learn"]["deviation"] < 1e-4
    for name in ("mer_jax xla", "mer_jax xla, streamed P", "naive autodiff", "scikit-learn exact"):
        assert found["KL, tiny, all pairs", name]["deviation"] < 2e-6
    assert found["KL, tiny, neighbours", "mer_jax xla"]["deviation"] < 2e-6
    assert found["KL, tiny, neighbours", "scikit-learn Barnes-Hut"]["deviation"] < 0.1
    assert ("growth, 30 rows", "KL and gradient, edges and all pairs") in found
    assert ("growth, 50 rows", "KL and gradient, edges and all pairs") not in found
    assert found["transform, 30 rows", "network of 128 x 3"]["cpu_seconds"] > 0
    assert all(row["median_ms"] > 0 for row in result["rows"])
    assert "left out: openTSNE FFT, KL, tiny, neighbours: it cannot be imported" in said.out
    assert "generated Gaussian clusters" in said.out
    assert "| calibration, tiny | scikit-learn |" in benchmark.markdown(result)
    page = (tmp_path / "a.html").read_text()
    assert "How time grows with the rows" in page
    assert "generated data" in page


def test_neighbours_are_the_nearest_of_the_cluster():
    x = cases.clusters(50, 3)
    distances, numbers = cases.neighbours(x, 7)
    wanted = by_hand.squared_distances(x)
    np.fill_diagonal(wanted, np.inf)
    np.testing.assert_array_equal(numbers, np.argsort(wanted, axis=1)[:, :7])
    np.testing.assert_allclose(distances, np.sort(wanted, axis=1)[:, :7], rtol=1e-4)


def test_what_all_are_measured_by_is_the_formula_in_float64():
    problem = cases.Problem.drawn(TINY, 12)
    for p, whole in (
        (problem.dense.values, np.asarray(problem.dense.values, np.float64)),
        (problem.matrix(), problem.matrix().toarray().astype(np.float64)),
    ):
        wanted = by_hand.divergence(problem.y, whole)[1]
        np.testing.assert_allclose(cases.exact(problem.y, p), wanted, rtol=1e-6, atol=1e-9)
    p = np.asarray(problem.dense.values, np.float64)
    value = jax.jit(cases.naive)(problem.y, problem.dense)
    assert float(value) == pytest.approx(by_hand.divergence(problem.y, p)[0], rel=1e-5)
    rows = np.array([[0.5, 0.5, 0], [0.25, 0.25, 0.5]], np.float32)
    assert cases.perplexity_error(rows, 2.0) == pytest.approx(np.sqrt(2) - 1)


def test_rows_transformed_by_blocks_are_those_transformed_at_once():
    params, x = cases.network(6, 8), jnp.asarray(cases.clusters(1500, 6))
    found = jax.jit(cases.transform)(params, x)
    alone = jax.jit(cases.transform)(params, x[:7])
    assert found.shape == (1500, 2)
    np.testing.assert_allclose(found[:7], alone, rtol=1e-5, atol=1e-5)


def row(case, implementation, ratio=None, part="divergence", **more):
    default = implementation == "mer_jax native"
    return {"case": case, "implementation": implementation, "part": part, "ratio": ratio, "n": 5120} | {
        "default": default, "deviation": 1e-7, "peak_mib": 1.0, "median_ms": 2.0, **more,
    }  # fmt: skip


def test_targets_are_judged_on_the_rows_they_are_about():
    rows = [
        row("KL, batch_5120, all pairs", "mer_jax native", 1.0),
        row("KL, batch_5120, all pairs", "mer_jax native, streamed P", 3.0, peak_mib=17.0),
        row("KL, batch_5120, all pairs", "naive autodiff", 29.0, peak_mib=800.0),
        row("calibration, mnist_pca50_5000", "mer_jax xla", 1.0, "calibration", default=True),
        row("calibration, mnist_pca50_5000", "scikit-learn", 9.5, "calibration", deviation=1e-5),
        row("transform, 1,000,000 rows", "network", None, "transform", n=1_000_000, cpu_seconds=1.4),
    ]
    judgement = {one["what"]: (one["measured"], one["met"]) for one in judged(rows)}
    assert judgement == {
        "calibration, mnist_pca50_5000: scikit-learn / ours": (9.5, True),
        "calibration, mnist_pca50_100000x90: scikit-learn / ours": (None, None),
        "largest relative error of the achieved perplexity": (1e-7, True),
        "KL, batch_5120, all pairs: naive autodiff / ours": (29.0, False),
        "KL, batch_5120, all pairs, dense P: memory beyond P": (1.0, True),
        "KL, batch_5120, all pairs, streamed P: memory beyond P": (17.0, False),
        "KL, mosei_distinct_1296x6, all pairs: a step": (None, None),
        "transform of 1,000,000 x 6, 128 x 3: CPU seconds": (1.4, True),
    }


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (("--mapped", "batch_5121"), "--mapped 'batch_5121' is unknown; did you mean 'batch_5120'?"),
        (("--rounds", "0"), "--rounds 0 must be positive"),
        (("--parts",), "--parts names none"),
        (("--grown", "12"), "--grown 12 must be above --neighbours 12"),
        (("--neighbours", "2"), "--neighbours 2 must be at least 4"),
        (("--transformed", "0"), "--transformed 0 must be positive"),
    ],
)
def test_bad_input_is_one_line(called, argv, message):
    code, said, result = called(*argv)
    assert (code, result) == (2, None)
    assert message in said.err
