"""The encoder of raw waveforms: convolutions over time, each followed by max-pooling.

A convolution's output before pooling is by far the largest array of the network (480 MB of 32
clips of 150,000 samples, 25 filters). It is computed a piece at a time, in the forward pass and
again in the backward pass, and never held as a whole.
"""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Bool, Float

from mer_jax.errors import InputError

# Values of a convolution's output that are held at once: what the cache of a CPU's core holds,
# and on an accelerator enough to occupy it.
PIECE = {"cpu": 2**19, "accelerator": 2**24}
# Outputs of one row of the matrix product that computes a convolution, at most.
HOP = 10


def standardise(
    waveform: Float[Array, "batch time 1"], mask: Bool[Array, "batch time"]
) -> Float[Array, "batch time 1"]:
    """Each clip at zero mean and unit variance over its true samples, zero elsewhere.

    A clip whose samples are all the same becomes zeros.
    """
    valid = mask[:, :, None]
    count = jnp.maximum(valid.sum(1, keepdims=True), 1).astype(waveform.dtype)
    waveform = jnp.where(valid, waveform, 0)
    # Exactly zero where all samples are the same, which they would not be less their rounded mean.
    first = jnp.take_along_axis(waveform, jnp.argmax(valid, axis=1, keepdims=True), axis=1)
    shifted = jnp.where(valid, waveform - first, 0)
    centred = jnp.where(valid, shifted - shifted.sum(1, keepdims=True) / count, 0)
    variance = jnp.square(centred).sum(1, keepdims=True) / count
    varies = variance > 0
    return jnp.where(varies, centred * jax.lax.rsqrt(jnp.where(varies, variance, 1)), 0)


