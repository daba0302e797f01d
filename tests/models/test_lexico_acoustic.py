"""Text that attends to audio: sizes, masks, missing modalities, and attention examined after training."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.experiment import get_config
from experiments.members import variants
from experiments.runs import Job, Options, train_jobs
from experiments.setup import set_up
from mer_jax.data.corpus import prepare
from mer_jax.data.simulation import Options as Simulated
from mer_jax.errors import InputError
from mer_jax.evaluation.attention_record import AttentionRecord
from mer_jax.models.base import Task
from mer_jax.models.lexico_acoustic import LexicoAcousticConfig, pool
from mer_jax.training.attending import Attending, known_rows
from mer_jax.training.run_folder import RunFolder
from tests.models.test_classifiers import DIMS, LOOSE, batch_of, built, initialised, jit_apply
from tests.tiny import tiny_corpus

SMALL = {"hidden": (3,), "dense": (6,), "dropout": 0.0, "attention_size": 4, "width": 4, "half_width": 3}
SYSTEMS = [
    LexicoAcousticConfig(**SMALL),
    LexicoAcousticConfig(
        **SMALL, alignment="local_p", relative_position=True, encoder="dense", pooling="last"
    ),
]


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


def test_examples_do_not_mix():
    model, variables, batch = built(SYSTEMS[0])
    alone = model(variables, batch_of([4])).logits
    np.testing.assert_allclose(model(variables, batch).logits[4], alone[0], **LOOSE)


def counted(config):
    model, batch = config.build(Task(DIMS, 3, True, "utterance")), batch_of(range(2))
    shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), batch, False))
    return sum(x.size for x in jax.tree.leaves(shapes))


def test_parameter_counts():
    """By hand: text of 4 and audio of 6 features, states of 2 x 3, h~ of 4, dense 6, 3 classes."""
    lstm = {dim: 2 * 4 * 3 * (dim + 3 + 1) for dim in (4, 6)}
    dense = {dim: (dim + 1) * 6 for dim in (4, 6)}
    head = (6 + 6) * 4 + (4 + 1) * 6 + (6 + 1) * 3
    assert counted(SYSTEMS[0]) == lstm[4] + lstm[6] + 6 * 6 + head
    assert counted(SYSTEMS[1]) == dense[4] + lstm[6] + 6 * 6 + (6 + 2) * 4 + head
    assert counted(LexicoAcousticConfig(**SMALL, score="dot")) == lstm[4] + lstm[6] + head
    one_way = dataclasses.replace(SYSTEMS[0], bidirectional=False, auxiliary_hidden=(5,))
    assert counted(one_way) == 4 * 3 * 8 + 4 * 5 * 12 + 3 * 5 + (3 + 5) * 4 + (4 + 1) * 6 + (6 + 1) * 3


def test_weights_are_computed_where_they_are_asked_for_only():
    model = SYSTEMS[0].build(Task(DIMS, 3, True, "utterance"))
    batch = batch_of(range(6))
    variables = initialised(model, batch)
    plain = jit_apply(model)(variables, batch)
    asked = jax.jit(lambda v, b: model.apply(v, b, False, weights=True))(variables, batch)
    assert plain.attention == {}
    values, positions = asked.attention["weights"]
    assert values.shape == positions.shape == (*batch.masks["text"].shape, 5)
    np.testing.assert_allclose(values.sum(axis=-1), batch.masks["text"], rtol=1e-5)
    np.testing.assert_allclose(asked.logits, plain.logits, rtol=1e-5)


def test_without_audio_the_words_alone_decide_and_without_text_nothing_does():
    model, variables, batch = built(SYSTEMS[0])
    gone = batch.replace(masks={**batch.masks, "audio": batch.masks["audio"].at[2].set(False)})
    other = gone.replace(features={**gone.features, "audio": gone.features["audio"].at[2].add(1)})
    logits = model(variables, gone).logits
    np.testing.assert_allclose(logits, model(variables, other).logits, **LOOSE)
    assert np.abs(logits[2] - model(variables, batch).logits[2]).max() > 1e-4
    wordless = batch.replace(masks={**batch.masks, "text": batch.masks["text"].at[2].set(False)})
    bias = variables["params"]["Dense_1"]["bias"]
    np.testing.assert_allclose(model(variables, wordless).logits[2], bias, atol=1e-6)


def test_pooling():
    states = jnp.asarray(np.random.default_rng(0).normal(size=(3, 4, 2)), jnp.float32)
    mask = jnp.asarray([[1, 1, 1, 0], [0, 1, 0, 1], [0, 0, 0, 0]], bool)
    mean = [states[0, :3].mean(0), states[1, jnp.array([1, 3])].mean(0), np.zeros(2)]
    last = [states[0, 2], states[1, 3], np.zeros(2)]
    np.testing.assert_allclose(pool(states, mask, "mean"), np.stack(mean), rtol=1e-5)
    np.testing.assert_allclose(pool(states, mask, "last"), np.stack(last), rtol=1e-5)


@pytest.mark.parametrize(
    ("changes", "dims", "message"),
    [
        ({"auxiliary": "adio"}, DIMS, "model.auxiliary='adio' .* did you mean 'audio'"),
        ({"auxiliary": "text"}, DIMS, "takes two modalities"),
        ({}, {**DIMS, "face": 3}, "name both, no other"),
    ],
)
def test_a_system_that_can_not_be_built_says_why(changes, dims, message):
    with pytest.raises(InputError, match=message):
        LexicoAcousticConfig(**changes).build(Task(dims, 3, True, "utterance"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dropout": 1.0}, "model.dropout=1.0"),
        ({"hidden": ()}, "model.hidden is empty"),
        ({"width": 0}, "width=0 must be at least 1"),
    ],
)
def test_a_config_that_makes_no_sense_says_why(changes, message):
    with pytest.raises(InputError, match=message):
        LexicoAcousticConfig(**changes)


def test_only_words_whose_times_are_known_are_examined():
    corpus, view = tiny_corpus(), get_config("lexico_acoustic_generated").data.view
    assert isinstance(SYSTEMS[0], Attending)
    assert len(known_rows(corpus, np.arange(6), view, ("text", "audio"))) == 0


@pytest.fixture(scope="module")
def lagged(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lagged")
    options = Simulated(preset="lagged", dialogues=12, utterances=(4, 6), words=(3, 6), speakers=9)
    prepare("generated", None, folder, options=options)
    return folder


def test_a_run_keeps_what_its_words_attend_to(lagged, tmp_path):
    """Two seeds in one program: each folder has its attention, beside that of its untrained self."""
    config = get_config("lexico_acoustic_generated")
    training = dataclasses.replace(config.training, epochs=2, buckets=1)
    small = dataclasses.replace(config, model=SYSTEMS[0], training=training)
    setup = set_up(small, lagged, None)
    jobs = [Job(v, RunFolder(tmp_path / v.suffix[1:])) for v in variants(small, 2)]
    assert train_jobs(setup, jobs, (), Options()) == []
    found = [json.loads((job.folder.path / "metrics.json").read_text())["attention"] for job in jobs]
    words = sum(len(setup.corpus.utterances[row].words) for row in setup.folds[0].test)
    for one in found:
        assert (one["n"], one["utterances"]) == (words, len(setup.folds[0].test))
        assert 0 < one["mass_in_span"] < one["mass_within_one_word"] < 1
        assert one["mass_in_span"] != one["untrained"]["mass_in_span"]
    assert found[0]["uniform"] == found[1]["uniform"]
    assert found[0]["mass_in_span"] != found[1]["mass_in_span"]
    record = AttentionRecord.load(jobs[0].folder.path / "attention.npz")
    known = {u.id: u for u in setup.corpus.utterances}
    assert len(record.examples) == 12
    for one in record.examples:
        assert one.words == known[one.id].words
        audio = known[one.id].features["audio"]
        assert one.frames == len(audio) == len(one.trace)
        assert one.trace_name == "RMS of the features of audio"
        np.testing.assert_allclose(one.spans, known[one.id].truth["alignment"], rtol=1e-6)
        np.testing.assert_allclose(one.weights.sum(axis=1), 1, rtol=1e-5)
    page = (jobs[0].folder.path / "report.html").read_text()
    assert "<section id='attention'" in page
    assert "figure-attention" in page
