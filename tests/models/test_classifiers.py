"""The three systems of section 3: sizes, masks, missing modalities."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import softmax

from experiments.experiment import get_config
from mer_jax.data.batching import Buckets, batches
from mer_jax.data.examples import View, make_examples
from mer_jax.errors import InputError
from mer_jax.models.base import Task
from mer_jax.models.early_fusion import EarlyFusionConfig
from mer_jax.models.late_fusion import LateFusionConfig
from mer_jax.models.unimodal import UnimodalConfig
from tests.tiny import DIMS, tiny_corpus

SMALL = {"hidden": (5,), "dense": (6,), "dropout": 0.0}
DEEP = {"hidden": (5, 4), "dense": (6, 5), "dropout": 0.0, "pooling": "mean"}
SYSTEMS = [EarlyFusionConfig(**DEEP, clock="audio"), LateFusionConfig(**SMALL)]
LOOSE = {"rtol": 1e-4, "atol": 1e-6}


def batch_of(rows, unit="utterance", modalities=tuple(DIMS), size=None, extra=0):
    examples = make_examples(tiny_corpus(missing=0.0), np.asarray(rows), View(modalities, unit), None)
    buckets = Buckets.fit(examples, 1)
    longer = Buckets({m: (edges[0] + extra,) for m, edges in buckets.lengths.items()}, False)
    (batch,) = batches(examples, longer, size or len(examples))
    return jax.tree.map(jnp.asarray, batch)


def jit_apply(model):
    return jax.jit(lambda variables, batch: model.apply(variables, batch, False))


def initialised(model, batch):
    return jax.jit(lambda key: model.init(key, batch, False))(jax.random.key(0))


def built(config, unit="utterance", modalities=tuple(DIMS)):
    task = Task({m: DIMS[m] for m in modalities}, 3, True, unit)
    model = config.build(task)
    batch = batch_of(range(6), unit, modalities)
    return jit_apply(model), initialised(model, batch), batch


@pytest.mark.parametrize(
    ("name", "dims", "expected"),
    [
        ("unimodal_crema_d", {"mfcc": 52}, 5_468_166),
        ("unimodal_crema_d", {"action_units": 17}, 5_324_806),
        ("early_fusion_crema_d", {"mfcc": 52, "action_units": 17}, 5_537_798),
        ("late_fusion_crema_d", {"mfcc": 52, "action_units": 17}, 5_468_166 + 5_324_806),
    ],
)
def test_parameter_counts_of_the_original_network(name, dims, expected):
    """Model summaries of M. Schmitz' notebook (Keras counts kept statistics too)."""
    model = get_config(name).model.build(Task(dims, 6, True, "utterance"))
    batch = batch_of(range(2))
    features = {m: jnp.zeros((2, 8, dim)) for m, dim in dims.items()}
    masks = {m: jnp.ones((2, 8), bool) for m in dims}
    batch = batch.replace(features=features, masks=masks)
    shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), batch, False))
    assert sum(x.size for x in jax.tree.leaves(shapes)) == expected


@pytest.mark.parametrize("config", SYSTEMS)
@pytest.mark.parametrize("unit", ["utterance", "dialogue"])
def test_padding_changes_nothing(config, unit):
    model, variables, batch = built(config, unit)
    logits = model(variables, batch).logits
    padded = batch_of(range(6), unit, size=len(batch.slots) + 2, extra=16)
    more = model(variables, padded).logits
    if unit == "dialogue":
        more = more[:, : logits.shape[1]]
    keep = np.asarray(batch.rows) >= 0
    np.testing.assert_allclose(more[: len(batch.slots)][keep], logits[keep], **LOOSE)


@pytest.mark.parametrize("config", SYSTEMS)
def test_examples_do_not_mix(config):
    model, variables, batch = built(config)
    logits = model(variables, batch).logits
    alone = model(variables, batch_of([4])).logits
    np.testing.assert_allclose(logits[4], alone[0], **LOOSE)


def test_late_fusion_is_the_mean_of_probabilities():
    model, variables, batch = built(SYSTEMS[1])
    outputs = model(variables, batch)
    expected = np.mean([softmax(np.asarray(x), axis=1) for x in outputs.modality_logits.values()], axis=0)
    np.testing.assert_allclose(softmax(np.asarray(outputs.logits), axis=1), expected, rtol=1e-5)


def test_late_fusion_leaves_out_what_is_missing():
    config = SYSTEMS[1]
    model, variables, batch = built(config)
    mask = batch.masks["text"].at[2].set(False)
    batch = batch.replace(masks={**batch.masks, "text": mask})
    outputs = model(variables, batch)
    audio = softmax(np.asarray(outputs.modality_logits["audio"]), axis=1)
    np.testing.assert_allclose(softmax(np.asarray(outputs.logits), axis=1)[2], audio[2], rtol=1e-5)
    loss = config.loss(outputs, batch)
    np.testing.assert_allclose(loss[2], -np.log(audio[2, batch.targets[2]]), rtol=1e-4)


def test_unimodal_equals_its_branch_of_late_fusion():
    late, variables, batch = built(SYSTEMS[1])
    alone, _, _ = built(UnimodalConfig(**SMALL), modalities=("audio",))
    branch = {"params": {"RecurrentClassifier_0": variables["params"]["audio"]}}
    single = batch.replace(features={"audio": batch.features["audio"]}, masks={"audio": batch.masks["audio"]})
    expected = late(variables, batch).modality_logits["audio"]
    np.testing.assert_allclose(alone(branch, single).logits, expected, rtol=1e-6)


def test_a_dialogue_gets_logits_for_every_utterance():
    model, variables, batch = built(EarlyFusionConfig(**SMALL), "dialogue")
    assert model(variables, batch).logits.shape == (*batch.rows.shape, 3)


def test_regression_predictions_are_averaged_as_they_are():
    model = LateFusionConfig(**SMALL).build(Task(DIMS, 3, False, "utterance"))
    batch = batch_of(range(4))
    outputs = jit_apply(model)(initialised(model, batch), batch)
    expected = np.mean([np.asarray(x) for x in outputs.modality_logits.values()], axis=0)
    np.testing.assert_allclose(outputs.logits, expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("config", "dims", "message"),
    [
        (UnimodalConfig(), DIMS, "takes one modality"),
        (EarlyFusionConfig(clock="adio"), DIMS, "did you mean 'audio'"),
    ],
)
def test_a_system_that_can_not_be_built_says_why(config, dims, message):
    with pytest.raises(InputError, match=message):
        config.build(Task(dims, 3, True, "utterance"))
