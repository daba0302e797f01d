"""M3ER and the Memory Fusion Network as whole systems: sizes, masks, missing modalities, losses."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import expit, log_softmax, softmax

from mer_jax import losses
from mer_jax.errors import InputError
from mer_jax.losses import Multiplicative
from mer_jax.models.base import Task
from mer_jax.models.dual_recurrent import DualRecurrentConfig
from mer_jax.models.early_fusion import EarlyFusionConfig
from mer_jax.models.late_fusion import LateFusionConfig
from mer_jax.models.m3er import M3ERConfig
from mer_jax.models.memory_fusion import MemoryFusionNetworkConfig
from tests.models.test_classifiers import batch_of, built, initialised, jit_apply
from tests.models.test_soft_targets import soft_batch
from tests.tiny import DIMS

SMALL = {"hidden": 3, "memory": 5, "units": 4, "dense": 6, "dropout": 0.0}
M3ER = M3ERConfig(**SMALL)
SYSTEMS = [
    M3ER,
    M3ERConfig(**SMALL, combine="confidence", candidates="mixtures", clock="audio"),
    MemoryFusionNetworkConfig(**SMALL),
]
LOOSE = {"rtol": 1e-4, "atol": 1e-6}


def without(batch, name, rows):
    """The batch with a modality missing in some examples, as batching pads it."""
    rows = jnp.asarray(rows)
    features = batch.features[name].at[rows].set(0)
    masks = batch.masks[name].at[rows].set(False)
    return batch.replace(features={**batch.features, name: features}, masks={**batch.masks, name: masks})


def with_random_parameters(variables):
    random = np.random.default_rng(0)
    return jax.tree.map(lambda x: jnp.asarray(random.normal(0, 0.5, x.shape), x.dtype), variables)


def test_sizes_as_in_the_paper():
    """LSTMs of 32, memory 128, 160 = 32 + 128 into 64 units; counts by hand."""
    dims = {"text": 300, "audio": 74, "face": 35}
    task = Task(dims, 6, True, "utterance")
    batch = batch_of(range(2))
    features = {m: jnp.zeros((2, 8, dim)) for m, dim in dims.items()}
    masks = {m: jnp.ones((2, 8), bool) for m in dims}
    batch = batch.replace(features=features, masks=masks)
    found = {}
    for config in (M3ERConfig(), MemoryFusionNetworkConfig()):
        init = functools.partial(config.build(task).init, train=False)
        shapes = jax.eval_shape(init, jax.random.key(0), batch)
        found[type(config)] = sum(x.size for x in jax.tree.leaves(shapes))
    lstms = sum(4 * 32 * (d + 32 + 1) for d in dims.values())
    both, memory, units = 2 * 96, 128, 64
    attention = both * units + units + units * both + both
    update = both * units + units + units * memory + memory
    gates = 2 * ((both + memory) * units + units + units * memory + memory)
    network = lstms + attention + update + gates
    own = 3 * (32 * 6 + 6)
    projections = 3 * (32 * 32 + 32)
    assert found[M3ERConfig] == (
        network + 3 * 4 * 32 * memory + own + projections + (160 * 64 + 64) + (64 * 6 + 6)
    )
    assert found[MemoryFusionNetworkConfig] == network + ((96 + 128) * 64 + 64) + (64 * 6 + 6)


@pytest.mark.parametrize("config", SYSTEMS)
@pytest.mark.parametrize("unit", ["utterance", "dialogue"])
def test_padding_changes_nothing(config, unit):
    model, variables, batch = built(config, unit)
    logits = model(variables, batch).logits
    assert logits.shape == (*batch.rows.shape, 3)
    padded = batch_of(range(6), unit, size=len(batch.slots) + 2, extra=16)
    more = model(variables, padded).logits
    if unit == "dialogue":
        more = more[:, : logits.shape[1]]
    keep = np.asarray(batch.rows) >= 0
    np.testing.assert_allclose(more[: len(batch.slots)][keep], logits[keep], **LOOSE)


@pytest.mark.parametrize(
    "config",
    [
        *SYSTEMS,
        EarlyFusionConfig(hidden=(5,), dense=(6,), dropout=0.0),
        EarlyFusionConfig(hidden=(5,), dense=(6,), dropout=0.0, clock="audio"),
        LateFusionConfig(hidden=(5,), dense=(6,), dropout=0.0),
        DualRecurrentConfig(hidden=5, dropout=0.0),
    ],
)
@pytest.mark.parametrize("gone", list(DIMS))
def test_any_subset_of_modalities_serves(config, gone):
    """Without a modality predictions are finite, differ between examples, and those of others stay."""
    model, variables, batch = built(config)
    variables = with_random_parameters(variables)
    whole, lacking = model(variables, batch).logits, model(variables, without(batch, gone, [1, 4])).logits
    assert np.isfinite(lacking).all()
    assert not np.allclose(lacking[1], lacking[4])
    assert not np.allclose(lacking[1], whole[1])
    rest = [0, 2, 3, 5]
    np.testing.assert_allclose(lacking[np.array(rest)], whole[np.array(rest)], **LOOSE)


def test_a_missing_modality_multiplies_by_one():
    model, variables, batch = built(M3ER)
    variables = with_random_parameters(variables)
    outputs = model(variables, without(batch, "audio", [2]))
    p = jax.tree.map(np.asarray, variables["params"])
    text = np.asarray(outputs.states["text"]) @ p["project_0"]["kernel"] + p["project_0"]["bias"]
    audio = np.asarray(outputs.states["audio"]) @ p["project_1"]["kernel"] + p["project_1"]["bias"]
    np.testing.assert_allclose(outputs.states["fused"][2], text[2], **LOOSE)
    np.testing.assert_allclose(outputs.states["fused"][0], text[0] * audio[0], **LOOSE)
    assert outputs.available["audio"].tolist() == [True, True, False, True, True, True]


def test_states_weighted_by_how_sure_their_predictions_are():
    config = dataclasses.replace(M3ER, combine="confidence")
    model, variables, batch = built(config)
    variables = with_random_parameters(variables)
    outputs, p = model(variables, batch), jax.tree.map(np.asarray, variables["params"])
    own = [softmax(np.asarray(outputs.modality_logits[m]), axis=1).max(axis=1) for m in DIMS]
    projected = [
        np.asarray(outputs.states[m]) @ p[f"project_{k}"]["kernel"] + p[f"project_{k}"]["bias"]
        for k, m in enumerate(DIMS)
    ]
    expected = sum(w[:, None] * x for w, x in zip(own, projected, strict=True)) / sum(own)[:, None]
    np.testing.assert_allclose(outputs.states["fused"], expected, **LOOSE)


def test_mixtures_are_classified_from_sums_of_states():
    config = dataclasses.replace(M3ER, candidates="mixtures")
    model, variables, batch = built(config)
    outputs = model(with_random_parameters(variables), without(batch, "text", [3]))
    assert set(outputs.modality_logits) == {"text", "audio", "text+audio"}
    p = jax.tree.map(np.asarray, with_random_parameters(variables)["params"]["own_2"])
    both = np.asarray(outputs.states["text"] + outputs.states["audio"])
    np.testing.assert_allclose(
        outputs.modality_logits["text+audio"][0], (both @ p["kernel"] + p["bias"])[0], **LOOSE
    )
    there = {name: bool(x[3]) for name, x in outputs.available.items()}
    assert there == {"text": False, "audio": True, "text+audio": False}


def parts(config, soft=False):
    """Outputs of random parameters, the batch, and NumPy's log-probabilities of each part."""
    model = config.build(Task(DIMS, 3, True, "utterance"))
    batch, _ = soft_batch(tuple(DIMS), soft, size=6)
    batch = jax.tree.map(jnp.asarray, batch)
    variables = with_random_parameters(initialised(model, batch))
    outputs = jit_apply(model)(variables, batch)
    own = np.stack([log_softmax(np.asarray(x, float), axis=1) for x in outputs.modality_logits.values()])
    return outputs, batch, own, log_softmax(np.asarray(outputs.logits, float), axis=1)


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("beta", [0.0, 2.0])
def test_the_loss_as_printed_beside_that_of_the_fused_network(beta, soft):
    """-log p(y) of the fused network and -sum_i (p_i^(y))^{beta / (M - 1)} log p_i^(y), M = 2."""
    config = dataclasses.replace(M3ER, beta=beta, multiplicative=0.7)
    outputs, batch, own, fused = parts(config, soft)
    shares = np.asarray(batch.soft_targets if soft else np.eye(3)[np.asarray(batch.targets)])
    costs = -(np.exp(beta * own) * own).sum(axis=0)
    expected = -(shares * fused).sum(axis=1) + 0.7 * (shares * costs).sum(axis=1)
    np.testing.assert_allclose(config.loss(outputs, batch), expected, rtol=1e-4)


