"""How many trainings fit at once, and XLA's account of what they take."""

import dataclasses
import logging
from unittest.mock import Mock

import jax
import numpy as np
import pytest

from mer_jax.data.batching import Batch, largest_batch
from mer_jax.errors import InputError
from mer_jax.training import memory
from mer_jax.training.data_parallel import DataParallel
from mer_jax.training.memory import SHARE, available_bytes, members_at_once
from mer_jax.training.program import Program
from mer_jax.training.scalars import Member
from mer_jax.training.state import TrainState, stack, unstack
from tests.training.conftest import compiled

STATE = TrainState(*[np.zeros(())] * 6)
BATCH = Batch({}, {}, *[np.zeros(1)] * 4)


class FakeProgram(Program):
    """A program that takes `fixed` bytes and `each` more for each member."""

    def __init__(self, each, fixed=0, devices=1):
        self.each, self.fixed, self.asked = each, fixed, []
        self.parallel = DataParallel("pmap", jax.devices()[:devices])

    def memory(self, state, batch, members):
        self.asked.append(members)
        return self.fixed + members * self.each

    def fit(self, members, limit=None):
        return members_at_once(self, STATE, BATCH, members, limit)


@pytest.mark.parametrize(
    ("members", "limit", "expected"),
    [
        (5, 500, 5),
        (5, 499, 3),  # 4 fit; two groups of 3 and 2
        (5, 200, 2),
        (5, 299, 2),
        (5, 100, 1),
        (1, 100, 1),
        (10, 900, 5),
        (30, 1234, 10),
        (7, 300, 3),
    ],
)
def test_what_does_not_fit_is_trained_in_groups_of_like_size(members, limit, expected):
    program = FakeProgram(100)
    assert program.fit(members, limit) == (expected, 100 * expected)
    assert len(program.asked) <= 2, "each size asked about is compiled"
    groups = -(-members // expected)
    assert groups == -(-members // (limit // 100)), "as few groups as memory allows"


@pytest.mark.parametrize("fixed", [0, 30, 90, 450])
def test_what_is_returned_fits_whatever_members_share(fixed):
    for limit in range(100, 1100, 25):
        program = FakeProgram(100, fixed)
        if fixed + 100 > limit:
            with pytest.raises(InputError, match="one training step takes"):
                program.fit(9, limit)
            continue
        at_once, needed = program.fit(9, limit)
        assert needed == fixed + 100 * at_once <= limit
        assert 1 <= at_once <= 9


def test_where_not_one_fits_the_remedy_is_named():
    with pytest.raises(
        InputError, match=r"takes 3.00 GiB and 2.50 GiB may be used; lower training.batch_size"
    ) as raised:
        FakeProgram(3 * 2**30).fit(4, int(2.5 * 2**30))
    assert "training.length_quantile" in str(raised.value)
    assert "--memory-gib" in str(raised.value)


def test_without_a_limit_the_share_of_what_is_there_is_used(monkeypatch):
    monkeypatch.setattr(memory, "available_bytes", lambda device: 1000)
    whole = int(1000 * SHARE)
    assert FakeProgram(whole).fit(2) == (1, whole)
    assert FakeProgram(whole // 2).fit(2) == (2, whole)
    # CPU devices share one memory.
    assert FakeProgram(whole // 4, devices=2).fit(3)[0] == 2
    monkeypatch.setattr(memory, "available_bytes", lambda device: None)
    assert FakeProgram(10**15).fit(64)[0] == 64


def test_available_bytes_of_an_accelerator_and_of_the_cpu():
    gpu = Mock(spec=jax.Device, platform="gpu")
    gpu.memory_stats.return_value = {"bytes_limit": 1000, "bytes_in_use": 300}
    assert available_bytes(gpu) == 700
    gpu.memory_stats.return_value = None
    assert available_bytes(gpu) is None
    here = available_bytes(jax.devices()[0])
    assert here is None or 2**20 < here < 2**50


def test_on_linux_the_page_cache_counts_as_available(monkeypatch, tmp_path):
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal:  100000 kB\nMemFree:  10 kB\nMemAvailable:   70000 kB\nCached: 69990 kB\n")
    monkeypatch.setattr(memory, "MEMINFO", meminfo)
    assert available_bytes(jax.devices("cpu")[0]) == 70000 * 1024


@pytest.fixture
def job(job):
    """Small, in one bucket."""
    job.model = dataclasses.replace(job.model, hidden=(4,), dense=(4,))
    job.change(buckets=1, epochs=1)
    return job


def bytes_of(tree):
    return sum(np.asarray(x).nbytes for x in jax.tree.leaves(tree))


@pytest.mark.parametrize(
    ("devices", "parallel"),
    [
        (1, "pmap"),
        pytest.param(2, "pmap", marks=pytest.mark.slow),
        pytest.param(2, "shard_map", marks=pytest.mark.slow),
    ],
)
def test_it_is_known_before_training_and_costs_no_compilation(job, devices, parallel, caplog):
    """At least the states and each device's part of the batches, about in proportion to the
    members; the first step finds its program compiled."""
    job.devices = devices
    job.change(parallel=parallel)
    program, (data, _) = compiled.__wrapped__(job.config, job.model, devices), job.data()
    batch = largest_batch(data.train, data.buckets, job.config.batch_size)
    state = unstack(program.init([Member(0)], batch), 0)

    def count(action):
        caplog.clear()
        with jax.log_compiles(), caplog.at_level(logging.WARNING):
            found = action()
        said = [r.getMessage() for r in caplog.records if "Finished XLA compilation of" in r.getMessage()]
        return found, [m for m in said if any(f"({name})" in m for name in ("_fun", "step"))]

    (one, five), built = count(lambda: (program.memory(state, batch, 1), program.memory(state, batch, 5)))
    assert len(built) == 2
    by_hand = bytes_of(state) + bytes_of(batch) / devices
    assert by_hand <= one
    assert 5 * by_hand <= five
    assert 3 * one < five < 6 * one

    two = program.memory(state, batch, 2)
    assert members_at_once(program, state, batch, 5, two) == (2, two), "three groups of at most 2"

    states = program.init([Member(seed) for seed in range(5)], batch)
    (_, sums), built = count(lambda: program.step(program.parallel.place_state(states), stack([batch] * 5)))
    assert np.isfinite(program.parallel.one_copy(sums)["loss"]).all()
    assert not built, "the first step compiled anew"
