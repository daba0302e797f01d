"""The benchmark of the decoder: what it measures of ours, what it checks, what it is held to."""

import json

import numpy as np
import pytest

from experiments import benchmark_decoder as benchmark
from experiments.benchmark_decoder_cases import (
    Sizes,
    attending,
    check_same,
    keys_alone,
    temporaries,
    training,
    ways,
)
from experiments.command import run
from mer_jax.errors import InputError

TINY = ("--batch", "2", "--words", "3", "--dim", "4", "--hidden", "5", "--width", "4", "--rounds", "1")


@pytest.fixture
def called(capsys, tmp_path):
    """Runs the command; its --json beside what it said."""

    def call(*argv):
        path = tmp_path / "a.json"
        code = run(benchmark.main, benchmark.Args, [*TINY, *argv, "--json", str(path)])
        return code, capsys.readouterr(), json.loads(path.read_text()) if path.exists() else None

    return call


def test_the_decoder_is_timed_and_its_memory_told(called):
    code, said, result = called(
        "--parts", "decoder", "memory", "--lengths", "6", "--memory-length", "600", "--memory-widths", "8", "300",
        "--feedbacks", "none", "state", "--scores", "concat",
    )  # fmt: skip
    assert code == 0, said.err
    timed = [row for row in result["rows"] if row["part"] == "decoder"]
    over = "decoder over 6, concat, feedback"
    assert [(row["case"], row["implementation"]) for row in timed] == [
        (f"{over} none", "mer_jax"),
        (f"{over} none", "keys alone"),
        (f"{over} state", "mer_jax"),
    ]
    assert all(
        row["median_ms"] > 0 and row["ratio"] == 1 for row in timed if row["implementation"] == "mer_jax"
    )
    compiled = [row for row in result["rows"] if row["part"] == "memory"]
    assert [(row["feedback"], row["alignment"]) for row in compiled] == [
        ("state", "window"),
        ("state", "window"),
        ("state", "global"),
    ]
    assert all(row["median_ms"] is None and row["peak_mib"] > 0 for row in compiled)
    assert {(one["implementation"], one["why"]) for one in result["left_out"]} >= {
        ("torch masked", "no --torch-python is given")
    }
    assert said.out.count("not measured") == 21
    assert "| decoder over 6, concat, feedback state | mer_jax |" in benchmark.markdown(result)


def test_a_training_step_is_timed(called):
    code, said, result = called(
        "--parts", "step", "--samples", "6000", "--vocabulary", "9", "--step-batch", "2", "--feedbacks", "input",
        "--scores", "general",
    )  # fmt: skip
    assert code == 0, said.err
    (row,) = result["rows"]
    assert (row["case"], row["n"], row["batch"]) == ("training step, general, feedback input", 3, 2)


def test_keys_are_timed_for_the_score_that_needs_them(called):
    _, _, result = called("--parts", "decoder", "--lengths", "6", "--feedbacks", "none")
    assert [(row["score"], row["implementation"]) for row in result["rows"]] == [
        ("concat", "mer_jax"),
        ("concat", "keys alone"),
        ("general", "mer_jax"),
    ]


def test_a_training_step_learns_with_the_score_asked_for():
    found = training(Sizes(2, 3, 4, 5, 4), 6000, 9, "general", "input")
    assert names_in_attention(found.arrays) == {"W", "W_c"}
    before = found.results()["loss"]
    for _ in range(30):
        found.run()
    assert found.results()["loss"] < before


def names_in_attention(arrays):
    return {name.rpartition("/")[2] for name in arrays if "attention/" in name}


@pytest.mark.parametrize("score", ["concat", "general"])
@pytest.mark.parametrize("feedback", ["none", "state", "input"])
def test_what_both_sides_must_agree_in_is_whole_and_right(score, feedback):
    """The states, and a gradient for every parameter and input."""
    sizes = Sizes(2, 3, 4, 5, 2)
    found = attending(sizes, 6, score, feedback)
    results = found.results()
    parameters = {name for name in found.arrays if "/" in name}
    own = {"concat": {"W1", "W2", "v"}, "general": {"W"}}[score]
    assert names_in_attention(parameters) == own | {"W_c"}
    assert set(results) == parameters | {"states", "inputs", "encoder"}
    assert results["states"].shape == (2, 3, 5)
    for name in (*parameters, "inputs", "encoder"):
        assert results[name].shape == found.arrays[name].shape
        assert np.abs(results[name]).max() > 0
    assert np.abs(results["states"]).max() < 1  # a tanh


