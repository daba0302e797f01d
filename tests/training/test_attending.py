"""Which utterances are examined, and what is kept of those whose states are no frames of the corpus."""

import dataclasses
import functools

import numpy as np
import pytest

from mer_jax.data.batching import largest_batch
from mer_jax.data.examples import View, make_examples
from mer_jax.data.preprocessing import Preprocessing
from mer_jax.data.schema import WAVEFORM, Modality
from mer_jax.data.vocabulary import WORDS
from mer_jax.evaluation.attention_record import AttentionRecord
from mer_jax.evaluation.sound_trace import envelope
from mer_jax.models.base import Task
from mer_jax.models.lexico_acoustic import LexicoAcousticConfig
from mer_jax.nn.front_end import FrontEndConfig
from mer_jax.training.attending import Attending, Examiner, attended_states, known_rows, rate_of
from mer_jax.training.config import TrainingConfig
from mer_jax.training.data_parallel import DataParallel
from mer_jax.training.program import Program
from mer_jax.training.scalars import Member
from mer_jax.training.state import unstack
from tests.data.corpora import corpus_of, utterance

CLOCK, STEP = 1000.0, 20
STREAMS = (Modality(WAVEFORM, 1, CLOCK), Modality("audio", 3, 50.0), Modality("text", 2))
TO_SOUND = (WORDS, WAVEFORM)


