"""Losses against scikit-learn and scipy."""

import jax.numpy as jnp
import numpy as np
from scipy.special import softmax
from scipy.stats import entropy
from sklearn.metrics import log_loss, mean_absolute_error, mean_squared_error

from mer_jax import losses

LOGITS = np.random.default_rng(0).normal(size=(9, 4)).astype(np.float32)
LABELS = np.array([0, 1, 2, 3, 0, 1, 2, 3, 3], np.int32)


def test_cross_entropy_equals_scikit_learn():
    expected = log_loss(LABELS, softmax(LOGITS.astype(float), axis=1))
    ours = losses.cross_entropy(jnp.asarray(LOGITS), jnp.asarray(LABELS)).mean()
    np.testing.assert_allclose(ours, expected, rtol=1e-5)


def test_squared_error_equals_scikit_learn():
    truth = LOGITS[::-1].copy()
    ours = losses.squared_error(jnp.asarray(LOGITS), jnp.asarray(truth)).mean()
    np.testing.assert_allclose(ours, mean_squared_error(truth, LOGITS), rtol=1e-5)


def test_absolute_error_equals_scikit_learn_and_is_what_a_regression_may_minimise():
    truth = LOGITS[::-1].copy()
    ours = losses.task_loss(jnp.asarray(LOGITS), jnp.asarray(truth), error="absolute").mean()
    np.testing.assert_allclose(ours, mean_absolute_error(truth, LOGITS), rtol=1e-5)


def test_soft_cross_entropy_equals_scipy():
    votes = np.random.default_rng(1).dirichlet(np.ones(4), size=9).astype(np.float32)
    predicted = softmax(LOGITS.astype(float), axis=1)
    expected = entropy(votes, axis=1) + entropy(votes, predicted, axis=1)
    ours = losses.task_loss(jnp.asarray(LOGITS), jnp.asarray(LABELS), jnp.asarray(votes))
    np.testing.assert_allclose(ours, expected, rtol=1e-4)


def test_soft_targets_that_are_one_hot_are_hard_ones_and_zeros_cost_nothing():
    logits, hard = jnp.asarray(LOGITS), jnp.asarray(np.eye(4, dtype=np.float32)[LABELS])
    expected = losses.cross_entropy(logits, jnp.asarray(LABELS))
    np.testing.assert_allclose(losses.soft_cross_entropy(logits, hard), expected, rtol=1e-6)
    assert not np.asarray(losses.soft_cross_entropy(logits, jnp.zeros_like(logits))).any()


def test_the_kind_of_target_decides():
    logits = jnp.asarray(LOGITS)
    whole, real = jnp.asarray(LABELS), jnp.asarray(LOGITS + 1)
    np.testing.assert_array_equal(losses.task_loss(logits, whole), losses.cross_entropy(logits, whole))
    np.testing.assert_allclose(losses.task_loss(logits, real), 1.0, rtol=1e-5)


def test_steps_of_a_dialogue_have_a_loss_each():
    per_step = losses.task_loss(jnp.asarray(LOGITS.reshape(3, 3, 4)), jnp.asarray(LABELS.reshape(3, 3)))
    np.testing.assert_allclose(
        per_step.ravel(), losses.cross_entropy(jnp.asarray(LOGITS), jnp.asarray(LABELS))
    )
