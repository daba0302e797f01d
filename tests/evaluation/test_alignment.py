"""Where attention lies: the measures by hand, the record, the heat-maps."""

import dataclasses

import numpy as np
import pytest
from scipy.stats import entropy as scipy_entropy

from mer_jax.data.schema import Utterance
from mer_jax.errors import InputError
from mer_jax.evaluation.alignment import entropy, mass_within, width, with_neighbours
from mer_jax.evaluation.attention_record import AttentionRecord, Example, chosen
from mer_jax.evaluation.figures_attention import grid, heat_maps, outlines, silhouette
from mer_jax.evaluation.sound_trace import BINS

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


def test_width_is_the_time_of_the_effective_number_of_frames():
    """Of scipy's entropy; n / rate where attention is even over n frames, one frame where it is on one."""
    np.testing.assert_allclose(width(entropy(WEIGHTS), RATE), np.exp(scipy_entropy(WEIGHTS, axis=1)) / RATE)
    even = np.array([[1.0, 1, 1, 1], [0, 3, 0, 3], [0, 0, 0.2, 0]])
    np.testing.assert_allclose(width(entropy(even), RATE), [0.4, 0.2, 0.1])
    assert np.isnan(width(entropy(np.zeros((1, 3))), RATE)).all()


def test_a_generator_knows_better_than_the_word_times():
    words = Utterance("u", "s", "d", words=("a",), word_spans=np.array([[0, 1]], np.float32))
    assert words.aligned_spans().tolist() == [[0, 1]]
    lagged = Utterance(
        "u", "s", "d", word_spans=words.word_spans, truth={"alignment": np.array([[0.4, 1.4]])}
    )
    np.testing.assert_allclose(lagged.aligned_spans(), [[0.4, 1.4]])
    assert Utterance("u", "s", "d").aligned_spans().shape == (0, 2)


def example(name, words=3, frames=8, keys=3, seed=0, sound="RMS of the features of audio"):
    random = np.random.default_rng(seed)
    start = np.sort(random.uniform(0, frames / RATE, words))
    positions = np.minimum(np.arange(words)[:, None] + np.arange(keys)[None], frames - 1).astype(np.int32)
    weights = random.dirichlet(np.ones(keys), words).astype(np.float32)
    spans = np.stack([start, start + 0.1], axis=1)
    trace = np.stack([np.zeros(frames), random.uniform(0.5, 2, frames)], axis=1).astype(np.float32)
    if sound == "waveform":
        trace[:, 0] = -trace[:, 1]
    return Example(name, tuple("abcdefgh"[:words]), spans, frames, weights, positions, trace, sound, 1 / RATE)


def record(count=3, **options):
    trained = [
        example(f"u{k:02d}", words=2 + k % 3, frames=8 + k % 2, seed=k, **options) for k in range(count)
    ]
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
    words = np.array([2, 3, 4])
    assert found["uniform_everywhere"]["entropy"] == pytest.approx(
        np.average(np.log([8, 9, 8]), weights=words)
    )
    assert found["uniform"]["width"] == pytest.approx(3 / RATE)
    assert found["uniform_everywhere"]["width"] == pytest.approx(np.average([0.8, 0.9, 0.8], weights=words))
    for part, examples in ((found, trained), (found["untrained"], untrained)):
        nats = np.concatenate([scipy_entropy(e.weights.astype(np.float64), axis=1) for e in examples])
        assert part["width"] == pytest.approx(np.exp(nats).mean() / RATE)


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
        assert (one.trace_name, one.trace_seconds) == (other.trace_name, other.trace_seconds)
        assert one.trace.dtype == other.trace.dtype
        np.testing.assert_array_equal(one.trace, other.trace)
    (tmp_path / "a").write_bytes(b"PK")
    with pytest.raises(InputError, match="damaged"):
        AttentionRecord.load(tmp_path / "a")


