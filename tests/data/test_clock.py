"""All streams on one clock, against means over frames written out."""

import dataclasses

import numpy as np
import pytest

from mer_jax.data.clock import to_clock
from mer_jax.errors import InputError
from tests.tiny import AUDIO_RATE, spoken_corpus, tiny_corpus


def test_a_word_is_the_mean_of_the_frames_spoken_during_it():
    """A frame counts for a word where they share time; word times and the rate tell which."""
    corpus = spoken_corpus(dialogues=2)
    aligned = to_clock(corpus, "text", ("text", "audio"))
    checked = 0
    for was, now in zip(corpus.utterances, aligned.utterances, strict=True):
        if not was.has("text"):
            assert now is was
            continue
        frames = was.features["audio"]
        starts = np.arange(len(frames)) / AUDIO_RATE
        for k, (begin, end) in enumerate(was.word_spans):
            during = np.minimum(starts + 1 / AUDIO_RATE, end) - np.maximum(starts, begin) > 1e-4
            np.testing.assert_allclose(
                now.features["audio"][k], frames[during].mean(axis=0), rtol=1e-4, atol=1e-5
            )
            checked += 1
        np.testing.assert_array_equal(now.features["text"], was.features["text"])
    assert checked > 20


def test_without_times_a_step_is_an_equal_part():
    corpus = tiny_corpus(dialogues=1, missing=0.0)
    (first, *_) = corpus.utterances
    frames = np.arange(6, dtype=np.float32)[:, None] * np.ones((1, 6), np.float32)
    one = dataclasses.replace(first, features={"text": np.zeros((3, 4), np.float32), "audio": frames})
    aligned = to_clock(dataclasses.replace(corpus, utterances=(one,)), "text", ("text", "audio"))
    assert aligned.utterances[0].features["audio"][:, 0].tolist() == [0.5, 2.5, 4.5]
    fewer = dataclasses.replace(one, features={"text": np.zeros((6, 4), np.float32), "audio": frames[:2]})
    aligned = to_clock(dataclasses.replace(corpus, utterances=(fewer,)), "text", ("text", "audio"))
    assert aligned.utterances[0].features["audio"][:, 0].tolist() == [0, 0, 0, 1, 1, 1]


def test_a_word_between_frames_takes_the_nearest():
    corpus = spoken_corpus(dialogues=1)
    (first, *_) = [u for u in corpus.utterances if u.has("text")]
    spans = np.array([[0.0, 0.05], [5.0, 5.2]], np.float32)  # the second after the sound's end
    features = {"text": np.zeros((2, 4), np.float32), "audio": first.features["audio"]}
    late = dataclasses.replace(first, features=features, words=("a", "b"), word_spans=spans)
    aligned = to_clock(dataclasses.replace(corpus, utterances=(late,)), "text", ("text", "audio"))
    np.testing.assert_array_equal(aligned.utterances[0].features["audio"][1], first.features["audio"][-1])


def test_it_is_other_data_with_a_hash_and_rates_of_its_own():
    corpus = spoken_corpus(dialogues=1)
    aligned = to_clock(corpus, "text", ("text", "audio"))
    assert aligned.content_hash != corpus.content_hash
    assert aligned.spec.modality("audio").rate is None
    assert aligned.spec.modality("waveform").rate == corpus.spec.modality("waveform").rate


@pytest.mark.parametrize(
    ("clock", "streams", "message"),
    [("texd", ("text", "audio"), "did you mean 'text'"), ("text", ("text", "waveform"), "no mean per word")],
)
def test_a_clock_that_cannot_be_says_why(clock, streams, message):
    with pytest.raises(InputError, match=message):
        to_clock(spoken_corpus(dialogues=1), clock, streams)