def spoken(name, words, samples, **fields):
    """Words of equal length, one after another, over noise."""
    random = np.random.default_rng(samples)
    edges = np.linspace(0, samples / CLOCK, len(words) + 1)
    features = {
        WAVEFORM: random.uniform(-1, 1, (samples, 1)),
        "audio": random.normal(size=(-(-samples // STEP), 3)),
        "text": random.normal(size=(len(words), 2)),
    }
    given = {
        "words": tuple(words),
        "word_spans": np.stack([edges[:-1], edges[1:]], axis=1).astype(np.float32),
        "features": {name: x.astype(np.float32) for name, x in features.items()},
        "label": "yes",
    }
    return utterance(name, **given | fields)


def corpus():
    """0 and 1 are whole; each of the others lacks something."""
    whole = spoken("whole", ("well", "done", "you"), 410)
    nothing = np.zeros((0, 2), np.float32)
    rows = [
        whole,
        spoken("long", ("a", "b", "c", "d", "e"), 990),
        spoken("no times", ("well", "done"), 300, word_spans=nothing),
        spoken("times of some", ("well", "done"), 300, word_spans=np.array([[0, 0.1]], np.float32)),
        spoken("no words", (), 300, transcript="Well done!", word_spans=nothing),
        spoken("no sound", ("well",), 300, features={"text": whole.features["text"][:1]}),
        spoken("nothing said", (), 300, word_spans=nothing),
    ]
    return corpus_of(rows, modalities=STREAMS)


@pytest.mark.parametrize("attends", [TO_SOUND, ("text", "audio"), (WORDS, "audio")])
def test_words_are_looked_for_where_all_their_times_are_known(attends):
    found = known_rows(corpus(), np.arange(7), View(attends), attends)
    assert found.tolist() == [0, 1]
    assert known_rows(corpus(), np.arange(1, 7), View(attends), attends).tolist() == [1]


@pytest.mark.parametrize("attends", [("audio", WORDS), (WAVEFORM, WORDS), ("audio", "text")])
def test_audio_that_attends_to_words_is_not_examined(attends):
    """Words have no clock: where among them a frame looks has no true time."""
    assert rate_of(corpus(), attends) == 0
    assert len(known_rows(corpus(), np.arange(7), View(attends), attends)) == 0


def test_features_that_are_not_one_a_word_are_not_looked_for():
    data = corpus()
    first = data.utterances[0]
    features = {**first.features, "text": first.features["text"][:2]}
    other = corpus_of([dataclasses.replace(first, features=features)], modalities=STREAMS)
    assert len(known_rows(other, np.arange(1), View(("text", "audio")), ("text", "audio"))) == 0
    assert len(known_rows(other, np.arange(1), View(TO_SOUND), TO_SOUND)) == 1


@pytest.mark.parametrize("changes", [{"unit": "dialogue"}, {"frames_per_step": 2}])
def test_steps_that_are_no_words_are_not_looked_for(changes):
    view = View(("text", "audio"), **changes)
    assert len(known_rows(corpus(), np.arange(7), view, ("text", "audio"))) == 0


@pytest.mark.parametrize(
    ("frames", "clock", "attended", "expected"),
    [
        (150_000, 16_000.0, 6.4, 60),  # steps of 150,000 samples, pools of 50 and 50
        (150_001, 16_000.0, 6.4, 61),
        (2_500, 16_000.0, 6.4, 1),
        (1, 16_000.0, 6.4, 1),
        (333, 100.0, 100.0, 333),
        (60, 16_000.0, 16_000 / 60, 1),  # a little more than 1 in floating point
        (7, 22_050.0, 22_050 / 7, 1),
        (7 * 1_000_003, 22_050.0, 22_050 / 7, 1_000_003),
    ],
)
def test_a_state_that_is_begun_counts(frames, clock, attended, expected):
    assert attended_states(frames, clock, attended) == expected


@functools.cache
def examiner():
    """Pools of 5 and 4: a state lasts 20 samples."""
    front = FrontEndConfig(embedding=3, filters=(2, 3), kernels=(5, 3), pools=(5, 4))
    sizes = {"hidden": (3,), "dense": (4,), "dropout": 0.0, "attention_size": 4}
    model = LexicoAcousticConfig(main=WORDS, auxiliary=WAVEFORM, front=front, alignment="global", **sizes)
    assert isinstance(model, Attending)
    task = Task({WORDS: 1, WAVEFORM: 1}, 2, True, "utterance", {WAVEFORM: CLOCK}, vocabulary=8)
    config = TrainingConfig(batch_size=4, buckets=1)
    return Examiner(Program(model, task, config, DataParallel()), model.attends)


def examined(view):
    data, rows, looked = corpus(), np.array([1, 0]), examiner()
    train = make_examples(data, rows, view, np.zeros(7, np.int32))
    options = {"scale": True, "outlier_limit": 10.0, "buckets": 1, "length_quantile": 1.0, "vocabulary": 8}
    fitted = Preprocessing.fit(train, **options)
    batch = largest_batch(fitted(train), fitted.buckets, 4)
    state = unstack(looked.program.init([Member(0)], batch), 0)
    return data, looked.examine(state, fitted, data, rows, view)


def test_pooled_states_of_a_waveform_are_examined_on_their_own_clock():
    data, (long, whole) = examined(View(TO_SOUND))
    assert examiner().rate(data) == CLOCK / STEP
    for found, row in ((whole, 0), (long, 1)):
        one = data.utterances[row]
        samples = one.features[WAVEFORM][:, 0]
        assert (found.id, found.words) == (one.id, one.words)
        assert found.frames == -(-len(samples) // STEP) == found.positions.max() + 1
        np.testing.assert_allclose(found.weights.sum(axis=1), 1, rtol=1e-5)
        assert (found.weights > 0).sum(axis=1).tolist() == [found.frames] * len(one.words)
        np.testing.assert_allclose(found.spans, one.word_spans)
        np.testing.assert_array_equal(found.trace, envelope(samples))
        assert found.trace_name == "waveform"
    assert [one.trace_seconds for one in (whole, long)] == [2 / CLOCK, 5 / CLOCK]
    record = AttentionRecord.of([long, whole], [long, whole], examiner().rate(data), [])
    seconds = np.repeat([50 * STEP, 21 * STEP], [5, 3]) / CLOCK
    np.testing.assert_allclose(record.measures["uniform_everywhere/width"], seconds)


def test_what_is_cut_is_examined_as_far_as_it_goes():
    data, (long, whole) = examined(View(TO_SOUND, longest=("words=2", "waveform=130")))
    for found, row in ((whole, 0), (long, 1)):
        one = data.utterances[row]
        assert (found.words, found.frames) == (one.words[:2], 7)
        assert found.weights.shape[0] == len(found.spans) == 2
        np.testing.assert_array_equal(found.trace, envelope(one.features[WAVEFORM][:130, 0]))
