"""Trainings that run together: each is what it would be alone, and none disturbs another."""

import dataclasses
import logging
import os
import signal

import jax
import numpy as np
import pytest
from scipy.special import log_softmax

from mer_jax.models.late_fusion import LateFusionConfig
from mer_jax.training.checkpoint import Checkpoints
from mer_jax.training.interrupt import Interrupted
from mer_jax.training.loop import DivergedError
from mer_jax.training.scalars import Member
from mer_jax.training.state import unstack
from tests.training.conftest import compiled

SEEDS = [Member(seed) for seed in (0, 1, 3)]
GRID = [
    Member(0, {"model.dropout": 0.0, "training.optimizer.weight_decay": 0.0, "training.optimizer.clip": 0.0}),
    Member(
        0, {"model.dropout": 0.5, "training.optimizer.weight_decay": 0.1, "training.optimizer.clip": 0.05}
    ),
    Member(4, {"model.dropout": 0.2, "training.optimizer.weight_decay": 0.0, "training.optimizer.clip": 0.2}),
]


def with_rates(members, rates, factor=0.7):
    """The members with learning rates, and a plateau factor, among their scalars."""
    own = [
        {"training.optimizer.learning_rate": rate, "training.optimizer.plateau_factor": factor}
        for rate in rates
    ]
    return [Member(m.seed, dict(m.scalars) | more) for m, more in zip(members, own, strict=True)]


@pytest.fixture
def job(job):
    """Small, with all that tells members apart: dropout, kept statistics, a plateau schedule
    that bites, and an early stop that comes at different epochs."""
    job.model = dataclasses.replace(job.model, hidden=(4,), dense=(4,), batch_norm=True)
    job.change(epochs=9, buckets=1, early_stop=2, learning_rate=0.1, plateau_patience=1, plateau_factor=0.7)
    return job


def same_bytes(a, b):
    leaves_a, leaves_b = jax.tree.leaves(a), jax.tree.leaves(b)
    assert len(leaves_a) == len(leaves_b) > 5
    pairs = zip(leaves_a, leaves_b, strict=True)
    return all(np.asarray(x).tobytes() == np.asarray(y).tobytes() for x, y in pairs)


def assert_same_results(found, expected):
    for one, other in zip(found, expected, strict=True):
        assert same_bytes(one.state, other.state)
        assert (one.history, one.failure) == (other.history, other.failure)


