"""The benchmark of the memory network: what it measures of ours, what it checks, what it is held to."""

import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import benchmark_memory_fusion as benchmark
from experiments.benchmark_memory_fusion_cases import DIMS, Network, Sizes, training
from experiments.command import run

TINY = Sizes(batch=3, time=2, hidden=2, memory=4, units=3)
ARGV = ("--batches", "3", "--time", "2", "--hidden", "2", "--memory", "4", "--units", "3", "--rounds", "1")


made = functools.cache(training)


@pytest.fixture
def called(capsys, tmp_path, monkeypatch):
    """Runs the command; its --json beside what it said."""
    monkeypatch.setattr(benchmark, "training", lambda sizes, members=1: made(sizes, members))

    def call(*argv):
        path = tmp_path / "a.json"
        code = run(benchmark.main, benchmark.Args, [*ARGV, *argv, "--json", str(path)])
        return code, capsys.readouterr(), json.loads(path.read_text()) if path.exists() else None

    return call


def test_one_seed_and_several_are_timed_and_torch_is_left_out_in_words(called):
    code, said, result = called("--seeds", "2")
    assert code == 0, said.err
    assert [(row["implementation"], row["seeds"]) for row in result["rows"]] == [
        ("mer_jax", 1),
        ("mer_jax, 2 seeds", 2),
    ]
    assert all(row["median_ms"] > 0 and row["peak_mib"] >= 0 for row in result["rows"])
    assert result["rows"][0]["ratio"] == 1
    assert "left out: torch, training step, batch 3: no --torch-python is given" in said.out
    assert said.out.count("not measured") == 4
    assert "| training step, batch 3 | mer_jax, 2 seeds |" in benchmark.markdown(result)


def test_what_both_sides_must_agree_in_is_whole_and_right():
    """The loss of the parameters handed over, and a gradient of each."""
    ours = made(TINY, 1)
    inputs = {"targets", *(f"features/{name}" for name in DIMS)}
    parameters = {name: x for name, x in ours.arrays.items() if name not in inputs}
    assert inputs < set(ours.arrays)
    assert set(ours.first) == {*parameters, "loss"}
    tree = {}
    for name, x in parameters.items():
        *path, leaf = name.split("/")
        at = tree
        for part in path:
            at = at.setdefault(part, {})
        at[leaf] = jnp.asarray(x)
        assert ours.first[name].shape == x.shape
        assert np.abs(ours.first[name]).max() > 0
    features = {name: jnp.asarray(ours.arrays[f"features/{name}"]) for name in DIMS}
    logits = Network(TINY).apply({"params": tree}, features)
    targets = ours.arrays["targets"]
    expected = -np.mean(jax.nn.log_softmax(logits)[np.arange(len(targets)), targets])
    np.testing.assert_allclose(ours.first["loss"], expected, rtol=1e-5)


def test_steps_learn():
    ours = made(TINY, 1)
    later = min(float(ours.run()) for _ in range(60))
    assert later < 0.5 * ours.first["loss"]


def test_several_at_once_are_different_trainings_of_which_each_is_one():
    alone, together = made(TINY, 1), made(TINY, 2)
    assert together.first["loss"].shape == (2,)
    for name, x in alone.first.items():
        np.testing.assert_allclose(together.first[name][0], x, rtol=1e-4, atol=1e-6, err_msg=name)
        assert not np.allclose(together.first[name][1], x, rtol=1e-3)


def row(batch, implementation, ratio, seeds=1):
    return {"batch": batch, "implementation": implementation, "seeds": seeds} | {
        "median_ms": 100 * ratio,
        "ratio": ratio,
    }


def test_the_fastest_of_torchs_ways_counts_and_ten_seeds_are_held_to_one():
    rows = [
        row(256, "mer_jax", 1.0),
        row(256, "mer_jax, 10 seeds", 5.4, 10),
        row(256, "torch cells, Adam default", 2.2),
        row(256, "torch cells, Adam fused", 1.9),
        row(32, "mer_jax", 1.0),
        row(32, "mer_jax, 10 seeds", 5.6, 10),
        row(32, "torch projected, Adam fused", 4.1),
    ]
    assert [(one["measured"], one["met"]) for one in benchmark.judged(rows)] == [
        (1.9, False),
        (4.1, True),
        (5.4, True),
        (5.6, False),
    ]
    assert "torch cells, Adam fused / ours" in benchmark.judged(rows)[0]["what"]
    assert [one["met"] for one in benchmark.judged(rows[:2])] == [None, None, True, None]


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (("--rounds", "0"), "--rounds 0 must be positive"),
        (("--batches",), "--batches names none"),
        (("--batches", "4", "-1"), "must be positive"),
        (("--seeds", "1"), "--seeds 1 must be at least 2"),
    ],
)
def test_bad_input_is_one_line(called, argv, message):
    code, said, result = called(*argv)
    assert (code, result) == (2, None)
    assert message in said.err
