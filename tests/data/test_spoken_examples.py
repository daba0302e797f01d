"""Words, their times and waveforms on their way from a corpus to a batch."""

import numpy as np
import pytest

from mer_jax.data.batching import Buckets, batches
from mer_jax.data.examples import View, make_examples
from mer_jax.data.preprocessing import Preprocessing
from mer_jax.data.scaling import scale_by_speaker
from mer_jax.data.schema import WAVEFORM, Modality
from mer_jax.data.vocabulary import WORDS
from mer_jax.errors import InputError
from tests.tiny import spoken_corpus

SIZE = 6


def fitted(train, **changes):
    options = {"scale": True, "outlier_limit": 10.0, "buckets": 1, "length_quantile": 1.0, "vocabulary": SIZE}
    return Preprocessing.fit(train, **options | changes)


def test_words_become_ids_of_a_vocabulary_fitted_on_train():
    corpus, view = spoken_corpus(), View((WORDS, WAVEFORM))
    train = make_examples(corpus, np.arange(30), view, None)
    preprocessing = fitted(train)
    spoken = [u.words for u in corpus.utterances[:30]]
    counts = {word: sum(x.count(word) for x in spoken) for word in {w for x in spoken for w in x}}
    best = sorted(counts, key=lambda word: (-counts[word], word))[: SIZE - 1]
    assert preprocessing.vocabulary.words == tuple(best)
    other = make_examples(corpus, np.arange(30, 60), view, None)
    found = preprocessing(other)
    for ids, utterance in zip(found.features[WORDS], corpus.utterances[30:60], strict=True):
        wanted = [best.index(w) + 1 if w in best else 0 for w in utterance.words]
        np.testing.assert_array_equal(ids, np.array(wanted, np.float32).reshape(-1, 1))
        assert ids.dtype == np.float32
    again = Preprocessing.from_json(preprocessing.to_json())
    for a, b in zip(again(other).features[WORDS], found.features[WORDS], strict=True):
        np.testing.assert_array_equal(a, b)


def test_waveforms_are_not_scaled():
    corpus = spoken_corpus()
    view = View((WAVEFORM, "audio"))
    train = make_examples(corpus, np.arange(30), view, None)
    for before, after in zip(train.features[WAVEFORM], fitted(train)(train).features[WAVEFORM], strict=True):
        np.testing.assert_array_equal(before, after)
    by_speaker = scale_by_speaker(corpus, (WAVEFORM, "audio"))
    one, other = corpus.utterances[3], by_speaker.utterances[3]
    np.testing.assert_array_equal(one.features[WAVEFORM], other.features[WAVEFORM])
    assert np.abs(one.features["audio"] - other.features["audio"]).max() > 0.01


def test_steps_of_words_and_waveforms_are_not_averaged():
    view = View((WORDS, "audio", WAVEFORM), frames_per_step=4)
    examples = make_examples(spoken_corpus(), np.arange(4), view, None)
    utterance = spoken_corpus().utterances[1]
    assert len(examples.features[WAVEFORM][1]) == len(utterance.features[WAVEFORM])
    assert len(examples.features[WORDS][1]) == len(utterance.words)
    assert len(examples.features["audio"][1]) == -(-len(utterance.features["audio"]) // 4)
    assert view.rate(Modality("audio", 6, 20.0)) == 5.0
    assert view.rate(Modality(WAVEFORM, 1, 100.0)) == 100.0
    assert view.rate(Modality("text", 4)) == 0.0


def test_long_sequences_are_cut_where_the_config_says():
    view = View((WORDS, WAVEFORM), longest=(f"{WORDS}=2", f"{WAVEFORM}=30"), timed=WORDS)
    examples = make_examples(spoken_corpus(), np.arange(20), view, None)
    whole = make_examples(spoken_corpus(), np.arange(20), View((WORDS, WAVEFORM)), None)
    assert examples.lengths(WORDS).max() == 2
    assert examples.lengths(WAVEFORM).max() == 30
    np.testing.assert_array_equal(examples.features[WAVEFORM][1], whole.features[WAVEFORM][1][:30])
    (batch,) = batches(fitted(examples)(examples), Buckets.fit(examples, 1, multiple=1), 20)
    assert batch.spans.shape == (20, 2, 2)


def test_a_batch_has_the_time_of_each_word():
    corpus = spoken_corpus()
    examples = make_examples(corpus, np.arange(8), View((WAVEFORM, WORDS), timed=WORDS), None)
    preprocessing = fitted(examples)
    (batch,) = batches(preprocessing(examples), preprocessing.buckets, 10)
    assert batch.spans.shape == (*batch.masks[WORDS].shape, 2)
    for row, utterance in enumerate(corpus.utterances[:8]):
        count = len(utterance.words)
        np.testing.assert_array_equal(batch.spans[row, :count], utterance.word_spans)
        assert (batch.spans[row, count:] == [0, -1]).all()
    assert (batch.spans[8:] == [0, -1]).all()


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"unit": "dialogue"}, "has one step an utterance and no words"),
        ({"timed": "wrods"}, "data.timed='wrods' is no modality .* 'words'"),
        ({"longest": ("words",)}, "must read modality=frames"),
        ({"longest": ("words=0",)}, "must read modality=frames"),
        ({"longest": ("audio=3",)}, "with a modality of the config"),
    ],
)
def test_views_that_make_no_sense_say_why(fields, words):
    with pytest.raises(InputError, match=words):
        View((WORDS, WAVEFORM), **fields)


def test_times_of_other_steps_than_words_are_refused():
    with pytest.raises(InputError, match=r"has the times of . words and .* steps of audio"):
        make_examples(spoken_corpus(), np.arange(8), View((WORDS, "audio"), timed="audio"), None)
