import json

import numpy as np
import pytest
from sklearn.manifold import trustworthiness

from experiments import benchmark_tsne_fit as benchmark
from mer_jax.emotion_space.parametric_tsne import ParametricTSNE


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(benchmark, "HELD_OUT", 80)
    quick = lambda **options: ParametricTSNE(max_iter=30, hidden=(8,), perplexity=5.0, **options)  # noqa: E731
    monkeypatch.setattr(benchmark, "ParametricTSNE", quick)
    return quick


def test_every_fit_is_told_with_what_it_took(quick, script, tmp_path):
    path = tmp_path / "fits.json"
    done = script(benchmark, "--rows", "120", "240", "--features", "3", "--json", str(path))
    assert done.code == 0, done.err
    found = json.loads(path.read_text())
    assert [fit["rows"] for fit in found["fits"]] == [120, 240]
    rows = benchmark.generated(240, 3, 0)
    model = quick(random_state=0).fit(rows[:240])
    fit = found["fits"][1]
    expected = trustworthiness(rows[240:], model.transform(rows[240:]), n_neighbors=12)
    assert fit["trustworthiness"] == pytest.approx(expected, abs=1e-9)
    assert fit["kl"] == pytest.approx(model.kl_divergence_, rel=1e-6)
    assert fit["fit_cpu_seconds"] > 0
    assert benchmark.markdown(found).splitlines()[-1].startswith("| 240 | ")


def test_rows_are_generated_anew_for_a_seed_alone():
    one, again, other = (benchmark.generated(50, 4, seed) for seed in (0, 0, 1))
    assert one.shape == (50 + benchmark.HELD_OUT, 4)
    assert (one == again).all()
    assert not np.isclose(one, other).any(axis=1).any()


@pytest.mark.parametrize("rows", [("50",), ("200", "150"), ("200", "200")])
def test_numbers_of_rows_that_do_not_rise_are_refused(script, rows):
    done = script(benchmark, "--rows", *rows)
    assert (done.code, "rising numbers" in done.err) == (2, True)