def test_one_class_against_the_rest():
    config = dataclasses.replace(M3ER, binary=True, beta=0.0)
    outputs, batch, *_ = parts(config)
    present = np.eye(3)[np.asarray(batch.targets)]

    def surprise(logits):
        p = expit(np.asarray(logits, float))
        return -(present * np.log(p) + (1 - present) * np.log1p(-p)).sum(axis=1)

    expected = surprise(outputs.logits) + sum(map(surprise, outputs.modality_logits.values()))
    np.testing.assert_allclose(config.loss(outputs, batch), expected, rtol=1e-4)


def test_intensities_are_shares_of_the_largest():
    config = dataclasses.replace(M3ER, beta=0.0, largest_intensity=2.0)
    outputs, batch, *_ = parts(config)
    targets = np.random.default_rng(0).uniform(-0.2, 2.5, (6, 3)).astype(np.float32)
    loss = config.loss(outputs, batch.replace(targets=jnp.asarray(targets)))
    shares = np.clip(targets / 2, 0, 1)
    expected = ((np.asarray(outputs.logits) - targets) ** 2).mean(axis=1)
    for logits in outputs.modality_logits.values():
        p = expit(np.asarray(logits, float))
        expected -= (shares * np.log(p) + (1 - shares) * np.log1p(-p)).sum(axis=1)
    np.testing.assert_allclose(loss, expected, rtol=1e-4)


