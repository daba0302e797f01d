import numpy as np
import pytest

from mer_jax.data.examples import View, make_examples
from mer_jax.data.prefixes import prefixes
from mer_jax.data.schema import Modality
from mer_jax.errors import InputError
from mer_jax.evaluation.protocol import Protocol, ProtocolConfig
from mer_jax.evaluation.timeline import Timeline
from tests.data.corpora import corpus_of, utterance


def spoken(name, **fields):
    features = {"audio": np.ones((4, 2), np.float32)}
    fields = {"intensities": np.zeros(2, np.float32), "label": "no", "features": features, **fields}
    return utterance(name, **fields)


def timeline(*utterances, modalities=("words",), rate=None, task="regression", frames_per_step=1):
    names = {"intensities": ("happy", "sad"), "modalities": (Modality("audio", 2, rate),)}
    corpus = corpus_of(utterances, ["test"] * len(utterances), **names)
    rows, view = np.arange(len(utterances)), View(modalities, frames_per_step=frames_per_step)
    found = prefixes(make_examples(corpus, rows, view, None))
    values = np.stack([np.arange(len(found.steps)), np.zeros(len(found.steps))], axis=1)
    protocol = Protocol.bind(ProtocolConfig(task=task), corpus)
    return Timeline.make(corpus, protocol, view, rows, "test", found, values)


def test_words_with_times_end_when_they_do():
    spans = np.array([[0.1, 0.4], [0.5, 0.9]], np.float32)
    found = timeline(spoken("a", words=("Oh", "no"), word_spans=spans))
    np.testing.assert_allclose(found.times, [0.4, 0.9], rtol=1e-6)
    assert (found.clocks.tolist(), found.heard.tolist()) == (["words"], ["oh", "no"])


def test_words_without_times_are_spread_evenly_over_the_utterance():
    found = timeline(spoken("a", transcript="it was fun !", start=2.0, end=4.0))
    assert found.times.tolist() == [0.5, 1, 1.5, 2]
    assert found.clocks.tolist() == ["even"]


def test_frames_have_their_clock_and_steps_of_several_frames_too():
    found = timeline(spoken("a"), modalities=("audio",), rate=10.0, frames_per_step=2)
    np.testing.assert_allclose(found.times, [0.2, 0.4])
    assert (found.clocks.tolist(), found.heard.tolist()) == (["frames"], ["", ""])


def test_without_any_clock_steps_are_counted():
    found = timeline(spoken("a", start=np.nan, end=np.nan), modalities=("audio",))
    assert (found.clocks.tolist(), found.times.tolist()) == (["steps"], [1, 2, 3, 4])


def test_it_survives_the_file_and_its_parts_are_found_again(tmp_path):
    one = timeline(spoken("a", transcript="so"), spoken("b", transcript="and then"))
    both = Timeline.concatenate([one, timeline(spoken("c", transcript="we left early"))])
    both.save(tmp_path / "timeline.npz")
    again = Timeline.load(tmp_path / "timeline.npz")
    assert again.ids.tolist() == ["a", "b", "c"]
    assert again.offsets.tolist() == [0, 1, 3, 6]
    assert again.heard[again.of("c")].tolist() == ["we", "left", "early"]
    assert again.predicted_intensities[again.of("b"), 0].tolist() == [1, 2]
    with pytest.raises(InputError, match="there is no utterance 'd'"):
        again.of("d")


def test_classes_have_probabilities(tmp_path):
    found = timeline(spoken("a", transcript="so"), task="classification")
    assert (found.probabilities.shape, found.predicted_intensities.shape) == ((1, 2), (1, 0))


def test_a_missing_or_damaged_file_says_how_to_make_it(tmp_path):
    with pytest.raises(InputError, match=r"does not exist; run: python -m experiments\.timeline"):
        Timeline.load(tmp_path / "timeline.npz")
    (tmp_path / "timeline.npz").write_bytes(b"PK")
    with pytest.raises(InputError, match="is damaged"):
        Timeline.load(tmp_path / "timeline.npz")
