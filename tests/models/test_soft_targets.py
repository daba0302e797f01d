"""Training on annotators' distributions, and M. Schmitz' interpolation, in whole systems."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.special import log_softmax

from mer_jax.data.batching import Buckets, batches
from mer_jax.data.examples import View, make_examples
from mer_jax.models.base import Task
from mer_jax.models.early_fusion import EarlyFusionConfig
from mer_jax.models.late_fusion import LateFusionConfig
from mer_jax.models.unimodal import UnimodalConfig
from tests.tiny import DIMS, tiny_corpus

SMALL = {"hidden": (5,), "dense": (6,), "dropout": 0.0}
SYSTEMS = {
    "unimodal": (UnimodalConfig(**SMALL), ("audio",)),
    "early_fusion": (EarlyFusionConfig(**SMALL), tuple(DIMS)),
    "late_fusion": (LateFusionConfig(**SMALL), tuple(DIMS)),
}


def soft_batch(modalities, soft=True, size=8):
    corpus = tiny_corpus(dialogues=2, missing=0.0)
    targets = np.array([corpus.spec.classes.index(u.label) for u in corpus.utterances], np.int32)
    votes = np.random.default_rng(0).dirichlet(np.ones(3), len(corpus)).astype(np.float32)
    rows = np.arange(6)
    examples = make_examples(corpus, rows, View(modalities), targets, votes if soft else None)
    (batch,) = batches(examples, Buckets.fit(examples, 1), size)
    return batch, votes[rows]


@pytest.mark.parametrize("name", list(SYSTEMS))
def test_the_loss_is_the_cross_entropy_to_the_votes(name):
    config, modalities = SYSTEMS[name]
    model = config.build(Task({m: DIMS[m] for m in modalities}, 3, True, "utterance"))
    batch, votes = soft_batch(modalities)
    batch = jax.tree.map(jnp.asarray, batch)
    outputs = jax.jit(lambda b: model.init_with_output(jax.random.key(0), b, False)[0])(batch)
    each = list(outputs.modality_logits.values()) or [outputs.logits]
    expected = -sum((votes * log_softmax(np.asarray(x)[:6], axis=1)).sum(axis=1) for x in each)
    loss = config.loss(outputs, batch)
    np.testing.assert_allclose(loss[:6], expected, rtol=1e-4)
    hard = config.loss(outputs, batch.replace(soft_targets=None))
    assert not np.allclose(loss[:6], hard[:6])


def test_a_system_learns_the_votes_and_not_the_labels():
    """The least loss on soft labels is their entropy, above the 0 of hard ones."""
    config, modalities = SYSTEMS["unimodal"]
    model = config.build(Task({m: DIMS[m] for m in modalities}, 3, True, "utterance"))
    batch, votes = soft_batch(modalities)
    batch = jax.tree.map(jnp.asarray, batch)
    optimizer = optax.sgd(0.3, momentum=0.9)

    def objective(params):
        loss = config.loss(model.apply(params, batch, False), batch)
        return (batch.weights * loss).sum() / batch.weights.sum()

    @jax.jit
    def step(params, state):
        loss, grads = jax.value_and_grad(objective)(params)
        updates, state = optimizer.update(grads, state, params)
        return optax.apply_updates(params, updates), state, loss

    params = model.init(jax.random.key(0), batch, False)
    state = optimizer.init(params)
    for _ in range(150):
        params, state, loss = step(params, state)
    entropy = -(votes * np.log(votes)).sum(axis=1).mean()
    assert float(loss) == pytest.approx(entropy, abs=0.02)


def test_a_batch_without_soft_targets_is_the_pytree_it_was():
    soft, hard = (soft_batch(("audio",), soft=wanted)[0] for wanted in (True, False))
    assert len(jax.tree.leaves(soft)) == len(jax.tree.leaves(hard)) + 1
    assert soft.soft_targets.shape == (*soft.rows.shape, 3)


def test_early_fusion_on_padded_grids_differs_where_something_is_padded():
    true, padded = (EarlyFusionConfig(**SMALL, interpolation=kind) for kind in ("true", "padded"))
    batch, _ = soft_batch(tuple(DIMS), soft=False)
    batch = jax.tree.map(jnp.asarray, batch)
    task = Task(DIMS, 3, True, "utterance")
    variables = true.build(task).init(jax.random.key(0), batch, False)
    logits = [np.asarray(c.build(task).apply(variables, batch, False).logits)[:6] for c in (true, padded)]
    assert not np.allclose(*logits)
    whole = batch.replace(masks=jax.tree.map(jnp.ones_like, batch.masks))
    logits = [np.asarray(c.build(task).apply(variables, whole, False).logits)[:6] for c in (true, padded)]
    np.testing.assert_allclose(*logits, rtol=1e-5)
