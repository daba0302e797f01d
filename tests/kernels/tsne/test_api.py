"""Bad input is named before anything is compiled."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kernels.tsne import (
    DenseJoint,
    SparseJoint,
    StreamedJoint,
    calibrate,
    calibrate_points,
    joint,
    kl_divergence,
)
from kernels.tsne.shapes import SHAPES, Shape
from tests.kernels.tsne.base import clusters, flat, nearest

D = flat(clusters(10))
NEAR, NUMBERS = (jnp.asarray(x) for x in nearest(clusters(10), 4))
ROWS = calibrate(D, 3.0)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda: calibrate(D, 10), r"perplexity=10 is above the 9 others.*lower it"),
        (lambda: calibrate(D, 0.5), r"perplexity=0.5 must be at least 1"),
        (lambda: calibrate(D, float("nan")), r"perplexity=nan must be at least 1"),
        (lambda: calibrate(NEAR, 5.0, neighbors=NUMBERS), r"perplexity=5.0 is above the 4 others"),
        (lambda: calibrate(NEAR, 2.0), r"distances has shape \[10, 4\]; it needs \[n, n\], or \[n, k\]"),
        (lambda: calibrate(D, 2.0, neighbors=NUMBERS), r"neighbors has shape \[10, 4\], distances \[10, 10\]"),
        (lambda: calibrate(D[:1, :1], 1.0), r"\[1, 1\]; affinities need at least 2 rows"),
        (lambda: calibrate(D.astype(jnp.bfloat16), 2.0), r"distances has type bfloat16; cast it to float32"),
        (lambda: calibrate(D, 2.0, weights=jnp.ones(9)), r"weights has shape \[9\]; .*each of the 10 rows"),
        (lambda: calibrate(D, 2.0, weights=jnp.zeros(10)), r"weights holds 0.0 for row 0; leave out"),
        (lambda: calibrate(D, 2.0, implementation="fast"), r"'fast' is unknown; known: reference, xla, pallas"),
        (lambda: calibrate(D, 2.0, implementation="pallas"), r"does not run on the cpu; leave it out"),
        (lambda: calibrate_points(jnp.ones((1, 3)), 1.0), r"points has shape \[1, 3\].*at least 2"),
        (lambda: calibrate_points(jnp.ones((5, 3)), 5.0), r"above the 4 others"),
        (lambda: joint(ROWS, neighbors=NUMBERS), r"neighbors has shape \[10, 4\], probabilities \[10, 10\]"),
        (lambda: joint(calibrate(NEAR, 2.0, neighbors=NUMBERS)), r"give the neighbors"),
        (lambda: joint(calibrate_points(clusters(10), 2.0), neighbors=NUMBERS), r"all pairs; leave it out"),
        (lambda: kl_divergence(jnp.ones((9, 2)), joint(ROWS)), r"embedding has shape \[9, 2\].*\[10, d\]"),
        (lambda: kl_divergence(jnp.ones((10, 2)), joint(ROWS), degrees_of_freedom=0), r"degrees_of_freedom=0"),
    ],
)  # fmt: skip
def test_bad_input_is_named(wrong, words):
    with pytest.raises(ValueError, match=words):
        wrong()


def test_each_kind_of_rows_has_its_joint():
    assert isinstance(joint(ROWS), DenseJoint)
    assert isinstance(joint(calibrate(NEAR, 2.0, neighbors=NUMBERS), neighbors=NUMBERS), SparseJoint)
    assert isinstance(joint(calibrate_points(clusters(10), 2.0)), StreamedJoint)


def test_affinities_are_constants():
    y = jnp.asarray(clusters(10, 2))
    for implementation in ("reference", "xla"):
        gradient = jax.grad(
            lambda d: kl_divergence(
                y,
                joint(calibrate(d, 3.0, implementation=implementation)),  # noqa: B023
                implementation=implementation,  # noqa: B023
            )
        )(D)
        assert not np.asarray(gradient).any()


def test_shapes_are_named_and_checked():
    assert SHAPES["mosei_distinct_1296x6"].n == 1296
    with pytest.raises(ValueError, match=r"perplexity 30\.0 needs more neighbours"):
        Shape("small", 20, 2, 30.0, None, "nowhere")
