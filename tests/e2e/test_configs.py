"""Every config of the repository, shrunk, trains a step."""

import dataclasses
import math

import numpy as np
import pytest

from experiments.experiment import config_names, experiment_from_json, get_config
from mer_jax.data.batching import Buckets, batches
from mer_jax.data.examples import ExampleSet
from mer_jax.models.base import Task
from mer_jax.training.data_parallel import DataParallel
from mer_jax.training.program import Program
from mer_jax.training.scalars import Member
from mer_jax.training.state import stack


def random_examples(modalities, unit):
    random = np.random.default_rng(0)
    lengths = [5, 3, 8, 1]
    positions = lengths if unit == "dialogue" else [1] * 4
    features = {m: [random.normal(size=(n, 3)).astype(np.float32) for n in lengths] for m in modalities}
    rows = np.split(np.arange(sum(positions)), np.cumsum(positions)[:-1])
    targets = [(row % 2).astype(np.int32) for row in rows]
    return ExampleSet(features, rows, targets, unit)


@pytest.mark.parametrize("name", config_names())
def test_config_trains_a_step(name):
    config = get_config(name)
    small = {"hidden": (4,) * len(config.model.hidden), "dense": (4,) * len(config.model.dense)}
    model_config = dataclasses.replace(config.model, **small)
    training = dataclasses.replace(config.training, batch_size=4)
    modalities, unit = config.data.modalities, config.data.unit
    task = Task(dict.fromkeys(modalities, 3), 2, True, unit)
    program = Program(model_config, task, training, DataParallel(training.parallel))
    examples = random_examples(modalities, unit)
    (batch,) = batches(examples, Buckets.fit(examples, 1), 4)
    parallel = program.parallel
    state = parallel.place_state(program.init([Member(0)], batch))
    losses = []
    for _ in range(3):
        state, sums = program.step(state, stack([batch]))
        one = parallel.one_copy(sums)
        losses.append(float(one["loss"][0] / one["weight"][0]))
    assert all(map(math.isfinite, losses))
    assert int(parallel.one_copy(state.step)[0]) == 3


@pytest.mark.parametrize("name", config_names())
def test_config_survives_json(name):
    config = get_config(name)
    assert experiment_from_json(config.to_json()) == config


@pytest.mark.parametrize("name", config_names())
def test_config_says_how_to_run_it(name):
    import importlib

    doc = importlib.import_module(f"experiments.configs.{name}").__doc__
    assert f"python -m experiments.train {name}" in doc
    assert "Cost:" in doc
