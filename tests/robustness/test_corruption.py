"""What the corruption suite does, measured on what comes out."""

import dataclasses

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from mer_jax.errors import InputError
from mer_jax.robustness.corruption import Corruption, corrupt
from mer_jax.robustness.regeneration import without
from mer_jax.robustness.vectors import availability
from tests.robustness.planted import ids_of, part, shared_factors

NAMES = ("a", "b", "c")
EXAMPLES = shared_factors(samples=300, steps=20, missing=0.1)
IDS = ids_of(EXAMPLES)


def done(kind, examples=EXAMPLES, ids=IDS, seed=0, **options):
    options = {"modalities": NAMES, **options}
    return corrupt(examples, ids, Corruption(kind, **options), seed)


def pairs(result, examples=EXAMPLES):
    """(before, after, hit) of every modality of every example."""
    for k, name in enumerate(NAMES):
        for i, (x, y) in enumerate(zip(examples.features[name], result.examples.features[name], strict=True)):
            yield x, y, bool(result.where[i, k])


@settings(max_examples=25, deadline=None)
@given(snr=st.floats(-30, 40), seed=st.integers(0, 99))
def test_noise_has_exactly_the_stated_ratio(snr, seed):
    result = done("noise", part(EXAMPLES, np.arange(20)), IDS[:20], seed, share=1.0, snr_db=snr)
    for x, y, hit in pairs(result, part(EXAMPLES, np.arange(20))):
        if hit:
            noise = y.astype(float) - x
            assert 10 * np.log10(np.sum(x.astype(float) ** 2) / np.sum(noise**2)) == pytest.approx(
                snr, abs=0.01
            )
        else:
            np.testing.assert_array_equal(x, y)


def test_noise_is_white_and_gaussian():
    result = done("noise", share=1.0, per_sample="all")
    normal = []
    for x, y, hit in pairs(result):
        if hit:
            noise = y - x
            normal.append(noise / noise.std())
    assert scipy.stats.kstest(np.concatenate([n.ravel() for n in normal]), "norm").pvalue > 1e-3
    for shifted in (lambda n: (n[1:], n[:-1]), lambda n: (n[:, 1:], n[:, :-1])):
        a, b = (np.concatenate([shifted(n)[k].ravel() for n in normal]) for k in (0, 1))
        assert abs(np.corrcoef(a, b)[0, 1]) < 0.03


@pytest.mark.parametrize("kind", ["noise", "burst", "frame_drop", "drop", "shift"])
def test_what_is_said_to_be_hit_changed_and_nothing_else_did(kind):
    result = done(kind, share=0.4)
    changed = [not np.array_equal(x, y) for x, y, _ in pairs(result)]
    assert changed == [hit for _, _, hit in pairs(result)]
    assert result.where.sum(axis=1).max() == 1
    assert result.where.any(axis=1).mean() == pytest.approx(0.4, abs=0.1)
    assert result.where.mean(axis=0).min() > 0.05
    assert all(y.dtype == np.float32 for _, y, _ in pairs(result))
    assert not result.where[~availability(EXAMPLES)].any()


@pytest.mark.parametrize("kind", ["noise", "burst", "frame_drop", "drop", "shift"])
def test_order_and_company_do_not_matter_and_the_seed_does(kind):
    order = np.random.default_rng(0).permutation(300)[:170]
    whole = done(kind)
    some = done(kind, part(EXAMPLES, order), [IDS[i] for i in order])
    np.testing.assert_array_equal(some.where, whole.where[order])
    for name in NAMES:
        for place, i in enumerate(order):
            np.testing.assert_array_equal(
                some.examples.features[name][place], whole.examples.features[name][i]
            )
    assert not np.array_equal(done(kind, seed=1).where, whole.where)


def test_the_same_samples_suffer_at_a_larger_share_and_the_same_noise_at_another_ratio():
    small, large = (done("noise", share=s, snr_db=r) for s, r in ((0.2, 0.0), (0.7, 20.0)))
    assert (large.where >= small.where).all()
    for (x, y, hit), (_, z, _) in zip(pairs(small), pairs(large), strict=True):
        if hit:
            np.testing.assert_allclose(y - x, 10 * (z - x), atol=1e-4)


