"""Training: it learns, it is the same every time, on any devices, and after any interruption."""

import dataclasses
import logging
import os
import signal

import jax
import numpy as np
import pytest

from mer_jax.errors import InputError
from mer_jax.training.checkpoint import Checkpoints
from mer_jax.training.config import TrainingConfig
from mer_jax.training.interrupt import Interrupted
from mer_jax.training.loop import train_fold
from mer_jax.training.scalars import Member
from tests.training.conftest import compiled


def assert_same_bytes(a, b):
    leaves_a, leaves_b = jax.tree.leaves(a), jax.tree.leaves(b)
    assert len(leaves_a) == len(leaves_b) > 5
    for x, y in zip(leaves_a, leaves_b, strict=True):
        assert np.asarray(x).tobytes() == np.asarray(y).tobytes()


def test_it_learns_and_keeps_the_best_epoch(job):
    job.change(epochs=12)
    trained = job.train()
    losses = [row["dev_loss"] for row in trained.history]
    assert max(row["dev_accuracy"] for row in trained.history) > 0.7
    data, _ = job.data()
    logits, rows = job.logits(trained.state, "dev")
    labels = np.concatenate(data.dev.targets)[np.argsort(np.concatenate(data.dev.rows))]
    log_likelihood = jax.nn.log_softmax(logits)[np.arange(len(rows)), labels]
    assert -np.mean(log_likelihood) == pytest.approx(min(losses), rel=1e-5)


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(job):
    first, second = job.train("a"), job.train("b")
    assert_same_bytes(first.state, second.state)
    assert first.history == second.history
    job.seed = 1
    assert job.train("c").history != first.history


def scores_on(job, devices, parallel="pmap"):
    job.devices = devices
    job.change(parallel=parallel)
    trained = job.train(f"{parallel}{devices}")
    return job.logits(trained.state)[0], trained


@pytest.mark.parametrize("batch_norm", [False, True])
def test_one_two_and_four_devices_and_both_mappings_agree(job, batch_norm):
    job.model = dataclasses.replace(job.model, batch_norm=batch_norm)
    job.change(learning_rate=1e-3)
    expected, trained = scores_on(job, 1)
    for devices, parallel in [(2, "pmap"), (4, "pmap"), (2, "shard_map")]:
        logits, other = scores_on(job, devices, parallel)
        np.testing.assert_allclose(logits, expected, atol=2e-4)
        np.testing.assert_array_equal(logits.argmax(1), expected.argmax(1))
        for row, same in zip(trained.history, other.history, strict=True):
            assert row["dev_accuracy"] == same["dev_accuracy"]
            assert row["train_loss"] == pytest.approx(same["train_loss"], rel=1e-4)


@pytest.mark.parametrize("parallel", ["pmap", "shard_map"])
def test_compilations_are_bounded_by_the_buckets(job, parallel, caplog):
    """Placing state wrongly compiles every step twice: both steps are built anew here, and
    each may be compiled once per bucket."""
    job.devices = 2
    job.change(parallel=parallel)
    program = compiled.__wrapped__(job.config, job.model, job.devices)
    with jax.log_compiles(), caplog.at_level(logging.WARNING):
        job.train("count", program)
    built = [r.getMessage() for r in caplog.records if "Finished XLA compilation of" in r.getMessage()]
    steps = [m for m in built if any(f"({name})" in m for name in ("_fun", "step", "predict"))]
    assert 2 <= len(steps) <= 2 * job.config.buckets, built


def stop_after(steps, how):
    """A watcher that sends a signal or fails at the given step."""
    seen = []

    def watch(event):
        if event["event"] != "step":
            return
        seen.append(event)
        if len(seen) == steps:
            how()

    return watch


def ctrl_c():
    os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize("steps", [1, 3, 4, 8])
def test_interrupted_equals_uninterrupted(job, steps):
    whole = job.train("whole")
    with pytest.raises(Interrupted):
        job.train("cut", watch=stop_after(steps, ctrl_c))
    resumed = job.train("cut")
    assert_same_bytes(whole.state, resumed.state)
    assert whole.history == resumed.history


class PowerCutError(Exception):
    """Stands for a kill between two steps: nothing more is written."""


