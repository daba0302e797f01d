"""The map's states and prototypes, its land, and its labels."""

import struct
import zlib
from base64 import b64decode

import numpy as np
import pytest

from mer_jax.emotion_space import prototypes
from mer_jax.emotion_space.labels import offsets, text_size
from mer_jax.emotion_space.mapping import MIXED, NEUTRAL, Map
from mer_jax.emotion_space.territory import levels_holding, picture_of_kinds, territory
from mer_jax.errors import InputError
from tests.emotion_space.spaces import EMOTIONS, rows, space, transform


def test_states_are_the_distinct_rows_with_their_counts():
    made, observed = space(), rows()
    assert made.counts.sum() == len(observed)
    for state, count in zip(made.states[:20], made.counts[:20], strict=True):
        assert (observed == state).all(axis=1).sum() == count
    np.testing.assert_allclose(made.places, transform(made.states))


def test_intensities_beyond_the_limits_are_placed_at_the_limit():
    placed = space().place(np.array([[-1, 4, 1]], np.float32))
    np.testing.assert_allclose(placed, transform([[0, 3, 1]]))


def test_the_strongest_emotion():
    states = np.array([[0, 0, 0], [1, 1, 0], [0, 1, 2], [0.1, 0, 0], [2, 1, 1]], np.float32)
    assert space().dominant(states).tolist() == [NEUTRAL, MIXED, 2, NEUTRAL, 0]


def test_emotions_rise_from_none():
    path = space().pure(1, np.array([0.0, 0.5, 1.0]))
    np.testing.assert_allclose(path, [[0, 0, 0], [0, 1.5, 0], [0, 3, 0]])


def test_shares_rise_from_neutral_where_it_is_an_emotion():
    shares = np.random.default_rng(0).dirichlet(np.ones(3), 30).astype(np.float32)
    made = Map.of_rows(("anger", "Neutral", "joy"), transform, shares, 1.0)
    np.testing.assert_allclose(made.pure(2, np.array([0.25])), [[0, 0.75, 0.25]])
    assert made.rising == (0, 2)
    assert [kind.name for kind in made.kinds] == ["anger", "Neutral", "joy", "two or more alike"]


def test_shares_without_neutral_rise_from_all_alike():
    shares = np.random.default_rng(0).dirichlet(np.ones(3), 30).astype(np.float32)
    made = Map.of_rows(EMOTIONS, transform, shares, 1.0)
    np.testing.assert_allclose(made.rest, 1 / 3, rtol=1e-6)
    assert made.rest_name == "all alike"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"emotions": ("one",)}, "give a column per emotion"),
        ({"counts": np.array([1, 0])}, "above 0"),
        ({"states": np.full((2, 3), np.nan)}, "finite"),
        ({"top": 0.0}, "above 0"),
    ],
)
def test_contradictions_are_named(change, words):
    whole = {"emotions": EMOTIONS, "transform": transform, "top": 3.0}
    whole |= {"states": np.zeros((2, 3)), "counts": np.array([1, 1])}
    with pytest.raises(InputError, match=words):
        Map(**(whole | change))


def test_a_transform_of_another_width_is_named():
    with pytest.raises(InputError, match="two finite coordinates"):
        _ = Map.of_rows(EMOTIONS, lambda x: x, rows(), 3.0).places


def test_mixtures_are_pairs_that_occur():
    states = np.array([[1, 1, 0]] * 6 + [[1, 0, 1]] * 4 + [[0, 0.1, 0.2]] * 9 + [[2, 2, 2]] * 9, np.float32)
    (found,) = prototypes.mixtures(Map.of_rows(EMOTIONS, transform, states, 3.0))
    assert (found.emotions, found.count) == ((0, 1), 6)
    np.testing.assert_allclose(found.state, [2, 2, 0])


def test_pure_prototypes_count_their_rows():
    made = space()
    found = {one.name: one.count for one in prototypes.pure(made)}
    assert found["happiness 1 of 3"] == (rows() == [1, 0, 0]).all(axis=1).sum()
    assert len(found) == 9


def test_local_averages_near_a_lone_state_are_that_state():
    states = np.array([[3, 0, 0], [0, 3, 0], [0, 0, 3]], np.float32)
    made = Map.of_rows(EMOTIONS, transform, states, 3.0)
    ground = territory(made)
    for state, (x, y) in zip(made.states, made.places, strict=True):
        pixel = np.abs(ground.y - y).argmin(), np.abs(ground.x - x).argmin()
        np.testing.assert_allclose(ground.mean[pixel], state, atol=1e-3)
        assert ground.presence[pixel] > 0.9
    assert ground.presence[0, 0] < 1e-3


def test_levels_hold_their_share():
    density = np.random.default_rng(0).random((40, 30))
    for share, level in zip((0.9, 0.5), levels_holding(density, (0.9, 0.5)), strict=True):
        assert density[density >= level].sum() / density.sum() == pytest.approx(share, abs=2e-3)


def test_the_land_is_a_png_whose_colours_are_those_of_the_emotions():
    made = Map.of_rows(EMOTIONS, transform, np.eye(3, dtype=np.float32) * 3, 3.0)
    ground = territory(made)
    pixels = _decoded(picture_of_kinds(made, ground, 1.0))
    for state, (x, y) in zip(made.states, made.places, strict=True):
        row, column = np.abs(ground.y - y).argmin(), np.abs(ground.x - x).argmin()
        colour = made.kinds[int(state.argmax())].colour
        expected = [int(colour[k : k + 2], 16) for k in (1, 3, 5)]
        np.testing.assert_allclose(pixels[len(pixels) - 1 - row, column, :3], expected, atol=4)
    assert pixels[0, 0, 3] == 0


def _decoded(uri):
    content = b64decode(uri.partition(",")[2])
    width, height = struct.unpack(">II", content[16:24])
    start = content.index(b"IDAT")
    (length,) = struct.unpack(">I", content[start - 4 : start])
    lines = np.frombuffer(zlib.decompress(content[start + 4 : start + 4 + length]), np.uint8)
    return lines.reshape(height, 1 + 4 * width)[:, 1:].reshape(height, width, 4).astype(int)


def test_labels_cover_neither_each_other_nor_leave_the_frame():
    random = np.random.default_rng(0)
    anchors = random.uniform(-120, 120, (9, 2))
    anchors[1] = anchors[0] + 1
    sizes = np.array([text_size("happiness", 14.0)] * 9)
    frame = np.array([[-200.0, -200.0], [200.0, 200.0]])
    chosen = anchors + offsets(anchors, sizes, anchors, anchors, frame)
    low, high = chosen - sizes / 2, chosen + sizes / 2
    assert (low >= -200).all()
    assert (high <= 200).all()
    for a in range(9):
        for b in range(a):
            assert (low[a] >= high[b]).any() or (low[b] >= high[a]).any()