def test_the_keys_alone_are_one_product_and_its_gradients():
    sizes, random = Sizes(batch=2, hidden=5), np.random.default_rng(0)
    shapes = (2, 6, 5), (5, 5), (2, 6, 5)
    encoder, kernel, cotangent = (random.normal(size=shape).astype(np.float32) for shape in shapes)
    keys, gradients = keys_alone(sizes, 6).run()
    np.testing.assert_allclose(keys, encoder @ kernel, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(gradients[0], cotangent @ kernel.T, rtol=1e-5, atol=1e-6)
    expected = np.einsum("bni,bnj->ij", encoder, cotangent)
    np.testing.assert_allclose(gradients[1], expected, rtol=1e-5, atol=1e-5)


def test_other_numbers_are_refused():
    ours = {"states": np.ones((2, 2)), "gru/bias": np.array([1.0, -4.0])}
    assert check_same(ours, ours, "a case") == 0
    off = ours | {"gru/bias": np.array([1.0, -4.1])}
    with pytest.raises(InputError, match=r"a case: gru/bias differs by 0.02 of its largest entry"):
        check_same(ours, off, "a case")


def test_what_torch_would_need_counts_states_of_the_window_or_all():
    sizes = Sizes(32, 128, 100, 200, 64)
    by_step = temporaries(sizes, 2000, "concat", "by_step", whole=False)
    masked = temporaries(sizes, 2000, "concat", "masked", whole=False)
    assert masked == pytest.approx(by_step * 2000 / 65)
    assert temporaries(sizes, 60, "concat", "by_step", whole=False) == pytest.approx(by_step * 60 / 65)
    assert temporaries(sizes, 2000, "general", "by_step", whole=False) == by_step
    assert temporaries(sizes, 2000, "general", "masked", whole=False) == pytest.approx(masked / 200)


def test_one_call_for_all_words_serves_a_product_without_feedback_alone():
    assert set(ways("concat", "none")) - set(ways("concat", "state")) == {"in_pieces"}
    assert set(ways("general", "none")) - set(ways("concat", "none")) == {"fused"}
    assert ways("general", "input") == ways("concat", "input")


def row(case, implementation="mer_jax", ratio=1.0, **more):
    return {"case": case, "implementation": implementation, "median_ms": 100 * ratio, "ratio": ratio} | more


def test_the_fastest_of_torchs_ways_counts():
    rows = [
        row("decoder over 2000, concat, feedback state"),
        row("decoder over 2000, concat, feedback state", "keys alone", 0.4),
        row("decoder over 2000, concat, feedback state", "torch masked", 9.0),
        row("decoder over 2000, concat, feedback state", "torch by_step", 1.9),
        row("training step, general, feedback none"),
        row("training step, general, feedback none", "torch at_once", 1.2),
    ]
    rows = [{"part": "decoder", "feedback": "", "alignment": "window"} | one for one in rows]
    found = {one["what"]: (one["measured"], one["met"]) for one in benchmark.judged(rows)}
    assert found["decoder over 2000, concat, feedback state: torch by_step / ours"] == (1.9, False)
    assert found["training step, general, feedback none: torch at_once / ours"] == (1.2, True)
    assert sum(met is not None for _, met in found.values()) == 2
    assert len(found) == 22


@pytest.mark.parametrize(("mib", "met"), [((20, 68, 260), True), ((20, 68, 340), False)])
def test_memory_may_grow_as_the_window_does(mib, met):
    rows = [
        row("m", part="memory", score="general", feedback="state", alignment="window", width=w, peak_mib=m)
        for w, m in zip((16, 64, 256), mib, strict=True)
    ]
    (found,) = [
        one
        for one in benchmark.judged(rows)
        if one["what"].startswith("memory over many states, general, feedback state")
    ]
    assert found["met"] is met


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (("--rounds", "0"), "--rounds 0 must be positive"),
        (("--lengths",), "--lengths names none"),
        (("--parts",), "--parts names none"),
        (("--memory-widths", "16", "-1"), "must be positive"),
    ],
)
def test_bad_input_is_one_line(called, argv, message):
    code, said, result = called(*argv)
    assert (code, result) == (2, None)
    assert message in said.err
