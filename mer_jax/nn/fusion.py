"""Bringing sequences with clocks of their own onto one clock."""

from typing import Literal

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

Lengths = Literal["true", "padded"]


def interpolate(
    frames: Float[Array, "batch time dim"],
    lengths: Int[Array, " batch"],
    new_lengths: Int[Array, " batch"],
    new_time: int,
) -> Float[Array, "batch {new_time} dim"]:
    """Linear interpolation of each sequence from `lengths` to `new_lengths` frames.

    Both clocks cover the same utterance, so frame i of the new clock has its centre at

        s_i = (i + 1/2) n / n' - 1/2,   clipped to [0, n - 1]

    of the old one, with n and n' the true lengths (padding is never interpolated into).
    Zeros beyond n', and where n is 0.
    """
    n = lengths.astype(frames.dtype)[:, None]
    new = jnp.maximum(new_lengths, 1).astype(frames.dtype)[:, None]
    ticks = jnp.arange(new_time, dtype=frames.dtype)[None, :]
    place = jnp.clip((ticks + 0.5) * n / new - 0.5, 0, jnp.maximum(n - 1, 0))
    left = jnp.floor(place).astype(jnp.int32)
    right = jnp.minimum(left + 1, jnp.maximum(lengths[:, None] - 1, 0))
    share = (place - left.astype(frames.dtype))[:, :, None]
    a = jnp.take_along_axis(frames, left[:, :, None], axis=1)
    b = jnp.take_along_axis(frames, right[:, :, None], axis=1)
    exists = (ticks < new_lengths.astype(frames.dtype)[:, None]) & (n > 0)
    return jnp.where(exists[:, :, None], (1 - share) * a + share * b, 0)


def one_clock(
    features: dict[str, Float[Array, "batch _time _dim"]],
    masks: dict[str, Bool[Array, "batch _time"]],
    clock: str,
    lengths: Lengths = "true",
) -> tuple[Float[Array, "batch clock_time dims"], Bool[Array, "batch clock_time"]]:
    """All modalities interpolated to the frames of `clock` and concatenated in name order
    of `features`.

    lengths: "true" interpolates between an utterance's own lengths (`on_clock`).
        "padded" interpolates between the padded grids, padding included, so that the clocks
        of a short utterance drift apart (M. Schmitz' recipe); a frame is then unmasked where
        any modality has something, which is Keras' Masking(0) on the joined features if
        `masks` are of frames that are not all zero.
    """
    if lengths == "padded":
        return _on_padded_grids(features, masks, clock)
    each, mask = on_clock(features, masks, clock)
    return jnp.concatenate(list(each.values()), axis=-1), mask


def on_clock(
    features: dict[str, Float[Array, "batch _time _dim"]],
    masks: dict[str, Bool[Array, "batch _time"]],
    clock: str,
) -> tuple[dict[str, Float[Array, "batch clock_time _dim"]], Bool[Array, "batch clock_time"]]:
    """Each modality interpolated to the frames of `clock`, and the mask of these frames.

    A sequence reaches to its last unmasked frame; where an utterance lacks the clock modality
    its longest one gives the length. A missing modality is zeros.
    """
    ends = {m: _last_frame(mask) for m, mask in masks.items()}
    time = features[clock].shape[1]
    longest = jnp.stack(list(ends.values())).max(axis=0)
    new = jnp.where(ends[clock] > 0, ends[clock], jnp.minimum(longest, time))
    each = {m: interpolate(features[m], ends[m], new, time) for m in features}
    return each, jnp.arange(time)[None, :] < new[:, None]


def _last_frame(mask: Bool[Array, "batch time"]) -> Int[Array, " batch"]:
    """[batch] number of frames up to the last unmasked one."""
    places = jnp.arange(1, mask.shape[1] + 1)[None, :]
    return jnp.where(mask, places, 0).max(axis=1)


def _on_padded_grids(
    features: dict[str, Float[Array, "batch _time _dim"]],
    masks: dict[str, Bool[Array, "batch _time"]],
    clock: str,
) -> tuple[Float[Array, "batch clock_time dims"], Bool[Array, "batch clock_time"]]:
    batch, time, _ = features[clock].shape
    new = jnp.full(batch, time)
    joined, there = [], []
    for name, frames in features.items():
        grid = jnp.full(batch, frames.shape[1])
        joined.append(interpolate(frames, grid, new, time))
        mask = masks[name].astype(frames.dtype)[:, :, None]
        there.append(interpolate(mask, grid, new, time)[:, :, 0] > 0)
    return jnp.concatenate(joined, axis=-1), jnp.stack(there).any(axis=0)
