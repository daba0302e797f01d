"""The encoder of raw waveforms against loops in NumPy and SciPy's correlation, and under masks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from scipy.signal import correlate

from mer_jax.errors import InputError
from mer_jax.nn.waveform import PIECE, ConvolutionalEncoder, convolve_and_pool, standardise, step_rate, steps

TIME = 50
LENGTHS = np.array([50, 31, 1, 0])
SMALL = {"filters": (3, 4), "kernels": (5, 3), "pools": (4, 3)}
# Kernels of even width, pools that do not divide, a window narrower than the kernel, one layer.
SHAPES = [
    SMALL,
    {"filters": (3, 2), "kernels": (6, 2), "pools": (6, 2)},
    {"filters": (2,), "kernels": (13,), "pools": (5,)},
    {"filters": (2, 2, 2), "kernels": (1, 4, 3), "pools": (1, 7, 1)},
]


def random(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


@pytest.fixture
def waveform():
    return random(len(LENGTHS), TIME, 1)


@pytest.fixture
def mask():
    return jnp.asarray(np.arange(TIME)[None, :] < LENGTHS[:, None])


def initialised(layer):
    """Parameters of which none is zero."""
    inputs = jax.ShapeDtypeStruct((1, 9, 1), jnp.float32), jax.ShapeDtypeStruct((1, 9), bool)
    shapes = jax.eval_shape(layer.init, jax.random.key(0), *inputs)
    return jax.tree.map(lambda x: 0.5 * random(*x.shape, seed=x.size), shapes)


def encoded_alone(clip, params, layer):
    """One clip without padding: SciPy's correlation, ReLU and a loop over windows, in float64."""
    states = np.asarray(clip, np.float64)
    for i, (filters, width, pool) in enumerate(zip(layer.filters, layer.kernels, layer.pools, strict=True)):
        kernel, bias = (
            np.asarray(params["params"][f"{name}_{i}"], np.float64) for name in ("kernel", "bias")
        )
        padded = np.pad(states, (((width - 1) // 2, width // 2), (0, 0)))
        outputs = [correlate(padded, kernel[:, :, f], mode="valid")[:, 0] + bias[f] for f in range(filters)]
        rectified = np.maximum(np.stack(outputs, 1), 0)
        states = np.stack([rectified[at : at + pool].max(0) for at in range(0, len(rectified), pool)])
    return states


@pytest.mark.parametrize("shape", SHAPES)
def test_each_clip_is_encoded_as_it_would_be_alone(shape, waveform, mask):
    layer = ConvolutionalEncoder(**shape)
    params = initialised(layer)
    frames, exists = jax.jit(layer.apply)(params, waveform, mask)
    assert frames.shape == (len(LENGTHS), steps(TIME, layer.pools), layer.filters[-1])
    for row, length in enumerate(LENGTHS):
        count = steps(int(length), layer.pools)
        np.testing.assert_array_equal(exists[row], np.arange(exists.shape[1]) < count)
        assert not np.asarray(frames[row, count:]).any()
        if count:
            expected = encoded_alone(waveform[row, :length], params, layer)
            np.testing.assert_allclose(frames[row, :count], expected, atol=2e-6)


def test_a_window_exists_where_it_holds_a_true_sample_also_between_gaps():
    mask = jnp.zeros((1, 12), bool).at[0, 1].set(True).at[0, 10].set(True)
    kernel, bias = -jnp.ones((1, 1, 1)), jnp.full((1,), 5.0)
    pooled, exists = convolve_and_pool(jnp.full((1, 12, 1), 2.0), mask, kernel, bias, pool=4)
    np.testing.assert_array_equal(exists, [[True, False, True]])
    np.testing.assert_array_equal(pooled[0, :, 0], [3, 0, 3])


def test_what_lies_behind_the_mask_changes_nothing(waveform, mask):
    layer = ConvolutionalEncoder(**SMALL)
    params = initialised(layer)
    weights = random(len(LENGTHS), steps(TIME, layer.pools), 4, seed=1)

    def loss(p, x):
        return (layer.apply(p, standardise(x, mask), mask)[0] * weights).sum()

    noisy = jnp.where(mask[:, :, None], waveform, jnp.nan)
    both = jax.jit(jax.value_and_grad(loss))
    ours, theirs = both(params, waveform), both(params, noisy)
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)
    assert all(np.asarray(x).any() for x in jax.tree.leaves(ours))


def test_gradients_of_a_padded_clip_are_those_of_the_clip_alone(waveform, mask):
    layer = ConvolutionalEncoder(**SMALL)
    params = initialised(layer)
    length = int(LENGTHS[1])
    count = steps(length, layer.pools)
    weights = random(1, count, 4, seed=1)

    def loss(p, x, valid):
        return (layer.apply(p, x, valid)[0][:, :count] * weights).sum()

    gradients = jax.jit(jax.grad(loss, (0, 1)))
    padded = gradients(params, waveform[1:2], mask[1:2])
    alone = gradients(params, waveform[1:2, :length], mask[1:2, :length])
    np.testing.assert_allclose(padded[1][:, :length], alone[1], atol=1e-6)
    assert not np.asarray(padded[1][:, length:]).any()
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), padded[0], alone[0])