def test_all_named_modalities_may_suffer_at_once():
    result = done("noise", share=1.0, per_sample="all", modalities=("c", "a"))
    np.testing.assert_array_equal(result.where[:, [0, 2]], availability(EXAMPLES)[:, [0, 2]])
    assert not result.where[:, 1].any()


def test_dropping_leaves_one_modality():
    result = done("drop", share=1.0, per_sample="all")
    left = availability(result.examples)
    had = availability(EXAMPLES).sum(axis=1)
    np.testing.assert_array_equal(left.sum(axis=1), np.minimum(had, 1))
    assert left[had == 3].mean(axis=0).min() > 0.15
    only = done("drop", share=1.0, per_sample="all", modalities=("a", "b"))
    np.testing.assert_array_equal(only.examples.lengths("c"), EXAMPLES.lengths("c"))
    several = availability(EXAMPLES)[:, 2]
    assert not availability(only.examples)[several][:, :2].any()


def test_a_burst_is_one_stretch_with_its_own_exact_ratio():
    starts = []
    for x, y, hit in pairs(done("burst", share=1.0, snr_db=-6.0, frame_share=0.25)):
        if not hit:
            continue
        frames = np.flatnonzero((x != y).any(axis=1))
        assert len(frames) == max(1, round(0.25 * len(x)))
        assert (np.diff(frames) == 1).all()
        starts.append(frames[0] / len(x))
        x, noise = x[frames].astype(float), (y - x)[frames].astype(float)
        assert 10 * np.log10(np.sum(x**2) / np.sum(noise**2)) == pytest.approx(-6, abs=0.01)
    assert min(starts) < 0.1
    assert max(starts) > 0.6


def test_dropped_frames_are_zero_and_as_many_as_asked_for():
    for x, y, hit in pairs(done("frame_drop", share=1.0, frame_share=0.4)):
        gone = (y == 0).all(axis=1)
        assert gone.sum() == (max(1, round(0.4 * len(x))) if hit else 0)
        np.testing.assert_array_equal(y[~gone], x[~gone])


@pytest.mark.parametrize("shift", [0.5, -0.5, 1.0, -1.0])
def test_a_shift_moves_frames_and_leaves_zeros(shift):
    for x, y, hit in pairs(done("shift", share=1.0, shift=shift)):
        by = round(shift * len(x)) if hit else 0
        for t in range(len(x)):
            expected = x[t - by] if 0 <= t - by < len(x) else np.zeros_like(x[0])
            np.testing.assert_array_equal(y[t], expected)


def test_silence_has_no_signal_to_noise_ratio_and_stays():
    silent = dataclasses.replace(
        EXAMPLES, features={m: [np.zeros_like(x) for x in xs] for m, xs in EXAMPLES.features.items()}
    )
    assert not done("noise", silent, share=1.0).where.any()


def test_without_is_what_drop_does():
    result = done("drop", share=0.5)
    for name in NAMES:
        expected = without(EXAMPLES, result.where).features[name]
        for a, b in zip(expected, result.examples.features[name], strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"modalities": ("a", "a")}, "name each once"),
        ({"modalities": ("a", "a")}, "each once"),
        ({"share": 1.1}, "share=1.1 must be a share of 0 to 1"),
        ({"frame_share": float("nan")}, "frame_share=nan"),
        ({"shift": -2.0}, "shift=-2.0 must be a share of -1 to 1"),
        ({"snr_db": 1e3}, "snr_db=1000.0"),
    ],
)
def test_options_out_of_range_are_refused(wrong, said):
    with pytest.raises(InputError, match=said):
        Corruption("noise", **{"modalities": ("a",), **wrong})


def test_unknown_modalities_and_missing_ids_are_refused():
    with pytest.raises(InputError, match="no modality 'd'"):
        done("noise", modalities=("d",))
    with pytest.raises(InputError, match="2 ids for 300 examples"):
        done("noise", ids=["x", "y"])