def steps(samples: int, pools: Sequence[int]) -> int:
    """How many steps a clip of `samples` samples gives."""
    for pool in pools:
        samples = -(-samples // pool)
    return samples


def step_rate(rate: int | float, pools: Sequence[int]) -> float:
    """Steps a second of a waveform of `rate` samples a second."""
    return rate / math.prod(pools)


def convolve_and_pool(
    inputs: Float[Array, "batch time channels"],
    mask: Bool[Array, "batch time"],
    kernel: Float[Array, "width channels filters"],
    bias: Float[Array, " filters"],
    *,
    pool: int,
) -> tuple[Float[Array, "batch steps filters"], Bool[Array, "batch steps"]]:
    """Convolution over time with zero padding, ReLU and max-pooling by disjoint windows:

        y_t = sum_k kernel_k . x_{t + k - (width - 1) // 2}
        z_w = max over the true t of window w of ReLU(y_t + bias)

    Masked positions are zero to the convolution and no maximum; `steps` is time / pool, rounded
    up. A step exists where its window has a true position and is zero where not.

    The maximum is taken before bias and ReLU, which are monotonic and so give the same, on a
    50th of the values where pool is 50.
    """
    batch, time = mask.shape
    windows, width = -(-time // pool), kernel.shape[0]
    missing = windows * pool - time
    mask = jnp.pad(mask, ((0, 0), (0, missing)))
    inputs = jnp.pad(inputs, ((0, 0), (0, missing), (0, 0)))
    inputs = jnp.where(mask[:, :, None], inputs, 0)
    inputs = jnp.pad(inputs, ((0, 0), ((width - 1) // 2, 0), (0, 0)))
    frames = _frames(inputs, windows, pool, pool + width - 1).reshape(-1, pool + width - 1, kernel.shape[1])
    found = _largest(frames, mask.reshape(-1, pool), kernel).reshape(batch, windows, kernel.shape[2])
    exists = mask.reshape(batch, windows, pool).any(-1)
    return jnp.where(exists[:, :, None], nn.relu(found + bias[None, None, :]), 0), exists


def _largest(
    frames: Float[Array, "windows length channels"],
    mask: Bool[Array, "windows pool"],
    kernel: Float[Array, "width channels filters"],
) -> Float[Array, "windows filters"]:
    """The largest output of the convolution in each window, a piece of the windows at a time."""
    windows, pool = mask.shape
    held = PIECE["cpu" if jax.default_backend() == "cpu" else "accelerator"]
    size = max(1, min(windows, held // (pool * kernel.shape[2])))
    pieces = -(-windows // size)
    missing = pieces * size - windows
    frames = jnp.pad(frames, ((0, missing), (0, 0), (0, 0))).reshape(pieces, size, *frames.shape[1:])
    mask = jnp.pad(mask, ((0, missing), (0, 0))).reshape(pieces, size, pool)

    @jax.checkpoint
    def one_piece(piece):
        outputs = _convolved(piece[0], kernel, pool)
        return _first_largest(jnp.where(piece[1][:, :, None], outputs, -jnp.inf))

    return jax.lax.map(one_piece, (frames, mask)).reshape(-1, kernel.shape[2])[:windows]


def _convolved(
    frames: Float[Array, "windows length channels"],
    kernel: Float[Array, "width channels filters"],
    pool: int,
) -> Float[Array, "windows pool filters"]:
    """Convolution of each frame as one matrix product, of blocks that give `hop` outputs each with
    the kernel at each of `hop` neighbouring places."""
    width = kernel.shape[0]
    hop = max(n for n in range(1, HOP + 1) if pool % n == 0)
    blocks = _frames(frames, pool // hop, hop, hop + width - 1)
    places = [jnp.pad(kernel, ((at, hop - 1 - at), (0, 0), (0, 0))) for at in range(hop)]
    outputs = jnp.einsum("nglc,hlcf->nghf", blocks, jnp.stack(places))
    return outputs.reshape(frames.shape[0], pool, kernel.shape[2])


@jax.custom_jvp
def _first_largest(values: Float[Array, "windows pool filters"]) -> Float[Array, "windows filters"]:
    """The maximum over axis 1, whose gradient goes to the first of equals (XLA's goes to all of
    them in parts, and takes longer)."""
    return values.max(1)


@_first_largest.defjvp
def _first_largest_jvp(primals, tangents):
    (values,), (change,) = primals, tangents
    largest = _first_largest(values)
    place = jnp.arange(values.shape[1])[None, :, None]
    first = jnp.where(values == largest[:, None, :], place, values.shape[1]).min(1, keepdims=True)
    return largest, jnp.where(place == first, change, 0).sum(1)


def _frames(
    inputs: Float[Array, "batch time channels"], count: int, hop: int, length: int
) -> Float[Array, "batch count length channels"]:
    """Frames of `length` positions, one each `hop`; zeros beyond the inputs."""
    pieces = -(-length // hop)
    missing = (count + pieces - 1) * hop - inputs.shape[1]
    inputs = jnp.pad(inputs, ((0, 0), (0, missing), (0, 0)))
    blocks = inputs.reshape(inputs.shape[0], count + pieces - 1, hop, inputs.shape[2])
    return jnp.concatenate([blocks[:, i : i + count] for i in range(pieces)], axis=2)[:, :, :length]


class ConvolutionalEncoder(nn.Module):
    """Layers of `convolve_and_pool`: kernels[i] * channels * filters[i] + filters[i] parameters each.

    The defaults are those of the section-4 system: 150,000 samples become 60 steps of 50
    features; its reduced variant has filters=(4, 8).

    Raises:
        InputError: where filters, kernels and pools are not equally many, or one is below 1.
    """

    filters: Sequence[int] = (25, 50)
    kernels: Sequence[int] = (25, 5)
    pools: Sequence[int] = (50, 50)

    @nn.compact
    def __call__(
        self, waveform: Float[Array, "batch time 1"], mask: Bool[Array, "batch time"]
    ) -> tuple[Float[Array, "batch steps features"], Bool[Array, "batch steps"]]:
        self._check()
        states = waveform
        for i, (filters, width, pool) in enumerate(zip(self.filters, self.kernels, self.pools, strict=True)):
            shape = (width, states.shape[-1], filters)
            kernel = self.param(f"kernel_{i}", nn.initializers.lecun_normal(), shape)
            bias = self.param(f"bias_{i}", nn.initializers.zeros, (filters,))
            states, mask = convolve_and_pool(states, mask, kernel, bias, pool=pool)
        return states, mask

    def _check(self):
        sizes = {name: tuple(getattr(self, name)) for name in ("filters", "kernels", "pools")}
        if len({len(size) for size in sizes.values()}) > 1 or not self.filters:
            given = ", ".join(f"{name}={size}" for name, size in sizes.items())
            raise InputError(f"convolutional encoder: {given}; give one of each for every layer")
        for name, size in sizes.items():
            if min(size) < 1:
                raise InputError(f"convolutional encoder: {name}={size} must all be at least 1")
