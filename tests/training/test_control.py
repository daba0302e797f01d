"""Early stopping and the plateau rule on score sequences worked by hand."""

import jax
import numpy as np
import optax
import pytest

from mer_jax.errors import InputError
from mer_jax.training.control import Control
from mer_jax.training.optimizer import OptimizerConfig, make_optimizer


def run(losses, **options):
    config = OptimizerConfig(learning_rate=1e-3, **options)
    control, factors = Control(), []
    for epoch, loss in enumerate(losses):
        factors.append(control.rate_factor(epoch, len(losses), config))
        control = control.after(epoch, -float(loss), float(loss), config)
    return control, factors


def test_plateau_lowers_after_patience_epochs_without_improvement():
    _, factors = run([1, 0.9, 0.95, 0.95, 0.95, 0.95, 0.8], plateau_patience=2, plateau_factor=0.5)
    assert factors == [1, 1, 1, 1, 0.5, 0.5, 0.25]


def test_plateau_stops_at_its_floor():
    control, _ = run([1] * 40, plateau_patience=1, plateau_factor=0.1, plateau_floor=3e-5)
    assert control.plateau == pytest.approx(0.03)


def test_a_floor_above_the_rate_never_raises_it():
    control, _ = run([1] * 9, plateau_patience=1, plateau_floor=1.0)
    assert control.plateau == 1.0


def test_the_best_epoch_is_the_first_of_equals():
    control, _ = run([1, 0.5, 0.7, 0.5])
    assert (control.best, control.best_epoch) == (-0.5, 1)
    assert [control.stops(4, 3), control.stops(3, 3), control.stops(99, 0)] == [True, False, False]


def test_cosine_falls_from_one_to_almost_zero():
    _, factors = run([1] * 5, schedule="cosine")
    np.testing.assert_allclose(factors, 0.5 * (1 + np.cos(np.pi * np.arange(5) / 5)))


def test_warmup_rises_linearly():
    _, factors = run([1] * 5, schedule="constant", warmup_epochs=3)
    np.testing.assert_allclose(factors, [0.25, 0.5, 0.75, 1, 1])


@pytest.mark.parametrize(
    ("config", "reference"),
    [
        (OptimizerConfig(clip=0.0, learning_rate=0.1), optax.adam(0.1)),
        (
            OptimizerConfig(clip=0.0, learning_rate=0.1, weight_decay=0.01),
            optax.adamw(0.1, weight_decay=0.01),
        ),
        (OptimizerConfig(name="adabelief", clip=0.0, learning_rate=0.1), optax.adabelief(0.1)),
        (
            OptimizerConfig(clip=0.5, learning_rate=0.1),
            optax.chain(optax.clip_by_global_norm(0.5), optax.adam(0.1)),
        ),
    ],
)
def test_optimizers_are_those_of_optax(config, reference):
    params = {"w": np.array([1.0, -2.0, 3.0], np.float32)}
    ours, theirs = make_optimizer(config), reference
    a, b = ours.init(params), theirs.init(params)
    for scale in (1.0, 3.0, -2.0):
        grads = {"w": scale * np.array([0.3, -0.1, 5.0], np.float32)}
        update_a, a = ours.update(grads, a, params)
        with jax.numpy_dtype_promotion("standard"):
            update_b, b = theirs.update(grads, b, params)
        np.testing.assert_allclose(update_a["w"], update_b["w"], rtol=1e-6)


@pytest.mark.parametrize("options", [{"learning_rate": 0.0}, {"weight_decay": -1.0}, {"plateau_factor": 0.0}])
def test_bad_values_are_named(options):
    with pytest.raises(InputError, match=next(iter(options))):
        OptimizerConfig(**options)
