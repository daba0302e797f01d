"""Interpolation onto one clock against numpy.interp."""

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mer_jax.nn.fusion import interpolate, one_clock


@settings(max_examples=40, deadline=None)
@given(n=st.integers(1, 9), new=st.integers(1, 12), seed=st.integers(0, 99))
def test_interpolation_equals_numpy(n, new, seed):
    frames = np.random.default_rng(seed).normal(size=(1, 9, 2)).astype(np.float32)
    out = interpolate(jnp.asarray(frames), jnp.array([n]), jnp.array([new]), 12)[0]
    place = (np.arange(new) + 0.5) * n / new - 0.5
    for k in range(2):
        expected = np.interp(place, np.arange(n), frames[0, :n, k])
        np.testing.assert_allclose(out[:new, k], expected, atol=1e-5)
    assert not np.asarray(out[new:]).any()


def test_same_clock_is_unchanged():
    frames = jnp.asarray(np.random.default_rng(0).normal(size=(2, 6, 3)), jnp.float32)
    lengths = jnp.array([6, 4])
    out = interpolate(frames, lengths, lengths, 6)
    np.testing.assert_allclose(out[0], frames[0], atol=1e-6)
    np.testing.assert_allclose(out[1, :4], frames[1, :4], atol=1e-6)


def streams(audio_lengths, text_lengths):
    mask = {
        "audio": jnp.arange(8)[None, :] < jnp.array(audio_lengths)[:, None],
        "text": jnp.arange(4)[None, :] < jnp.array(text_lengths)[:, None],
    }
    features = {"audio": jnp.ones((2, 8, 2)), "text": 2 * jnp.ones((2, 4, 3))}
    return features, mask


def test_a_missing_modality_is_zero_and_the_others_keep_their_clock():
    joined, mask = one_clock(*streams([8, 5], [4, 0]), "audio")
    assert joined.shape == (2, 8, 5)
    np.testing.assert_array_equal(mask.sum(axis=1), [8, 5])
    np.testing.assert_array_equal(joined[0, :, 2:], 2)
    assert not np.asarray(joined[1, :, 2:]).any()


def test_without_the_clock_modality_the_longest_gives_the_length():
    joined, mask = one_clock(*streams([0, 5], [3, 2]), "audio")
    np.testing.assert_array_equal(mask.sum(axis=1), [3, 5])
    np.testing.assert_array_equal(joined[0, :3, 2:], 2)


def test_on_padded_grids_the_padding_is_interpolated_too():
    """Against numpy.interp over all 4 steps, zeros of the padding included."""
    features, masks = streams([8, 5], [4, 2])
    text = np.random.default_rng(0).normal(size=(2, 4, 3)).astype(np.float32)
    text[1, 2:] = 0
    features["text"] = jnp.asarray(text)
    joined, mask = one_clock(features, masks, "audio", "padded")
    place = (np.arange(8) + 0.5) * 4 / 8 - 0.5
    for row in range(2):
        for k in range(3):
            expected = np.interp(place, np.arange(4), text[row, :, k])
            np.testing.assert_allclose(joined[row, :, 2 + k], expected, atol=1e-6)
    np.testing.assert_array_equal(joined[:, :, :2], features["audio"])
    np.testing.assert_array_equal(mask.sum(axis=1), [8, 5])


def test_on_padded_grids_a_frame_with_anything_is_unmasked():
    """Keras' Masking(0) on the joined features, where masks are of frames that are not zero."""
    features, masks = streams([3, 0], [4, 2])
    features = {m: jnp.where(masks[m][:, :, None], x, 0) for m, x in features.items()}
    joined, mask = one_clock(features, masks, "audio", "padded")
    np.testing.assert_array_equal(mask, (np.asarray(joined) != 0).any(axis=2))
    assert mask.sum(axis=1).tolist() == [8, 5]


def test_a_masked_frame_inside_a_sequence_does_not_shorten_it():
    features, masks = streams([6, 8], [4, 4])
    holed = {**masks, "audio": masks["audio"].at[:, 2].set(False)}
    expected, length = one_clock(features, masks, "audio")
    joined, mask = one_clock(features, holed, "audio")
    np.testing.assert_array_equal(joined, expected)
    np.testing.assert_array_equal(mask, length)


def test_gradients_are_finite_where_a_modality_is_missing():
    features, masks = streams([0, 0], [0, 3])
    grads = jax.grad(lambda f: one_clock(f, masks, "audio")[0].sum())(features)
    assert all(np.isfinite(g).all() for g in jax.tree.leaves(grads))
