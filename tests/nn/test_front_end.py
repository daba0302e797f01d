"""What stands before the encoders: words as vectors, waveforms as frames."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mer_jax.data.batching import Batch
from mer_jax.errors import InputError
from mer_jax.nn.front_end import FrontEnd, FrontEndConfig

SMALL = FrontEndConfig(embedding=3, filters=(2, 4), kernels=(5, 3), pools=(4, 2))


def batch_of(**features):
    features = {name: jnp.asarray(x, jnp.float32) for name, x in features.items()}
    masks = {name: jnp.ones(x.shape[:2], bool) for name, x in features.items()}
    size = len(next(iter(features.values())))
    nothing = jnp.zeros(size)
    return Batch(features, masks, nothing, nothing, nothing, jnp.arange(size))


def test_features_pass_as_they_are():
    batch = batch_of(audio=np.ones((2, 4, 3)))
    found, variables = FrontEnd(SMALL, 0).init_with_output(jax.random.key(0), batch)
    np.testing.assert_array_equal(found.features["audio"], batch.features["audio"])
    assert not variables


def test_words_become_rows_of_the_table_and_padding_zeros():
    batch = batch_of(words=[[[1], [4], [0]], [[2], [0], [0]]])
    batch = batch.replace(masks={"words": jnp.asarray([[1, 1, 1], [1, 0, 0]], bool)})
    found, variables = FrontEnd(SMALL, 5).init_with_output(jax.random.key(0), batch)
    table = variables["params"]["table"]
    assert table.shape == (5, 3)
    np.testing.assert_array_equal(found.features["words"][0], table[np.array([1, 4, 0])])
    np.testing.assert_array_equal(found.features["words"][1], [table[2], np.zeros(3), np.zeros(3)])


def test_a_table_that_is_not_trained_is_no_parameter_and_has_no_gradient():
    config = FrontEndConfig(embedding=3, trained=False)
    batch = batch_of(words=[[[1], [2]]])
    found, variables = FrontEnd(config, 4).init_with_output(jax.random.key(0), batch)
    assert "params" not in variables
    np.testing.assert_array_equal(found.features["words"][0], variables["statistics"]["table"][1:3])
    gradient = jax.grad(lambda v: FrontEnd(config, 4).apply(v, batch).features["words"].sum())(variables)
    assert not gradient["statistics"]["table"].any()


def test_waveforms_are_standardised_and_shortened_with_their_masks():
    random = np.random.default_rng(0)
    batch = batch_of(waveform=random.normal(size=(2, 40, 1)))
    mask = np.arange(40)[None, :] < np.array([[40], [9]])
    batch = batch.replace(masks={"waveform": jnp.asarray(mask)})
    found, variables = FrontEnd(SMALL, 0).init_with_output(jax.random.key(0), batch)
    assert found.features["waveform"].shape == (2, 5, 4)
    np.testing.assert_array_equal(found.masks["waveform"].sum(axis=1), [5, 2])
    louder = batch.replace(features={"waveform": 7 * batch.features["waveform"] + 3})
    again = FrontEnd(SMALL, 0).apply(variables, louder)
    np.testing.assert_allclose(again.features["waveform"], found.features["waveform"], rtol=1e-4, atol=1e-5)
    assert SMALL.rate("waveform", 16000.0) == 2000
    assert SMALL.rate("audio", 20.0) == 20.0
    assert FrontEndConfig().rate("waveform", 16000.0) == 6.4


def test_parameter_count_of_the_original_convolutions():
    shapes = jax.eval_shape(
        lambda: FrontEnd(FrontEndConfig(), 0).init(
            jax.random.key(0), batch_of(waveform=np.zeros((1, 5000, 1)))
        )
    )
    assert sum(x.size for x in jax.tree.leaves(shapes)) == (25 * 25 + 25) + (5 * 25 * 50 + 50)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"filters": (4,)}, r"filters=\(4,\)"),
        ({"pools": (50, 0)}, r"pools=\(50, 0\)"),
        ({"embedding": 0}, "embedding=0 must be at least 1"),
    ],
)
def test_what_does_not_fit_is_named(change, words):
    with pytest.raises(InputError, match=words):
        FrontEndConfig(**change)