@pytest.mark.parametrize("steps", [2, 5, 9])
def test_killed_equals_uninterrupted(job, steps):
    def cut():
        raise PowerCutError

    whole = job.train("whole")
    with pytest.raises(PowerCutError):
        job.train("cut", watch=stop_after(steps, cut))
    resumed = job.train("cut")
    assert_same_bytes(whole.state, resumed.state)
    assert whole.history == resumed.history


def test_killed_while_an_epoch_is_saved_equals_uninterrupted(job, monkeypatch):
    """The epoch is run again."""
    whole, save, seen = job.train("whole"), Checkpoints.save, []

    def cut(self, kind, *rest):
        seen.append(kind)
        if len(seen) == 2:
            raise PowerCutError
        save(self, kind, *rest)

    monkeypatch.setattr(Checkpoints, "save", cut)
    with pytest.raises(PowerCutError):
        job.train("cut")
    assert seen == ["last", "last"]
    monkeypatch.undo()
    resumed = job.train("cut")
    assert_same_bytes(whole.state, resumed.state)
    assert whole.history == resumed.history


def test_a_finished_fold_is_not_trained_again(job):
    whole = job.train()
    events = []
    again = job.train(watch=lambda event: events.append(event["event"]))
    assert events == ["resumed"]
    assert_same_bytes(whole.state, again.state)
    assert again.seconds > 0.5 * whole.seconds, "the seconds of the first process are lost"


def test_a_checkpoint_of_another_model_is_refused(job):
    job.train()
    job.model = dataclasses.replace(job.model, hidden=(9,))
    with pytest.raises(InputError, match="does not fit this model or is damaged"):
        job.train()


def test_a_checkpoint_of_another_configuration_is_refused(job):
    job.train()
    data, _ = job.data()
    with (
        Checkpoints(job.folder / "run") as checkpoints,
        pytest.raises(InputError, match="another configuration"),
    ):
        train_fold(
            job.program(),
            data,
            members=[Member(0)],
            select="loss",
            checkpoints=checkpoints,
            fingerprint="other",
        )


def test_early_stopping_stops(job):
    job.change(epochs=30, early_stop=2, learning_rate=0.3)
    history = job.train().history
    losses = [row["dev_loss"] for row in history]
    assert len(history) < 30
    assert len(history) - 1 - int(np.argmin(losses)) == 2


def test_a_diverging_loss_stops_with_advice(job):
    job.change(learning_rate=1e30, clip=0.0)
    with pytest.raises(FloatingPointError, match="lower --training"):
        job.train()


def test_class_weights_weigh_the_loss(job):
    """A class of weight 0 is not learned: its recall falls to that of a class never seen."""
    data, _ = job.data()
    data = dataclasses.replace(data, class_weights=np.array([0.0, 1.0, 1.0]))
    job.change(epochs=8)
    with Checkpoints(job.folder / "weights") as checkpoints:
        (trained,) = train_fold(
            job.program(),
            data,
            members=[Member(0)],
            select="accuracy",
            checkpoints=checkpoints,
            fingerprint="x",
        )
    logits, _ = job.logits(trained.state, "train")
    assert (logits.argmax(1) == 0).mean() < 0.05


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "training.epochs=0"),
        ({"length_quantile": 0.0}, "length_quantile"),
    ],
)
def test_bad_training_values_are_named(options, message):
    with pytest.raises(InputError, match=message):
        TrainingConfig(**options)


def test_a_batch_that_can_not_be_divided_is_refused(job):
    job.devices = 4
    job.change(batch_size=6)
    with pytest.raises(InputError, match="positive multiple of the 4 devices"):
        job.program()


def test_predictions_do_not_depend_on_batch_size(job):
    """Padding can't change a score."""
    state = job.train("p").state
    expected, rows = job.logits(state)
    job.change(batch_size=7)
    other, other_rows = job.logits(state)
    np.testing.assert_array_equal(rows, other_rows)
    np.testing.assert_allclose(other, expected, atol=1e-5)


def test_a_full_disk_is_noticed_before_a_checkpoint_is_begun(job, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 1000})())
    with pytest.raises(InputError, match="is full: the checkpoint of step"):
        job.train("full")
    assert not [path for path in (job.folder / "full").rglob("*") if path.is_file()]
