"""Every config of the repository, shrunk, trains a step."""

import dataclasses
import math

import numpy as np
import pytest

from experiments.experiment import config_names, experiment_from_json, get_config
from mer_jax.data.batching import Buckets, batches
from mer_jax.data.examples import ExampleSet
from mer_jax.data.schema import WAVEFORM
from mer_jax.data.vocabulary import WORDS
from mer_jax.models.base import Task
from mer_jax.training.data_parallel import DataParallel
from mer_jax.training.program import Program
from mer_jax.training.scalars import Member
from mer_jax.training.state import stack


def random_examples(modalities, unit):
    random = np.random.default_rng(0)
    lengths = [5, 3, 8, 1]
    positions = lengths if unit == "dialogue" else [1] * 4
    dims = {WORDS: 1, WAVEFORM: 1}
    features = {m: [random.normal(size=(n, dims.get(m, 3))) for n in lengths] for m in modalities}
    features = {m: [np.abs(x) if m == WORDS else x for x in xs] for m, xs in features.items()}
    features = {m: [x.astype(np.float32) for x in xs] for m, xs in features.items()}
    rows = np.split(np.arange(sum(positions)), np.cumsum(positions)[:-1])
    targets = [(row % 2).astype(np.int32) for row in rows]
    return ExampleSet(features, rows, targets, unit)


def small(model):
    """The sizes of a model of four units, whatever kind it is."""
    changes = {"hidden": 4 if isinstance(model.hidden, int) else (4,) * len(model.hidden)}
    if hasattr(model, "dense"):
        changes["dense"] = 4 if isinstance(model.dense, int) else (4,) * len(model.dense)
    if hasattr(model, "attention_size"):
        changes["attention_size"] = 4
    return changes


@pytest.mark.parametrize("name", config_names())
def test_config_trains_a_step(name):
    config = get_config(name)
    model_config = dataclasses.replace(config.model, **small(config.model))
    training = dataclasses.replace(config.training, batch_size=4)
    modalities, unit = config.data.modalities, config.data.unit
    task = Task(dict.fromkeys(modalities, 3), 2, True, unit, vocabulary=8)
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