@pytest.mark.parametrize("shape", SHAPES[:2])
def test_gradients(shape, waveform, mask):
    layer = ConvolutionalEncoder(**shape)
    params = initialised(layer)

    @jax.jit
    def frames(p, x):
        return layer.apply(p, x, mask)[0]

    with jax.enable_x64(True):
        wide = jax.tree.map(lambda x: jnp.asarray(np.asarray(x), jnp.float64), (params, waveform))
        check_grads(lambda *arrays: frames(*jax.tree.map(jnp.asarray, arrays)), wide, order=1, modes=["rev"])


def test_a_clip_without_samples_gives_zeros_no_step_and_finite_gradients(waveform):
    layer, nothing = ConvolutionalEncoder(**SMALL), jnp.zeros((len(LENGTHS), TIME), bool)
    params = jax.tree.map(jnp.ones_like, initialised(layer))

    def loss(p, x):
        encoded = layer.apply(p, standardise(x, nothing), nothing)
        return encoded[0].sum(), encoded

    both = jax.jit(jax.grad(loss, (0, 1), has_aux=True))(params, waveform)
    assert not any(np.asarray(x).any() for x in jax.tree.leaves(both))


def test_no_time_gives_no_steps():
    layer = ConvolutionalEncoder(**SMALL)
    frames, exists = layer.apply(initialised(layer), jnp.zeros((2, 0, 1)), jnp.zeros((2, 0), bool))
    assert frames.shape == (2, 0, 4)
    assert exists.shape == (2, 0)


def test_the_windows_are_taken_in_pieces_and_put_together_again(waveform, mask, monkeypatch):
    layer = ConvolutionalEncoder(**SMALL)
    params = initialised(layer)
    whole = jax.jit(layer.apply)(params, waveform, mask)
    monkeypatch.setitem(PIECE, "cpu", 5 * 4 * 3)
    in_pieces = jax.jit(lambda *args: layer.apply(*args))(params, waveform, mask)
    np.testing.assert_allclose(in_pieces[0], whole[0], atol=1e-6)
    np.testing.assert_array_equal(in_pieces[1], whole[1])


def test_many_networks_at_once(waveform, mask):
    layer = ConvolutionalEncoder(**SMALL)
    params = initialised(layer)
    several = jax.tree.map(lambda x: jnp.stack([x, 2 * x, -x]), params)

    def loss(p):
        return jnp.square(layer.apply(p, waveform, mask)[0]).sum()

    together = jax.jit(jax.vmap(jax.value_and_grad(loss)))(several)
    one = jax.jit(jax.value_and_grad(loss))
    for i, factor in enumerate((1, 2, -1)):
        alone = one(jax.tree.map(lambda x, factor=factor: factor * x, params))
        ours = jax.tree.map(lambda x, i=i: x[i], together)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-4, atol=1e-4), ours, alone)