def test_the_rule_of_liu_decides_where_it_is_asked_to():
    config = dataclasses.replace(M3ER, decide="least_costly", beta=1.5)
    outputs, batch, own, _ = parts(config)
    one_minus = np.log1p(-np.exp(own))
    costs = -(np.exp(1.5 * one_minus[::-1]) * own).sum(axis=0)
    np.testing.assert_allclose(outputs.logits, -costs, rtol=1e-4)
    chosen = losses.least_costly(jnp.stack(list(outputs.modality_logits.values())), None, 1.5)
    np.testing.assert_array_equal(outputs.logits.argmax(axis=1), chosen)
    assert np.isfinite(config.loss(outputs, batch)).all()


def test_the_form_takes_a_traced_beta():
    def loss(beta):
        config = dataclasses.replace(M3ER)
        object.__setattr__(config, "beta", beta)
        return losses.multiplicative_loss(jnp.ones((2, 1, 3)), jnp.zeros(1, jnp.int32), None, config.form)[0]

    values = jax.vmap(loss)(jnp.array([0.0, 1.0]))
    np.testing.assert_allclose(values, [2 * np.log(3), 2 * np.log(3) / 3], rtol=1e-5)
    assert M3ER.form == Multiplicative()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"clock": "adio"}, "did you mean 'audio'"),
        ({"beta": -1.0}, "beta=-1.0 must be at least 0"),
        ({"multiplicative": 0.0, "decide": "least_costly"}, "does not train"),
        ({"binary": True, "decide": "least_costly"}, "chooses one class of several"),
        ({"dropout": 1.0}, "below 1"),
        ({"hidden": 0}, "must be at least 1"),
        ({"largest_intensity": 0.0}, "above 0"),
    ],
)
def test_what_cannot_be_built_says_why(change, message):
    with pytest.raises(InputError, match=message):
        dataclasses.replace(M3ER, **change).build(Task(DIMS, 3, True, "utterance"))