def assert_as_alone(together, job, alone):
    """Same epochs and learning rates; losses, statistics and test logits within rounding."""
    assert together.failure == alone.failure == ""
    assert len(together.history) == len(alone.history)
    for row, expected in zip(together.history, alone.history, strict=True):
        assert row.keys() == expected.keys()
        assert (row["epoch"], row["fold"]) == (expected["epoch"], expected["fold"])
        assert row["learning_rate"] == expected["learning_rate"]
        assert row["dev_accuracy"] == expected["dev_accuracy"]
        for name in ("train_loss", "dev_loss"):
            assert row[name] == pytest.approx(expected[name], rel=5e-4)
    assert together.state.step == alone.state.step > 0
    statistics = [jax.tree.leaves(trained.state.statistics) for trained in (together, alone)]
    for a, b in zip(*statistics, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
    expected, rows = job.logits(alone.state)
    logits, same_rows = job.logits(together.state.replace(scalars={}))
    np.testing.assert_array_equal(rows, same_rows)
    np.testing.assert_allclose(logits, expected, rtol=3e-4, atol=3e-4)


def alone(job, member):
    """The member's training by itself, its scalars written into the config."""
    single = dataclasses.replace(job, seed=member.seed)
    optimizer = {k.rpartition(".")[2]: v for k, v in member.scalars.items() if "optimizer" in k}
    single.change(**optimizer)
    if "model.dropout" in member.scalars:
        single.model = dataclasses.replace(job.model, dropout=member.scalars["model.dropout"])
    return single, single.train(f"alone-{member.seed}-{abs(hash(str(member)))}")


@pytest.mark.parametrize(
    ("devices", "parallel"),
    [(1, "pmap"), (2, "shard_map"), pytest.param(2, "pmap", marks=pytest.mark.slow)],
)
def test_a_member_is_what_its_training_alone_gives(job, devices, parallel):
    job.devices = devices
    job.change(parallel=parallel)
    together = job.train_members(SEEDS)
    for member, found in zip(SEEDS, together, strict=True):
        assert_as_alone(found, *alone(job, member))
    epochs = [len(found.history) for found in together]
    assert len(set(epochs)) == 3, "the members have to stop at different epochs"
    lowered = {next(r["epoch"] for r in f.history if r["learning_rate"] < 0.1) for f in together}
    assert len(lowered) > 1, "the plateau rule has to be met at different epochs"


@pytest.mark.slow
def test_a_member_of_another_system_is_what_its_training_alone_gives(job):
    job.model = LateFusionConfig(hidden=(4,), dense=(4,), dropout=0.2, batch_norm=True)
    for member, found in zip(SEEDS, job.train_members(SEEDS), strict=True):
        assert_as_alone(found, *alone(job, member))


def test_a_grid_is_what_configs_with_these_values_give(job):
    members = with_rates(GRID, [0.02, 0.1, 0.05], factor=0.4)
    together = job.train_members(members)
    for member, found in zip(members, together, strict=True):
        if member.seed == 0:  # the third one rides along: each value alone is a compilation
            assert_as_alone(found, *alone(job, member))
        assert found.history[0]["learning_rate"] == member.scalars["training.optimizer.learning_rate"]
    assert not np.isclose(together[0].history[0]["dev_loss"], together[1].history[0]["dev_loss"])
    lowered = [
        trained.history[-1]["learning_rate"] / trained.history[0]["learning_rate"] for trained in together
    ]
    assert any(np.isclose(lowered, 0.4)), "the plateau factor of the grid has to be met"


@pytest.mark.parametrize("parallel", ["pmap", pytest.param("shard_map", marks=pytest.mark.slow)])
def test_a_grid_compiles_as_often_as_one_training(job, parallel, caplog):
    """Once to train and once to predict for each bucket, of which there is one here."""
    job.devices = 2
    job.change(parallel=parallel, epochs=2)
    program = compiled.__wrapped__(job.config, job.model, job.devices)
    with jax.log_compiles(), caplog.at_level(logging.WARNING):
        job.train_members(with_rates(GRID, [0.02, 0.1, 0.05]), "count", program)
    said = [r.getMessage() for r in caplog.records if "Finished XLA compilation of" in r.getMessage()]
    steps = [m for m in said if any(f"({name})" in m for name in ("_fun", "step", "predict"))]
    assert len(steps) == 2, said


@pytest.fixture
def saved(monkeypatch):
    """Every (states, position) that training writes down."""
    found, save = [], Checkpoints.save

    def watched(self, kind, step, state, position):
        found.append((jax.tree.map(np.copy, state), position))
        save(self, kind, step, state, position)

    monkeypatch.setattr(Checkpoints, "save", watched)
    return found


def test_a_stopped_member_changes_no_more_while_the_others_go_on(job, saved):
    together = job.train_members(SEEDS)
    ends = [len(trained.history) for trained in together]
    assert len(saved) == max(ends) > min(ends)
    for k, trained in enumerate(together):
        at_its_end, record = saved[ends[k] - 1][0]["best"], saved[ends[k] - 1][1]["records"][k]
        for states, position in saved[ends[k] :]:
            assert same_bytes(unstack(states["best"], k), unstack(at_its_end, k))
            assert position["records"][k] == record
            assert not same_bytes(unstack(states["now"], k), unstack(saved[ends[k] - 1][0]["now"], k))
        assert same_bytes(trained.state, unstack(at_its_end, k))


def test_a_train_loss_is_that_of_its_member_and_epoch(job, saved):
    """With one batch an epoch and no dropout: the loss of the state the epoch began with, from
    its logits (scipy)."""
    job.model = dataclasses.replace(job.model, dropout=0.0, batch_norm=False)
    job.change(epochs=3, batch_size=48)
    together = job.train_members(SEEDS)
    data, _ = job.data()
    assert len(data.train) == 48
    targets = np.concatenate(list(data.train.targets))
    for k, trained in enumerate(together):
        for (states, _), row in zip(saved, trained.history[1:], strict=False):
            logits, rows = job.logits(unstack(states["now"], k), "train")
            np.testing.assert_array_equal(rows, np.concatenate(list(data.train.rows)))
            likelihood = log_softmax(logits, axis=1)[np.arange(48), targets]
            assert row["train_loss"] == pytest.approx(-likelihood.mean(), rel=1e-5)


def test_a_diverging_member_fails_alone(job):
    """The same program with a harmless second member gives the same bytes for the others."""
    expected = job.train_members(with_rates(GRID, [0.02, 0.1, 0.05]), "harmless")
    found = job.train_members(with_rates(GRID, [0.02, 1e30, 0.05]), "diverging")
    for k in (0, 2):
        assert_same_results([found[k]], [expected[k]])
    assert "seed 0, epoch 0" in found[1].failure
    assert "lower --training.optimizer.learning-rate" in found[1].failure
    assert not found[1].history


def test_where_all_diverge_the_reasons_are_raised(job):
    with pytest.raises(DivergedError) as raised:
        job.train_members(with_rates(GRID, [1e30, 1e30, 1e30]))
    for member, reason in zip(GRID, raised.value.reasons, strict=True):
        assert f"seed {member.seed}, epoch 0: the training loss is nan" in reason


class PowerCutError(Exception):
    """Stands for a kill between two steps: nothing more is written."""


def cut():
    raise PowerCutError


def ctrl_c():
    os.kill(os.getpid(), signal.SIGINT)


def at_step(number, how):
    """A watcher that does `how` at the given step."""
    seen = []

    def watch(event):
        seen.extend([event] if event["event"] == "step" else [])
        if event["event"] == "step" and len(seen) == number:
            how()

    return watch


@pytest.mark.parametrize(("how", "error"), [(ctrl_c, Interrupted), (cut, PowerCutError)])
def test_interrupted_or_killed_equals_uninterrupted(job, how, error):
    """Nine epochs of three steps: within an epoch, at its end, after a member has stopped (15
    steps), at the last step."""
    whole = job.train_members(SEEDS, "whole")
    for number in (1, 3, 17, 27):
        with pytest.raises(error):
            job.train_members(SEEDS, f"cut{number}", watch=at_step(number, how))
        assert_same_results(job.train_members(SEEDS, f"cut{number}"), whole)


def test_a_failure_survives_an_interruption(job):
    members = with_rates(GRID, [0.02, 1e30, 0.05])
    whole = job.train_members(members, "whole")
    for number in (2, 5):
        with pytest.raises(Interrupted):
            job.train_members(members, f"cut{number}", watch=at_step(number, ctrl_c))
        resumed = job.train_members(members, f"cut{number}")
        assert_same_results(resumed, whole)
        assert resumed[1].failure