def test_a_record_of_an_earlier_version_says_so(tmp_path):
    made, _, _ = record()
    made.save(tmp_path / "now.npz")
    with np.load(tmp_path / "now.npz") as file:
        older = {name: file[name] for name in file.files if not name.endswith("/width")}
    np.savez(tmp_path / "older.npz", **older)
    with pytest.raises(
        InputError, match=r"older.npz holds no 'trained/width', an earlier version .* --overwrite"
    ):
        AttentionRecord.load(tmp_path / "older.npz")


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


def test_attention_to_padding_is_counted_and_not_drawn():
    one = example("u", words=2, frames=3, keys=3)
    padded = dataclasses.replace(one, frames=2, positions=np.array([[0, 1, 2]] * 2))
    values, _ = grid(padded, RATE)
    assert values.shape == (2, 2)
    np.testing.assert_allclose(values.sum(axis=1), 1 - one.weights[:, 2] / one.weights.sum(axis=1), rtol=1e-6)


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


def test_a_sound_is_drawn_along_its_highest_and_back_along_its_lowest():
    x, y = silhouette(np.array([[-1, 2], [-3, 4]], np.float32), 0.5)
    assert x == [0, 0.5, 0.5, 1, 1, 0.5, 0.5, 0]
    assert y == [2, 2, 4, 4, -3, -3, -1, -1]


def test_a_heat_map_for_every_example():
    made, _, _ = record(5)
    figure = heat_maps(made.examples, [RATE] * len(made.examples))
    maps = [trace for trace in figure.data if trace.type == "heatmap"]
    assert len(maps) == 5
    assert [len(trace.z) for trace in maps] == [len(e.words) for e in made.examples]
    assert [a.text for a in figure.layout.annotations] == [e.id for e in made.examples]
    assert heat_maps((), ()) is None


@pytest.mark.parametrize(
    ("rate", "most", "label"),
    [(20.0, 0.2, "\u2265 0.2"), (100.0, 0.04, "\u2265 0.04"), (6.4, 0.6, "\u2265 0.6"), (2.0, 1, "1")],
)
def test_the_darkest_colour_is_that_of_a_quarter_second_that_holds_everything(rate, most, label):
    made, _, _ = record(5)
    colours = heat_maps(made.examples, [rate] * 5).layout.coloraxis
    assert (colours.cmin, colours.cmax) == pytest.approx((0, most))
    assert colours.colorbar.tickvals == pytest.approx(tuple(np.linspace(0, most, 5)))
    assert colours.colorbar.ticktext[-1] == label


@pytest.mark.parametrize(
    ("sound", "title"),
    [("waveform", "waveform"), ("RMS of the features of audio", "RMS of the<br>features of<br>audio")],
)
def test_each_sound_lies_under_its_heat_map_on_the_same_time_axis_and_is_titled_as_what_it_is(sound, title):
    made, _, _ = record(5, sound=sound)
    figure = heat_maps(made.examples, [RATE] * len(made.examples))
    maps = [trace for trace in figure.data if trace.type == "heatmap"]
    sounds = [trace for trace in figure.data if trace.type == "scatter" and trace.fill == "toself"]
    layout, used = figure.layout, set()
    for heat, drawn, one in zip(maps, sounds, made.examples, strict=True):
        assert heat.xaxis == drawn.xaxis
        time = layout[heat.xaxis.replace("x", "xaxis")]
        above, below = (layout[trace.yaxis.replace("y", "yaxis")] for trace in (heat, drawn))
        assert time.anchor == drawn.yaxis
        assert list(time.range) == [0, one.frames / RATE]
        assert max(drawn.x) == pytest.approx(one.frames / RATE)
        assert 0 <= below.domain[0] < below.domain[1] < above.domain[0] < above.domain[1] <= 1
        assert list(below.ticktext) == [title]
        low, high = one.trace.min(), one.trace.max()
        assert (min(drawn.y), max(drawn.y)) == pytest.approx((low, high), abs=1e-5)
        assert below.range[0] <= low < high < below.range[1]
        used.add((time.domain, above.domain, below.domain))
    assert len(used) == 5
    assert [layout[f"xaxis{n}"].title.text for n in ("", 2, 3, 4, 5)] == ["", "", *["Seconds"] * 3]