def test_the_gradient_of_equal_maxima_goes_to_the_first():
    def pooled(x):
        return convolve_and_pool(x, jnp.ones((1, 4), bool), jnp.ones((1, 1, 1)), jnp.zeros(1), pool=4)[
            0
        ].sum()

    gradient = jax.grad(pooled)(jnp.asarray([1.0, 3, 2, 3]).reshape(1, 4, 1))
    np.testing.assert_array_equal(gradient[0, :, 0], [0, 1, 0, 0])


@pytest.mark.parametrize("filters", [(25, 50), (4, 8)])
def test_parameter_counts_and_sixty_steps_of_150_000_samples(filters):
    layer = ConvolutionalEncoder(filters=filters)
    inputs = jax.ShapeDtypeStruct((2, 150_000, 1), jnp.float32), jax.ShapeDtypeStruct((2, 150_000), bool)
    (frames, exists), params = jax.eval_shape(layer.init_with_output, jax.random.key(0), *inputs)
    assert frames.shape == (2, 60, filters[1])
    assert exists.shape == (2, 60)
    first, second = filters
    sizes = {name: leaf.size for name, leaf in params["params"].items()}
    assert sizes["kernel_0"] + sizes["bias_0"] == 25 * first + first
    assert sizes["kernel_1"] + sizes["bias_1"] == 5 * first * second + second
    assert sum(sizes.values()) == {(25, 50): 650 + 6_300, (4, 8): 104 + 168}[filters]


def test_the_convolution_is_never_whole_in_memory():
    """Forward and backward take less than half of the 120 MB of 8 clips before pooling."""
    layer = ConvolutionalEncoder()
    params = initialised(layer)
    inputs = jax.ShapeDtypeStruct((8, 150_000, 1), jnp.float32), jax.ShapeDtypeStruct((8, 150_000), bool)
    step = jax.jit(jax.grad(lambda p, x, mask: layer.apply(p, x, mask)[0].sum()))
    analysis = step.lower(params, *inputs).compile().memory_analysis()
    assert analysis.temp_size_in_bytes < 8 * 150_000 * 25 * 4 / 2


def test_standardise_equals_numpy_on_the_true_samples(waveform, mask):
    scaled = 1e-3 * waveform + 0.5
    ours = np.asarray(standardise(scaled, mask))
    for row, length in enumerate(LENGTHS[:2]):
        clip = np.asarray(scaled[row, :length], np.float64)
        np.testing.assert_allclose(ours[row, :length], (clip - clip.mean()) / clip.std(), atol=2e-4)
        assert not ours[row, length:].any()
    assert not ours[2:].any()


@pytest.mark.parametrize("value", [0.0, 0.1, -3e4])
def test_standardise_makes_a_constant_clip_zero(value):
    mask = jnp.arange(30_000)[None, :] < 29_999
    assert not np.asarray(standardise(jnp.full((1, 30_000, 1), value), mask)).any()


def test_steps_and_their_rate():
    assert [steps(n, (50, 50)) for n in (150_000, 2_500, 2_501, 51, 1, 0)] == [60, 1, 2, 1, 1, 0]
    assert step_rate(16_000, (50, 50)) == 6.4


@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        ({"filters": (4,)}, r"filters=\(4,\), kernels=\(25, 5\), pools=\(50, 50\); give one of each"),
        ({"pools": (50, 0)}, r"pools=\(50, 0\) must all be at least 1"),
        ({"filters": (), "kernels": (), "pools": ()}, "give one of each"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(sizes, words, waveform, mask):
    with pytest.raises(InputError, match=words):
        ConvolutionalEncoder(**sizes).init(jax.random.key(0), waveform, mask)
