"""Where attention lies: the measures by hand, the record, the heat-maps."""

import numpy as np
import pytest
from scipy.stats import entropy as scipy_entropy

from mer_jax.data.schema import Utterance
from mer_jax.errors import InputError
from mer_jax.evaluation.alignment import entropy, mass_within, true_spans, with_neighbours
from mer_jax.evaluation.attention_record import AttentionRecord, Example, chosen
from mer_jax.evaluation.figures_attention import BINS, grid, heat_maps, outlines

RATE = 10.0
SPANS = np.array([[0.0, 0.2], [0.25, 0.4], [0.5, 0.7]])
WEIGHTS = np.array([[0.5, 0.5, 0.0], [0.2, 0.3, 0.5], [0.1, 0.1, 0.0]])
POSITIONS = np.array([[0, 1, 2], [2, 3, 4], [6, 7, -1]])


def test_mass_within_a_span_by_hand():
    """Frame 2 lasts from .2 to .3 s, half of it in the second span; the third word's weights add up
    to .2 only, half of them in frame 6."""
    np.testing.assert_allclose(mass_within(WEIGHTS, POSITIONS, SPANS, RATE), [1, 0.2 / 2 + 0.3, 0.5])


def test_mass_within_one_word_reaches_from_neighbour_to_neighbour():
    near = with_neighbours(SPANS)
    np.testing.assert_allclose(near, [[0, 0.4], [0, 0.7], [0.25, 0.7]])
    np.testing.assert_allclose(mass_within(WEIGHTS, POSITIONS, near, RATE), [1, 1, 0.5])
    assert with_neighbours(SPANS[:1]).tolist() == SPANS[:1].tolist()
    assert with_neighbours(SPANS[:0]).shape == (0, 2)


def test_a_span_shorter_than_a_frame_gets_its_part_of_it():
    span, one = np.array([[0.12, 0.14]]), np.ones((1, 1))
    np.testing.assert_allclose(mass_within(one, np.array([[1]]), span, RATE), [0.2])


def test_even_attention_gets_the_share_of_time():
    everywhere = np.broadcast_to(np.arange(10), (3, 10))
    found = mass_within(np.ones((3, 10)), everywhere, SPANS, RATE)
    np.testing.assert_allclose(found, (SPANS[:, 1] - SPANS[:, 0]) / 1.0)


def test_a_word_without_keys_is_not_counted():
    weights = np.array([[0.0, 0.0], [0.0, 1.0]])
    found = mass_within(weights, np.array([[-1, -1], [0, 1]]), SPANS[:2], RATE)
    assert np.isnan(found[0])
    assert np.isnan(entropy(weights)[0])


def test_entropy_is_that_of_scipy():
    np.testing.assert_allclose(entropy(WEIGHTS), scipy_entropy(WEIGHTS, axis=1))


def test_a_generator_knows_better_than_the_word_times():
    words = Utterance("u", "s", "d", words=("a",), word_spans=np.array([[0, 1]], np.float32))
    assert true_spans(words).tolist() == [[0, 1]]
    lagged = Utterance(
        "u", "s", "d", word_spans=words.word_spans, truth={"alignment": np.array([[0.4, 1.4]])}
    )
    np.testing.assert_allclose(true_spans(lagged), [[0.4, 1.4]])
    assert true_spans(Utterance("u", "s", "d")).shape == (0, 2)


def example(name, words=3, frames=8, keys=3, seed=0):
    random = np.random.default_rng(seed)
    start = np.sort(random.uniform(0, frames / RATE, words))
    positions = np.minimum(np.arange(words)[:, None] + np.arange(keys)[None], frames - 1).astype(np.int32)
    weights = random.dirichlet(np.ones(keys), words).astype(np.float32)
    spans = np.stack([start, start + 0.1], axis=1)
    return Example(name, tuple("abcdefgh"[:words]), spans, frames, weights, positions)


def record(count=3):
    trained = [example(f"u{k:02d}", words=2 + k % 3, seed=k) for k in range(count)]
    untrained = [example(e.id, words=len(e.words), seed=k + 50) for k, e in enumerate(trained)]
    return AttentionRecord.of(trained, untrained, RATE, chosen([e.id for e in trained])), trained, untrained


def test_a_record_measures_every_word():
    made, trained, untrained = record()
    found = made.summary()
    for part, examples in ((found, trained), (found["untrained"], untrained)):
        spans = [e.spans for e in trained]
        inside = [mass_within(e.weights, e.positions, s, RATE) for e, s in zip(examples, spans, strict=True)]
        assert part["mass_in_span"] == pytest.approx(np.concatenate(inside).mean())
    assert (found["n"], found["utterances"]) == (2 + 3 + 4, 3)
    assert found["uniform"]["entropy"] == pytest.approx(np.log(3))
    assert found["uniform_everywhere"]["entropy"] == pytest.approx(np.log(8))


def test_a_record_comes_back_from_disk_the_same(tmp_path):
    made, _, _ = record(5)
    for name in "ab":
        made.save(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    again = AttentionRecord.load(tmp_path / "a")
    assert again.summary() == made.summary()
    for one, other in zip(made.examples, again.examples, strict=True):
        assert (one.id, one.words, one.frames) == (other.id, other.words, other.frames)
        np.testing.assert_array_equal(one.spans, other.spans)
        np.testing.assert_array_equal(one.weights, other.weights[:, : one.weights.shape[1]])
    (tmp_path / "a").write_bytes(b"PK")
    with pytest.raises(InputError, match="damaged"):
        AttentionRecord.load(tmp_path / "a")


def test_examples_are_evenly_spaced_in_order_of_id():
    ids = [f"u{k:03d}" for k in range(100)]
    assert chosen(ids[::-1]) == [f"u{k:03d}" for k in (0, 9, 18, 27, 36, 45, 54, 63, 72, 81, 90, 99)]
    assert chosen(ids[:3]) == ids[:3]
    assert chosen([]) == []


def test_a_heat_map_holds_each_words_shares_where_they_belong():
    one = example("u", words=2, frames=6)
    values, seconds = grid(one, RATE)
    assert (values.shape, seconds) == ((2, 6), 0.1)
    np.testing.assert_allclose(values[1, 1:4], one.weights[1] / one.weights[1].sum(), rtol=1e-6)
    assert np.isnan(values[1, [0, 4, 5]]).all()


def test_a_long_recording_is_summed_into_a_bounded_number_of_columns():
    one = example("u", words=2, frames=10 * BINS + 1, keys=30)
    values, seconds = grid(one, RATE)
    assert values.shape[1] <= BINS
    assert values.shape[1] * seconds >= one.frames / RATE
    np.testing.assert_allclose(np.nansum(values, axis=1), 1, rtol=1e-6)


def test_every_true_span_is_outlined_in_its_row():
    x, y = outlines(SPANS)
    for row, (start, end) in enumerate(SPANS):
        part = slice(6 * row, 6 * row + 5)
        assert (min(x[part]), max(x[part])) == (start, end)
        assert (min(y[part]), max(y[part])) == (row - 0.46, row + 0.46)
        assert x[6 * row + 5] is None


def test_a_heat_map_for_every_example():
    made, _, _ = record(5)
    figure = heat_maps(made)
    maps = [trace for trace in figure.data if trace.type == "heatmap"]
    assert len(maps) == len([trace for trace in figure.data if trace.type == "scatter"]) == 5
    assert [len(trace.z) for trace in maps] == [len(e.words) for e in made.examples]
    assert [a.text for a in figure.layout.annotations] == [e.id for e in made.examples]
    assert heat_maps(AttentionRecord(RATE, made.ids, made.measures, ())) is None
