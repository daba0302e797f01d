"""States of corpora, and spaces fitted, measured, saved and loaded."""

import dataclasses
import json

import numpy as np
import pytest

from mer_jax.data.corpus import Corpus
from mer_jax.data.schema import CorpusSpec, Utterance
from mer_jax.emotion_space import quality
from mer_jax.emotion_space.corpus_states import corpus_states, perceived
from mer_jax.emotion_space.space import EmotionSpace, SpaceConfig
from mer_jax.errors import InputError
from tests.emotion_space.states import generated_states

EMOTIONS = ("joy", "sadness", "anger", "surprise", "disgust", "fear")
QUICK = SpaceConfig(perplexity=8.0, hidden=(16,), steps=100)


def corpus_of(states, names=EMOTIONS, splits=None, **columns):
    """A corpus whose utterances have these intensities, three to a dialogue."""
    utterances = tuple(
        Utterance(
            id=f"u{k}", speaker=f"s{k // 3}", dialogue=f"d{k // 3}", intensities=state,
            **{name: values[k] for name, values in columns.items()},
        )
        for k, state in enumerate(states)
    )  # fmt: skip
    stored = np.array(splits if splits is not None else ["all"] * len(states))
    spec = CorpusSpec("made", intensities=names, splits=tuple(dict.fromkeys(stored.tolist())), generated=True)
    return Corpus(spec, "0" * 64, utterances, stored)


def split_corpus():
    states = generated_states(240)
    return corpus_of(states, splits=["train"] * 160 + ["test"] * 80)


def votes_corpus():
    votes = np.array([[8, 2, 0], [0, 0, 0], [1, 1, 8], [0, 10, 0]] * 3, np.float32)
    labels = ["anger", "fear", "joy", "fear"] * 3
    spec = CorpusSpec(
        "voted", classes=("anger", "fear", "joy"), votes=("anger", "fear", "joy"), splits=("all",)
    )
    utterances = tuple(
        Utterance(id=f"c{k}/{c}", speaker="a", dialogue=f"c{k}", label=labels[k], votes=votes[k])
        for k in range(12)
        for c in ("voice", "face")
    )
    return Corpus(spec, "1" * 64, utterances, np.array(["all"] * 24))


def test_states_are_those_of_train_and_of_all_others():
    found = corpus_states(split_corpus())
    np.testing.assert_array_equal(found.train, generated_states(240)[:160])
    np.testing.assert_array_equal(found.held_out, generated_states(240)[160:])
    assert (found.emotions, found.top) == (EMOTIONS, 3.0)


def test_sentiment_is_no_emotion_and_missing_states_are_left_out():
    states = np.concatenate([generated_states(30), np.full((30, 1), -2, np.float32)], axis=1)
    corpus = corpus_of(states, (*EMOTIONS, "Sentiment"), ["train"] * 20 + ["test"] * 10)
    without = dataclasses.replace(corpus.utterances[3], intensities=None)
    corpus = dataclasses.replace(corpus, utterances=(*corpus.utterances[:3], without, *corpus.utterances[4:]))
    found = corpus_states(corpus)
    assert found.emotions == EMOTIONS
    assert len(found.train) == 19


def test_without_a_split_whole_dialogues_are_held_out():
    corpus = corpus_of(generated_states(150))
    found = corpus_states(corpus)
    assert len(found.held_out) == 30
    rows = {state.tobytes() for state in found.held_out}
    held = {u.dialogue for u in corpus.utterances if u.intensities.tobytes() in rows}
    assert "10 of 50 dialogues" in found.rule
    assert len(held) >= 10


def test_votes_are_shares_and_clips_without_votes_are_left_out():
    found = corpus_states(votes_corpus())
    every = np.concatenate([found.train, found.held_out])
    assert (len(every), found.top) == (18, 1.0)
    np.testing.assert_allclose(every.sum(axis=1), 1, rtol=1e-6)


def test_what_is_perceived_stands_beside_what_was_intended():
    voice, face = perceived(votes_corpus(), corpus_states(votes_corpus()))
    assert (voice.name, face.name, len(voice), len(face)) == ("voice", "face", 9, 9)
    np.testing.assert_array_equal(voice.ids, face.ids)
    np.testing.assert_allclose(voice.predicted[0], [0.8, 0.2, 0])
    np.testing.assert_array_equal(voice.truth[0], [1, 0, 0])
    assert perceived(split_corpus(), corpus_states(split_corpus())) == []


@pytest.mark.parametrize(
    ("states", "names", "words"),
    [
        (generated_states(9)[:, :1], ("joy",), "no intensities of two or more emotions"),
        (-generated_states(9), EMOTIONS, "intensities reach -"),
    ],
)
def test_corpora_without_emotion_states_are_named(states, names, words):
    with pytest.raises(InputError, match=words):
        corpus_states(corpus_of(states, names))


@pytest.fixture(scope="module")
def fitted():
    corpus = split_corpus()
    return EmotionSpace.fit(QUICK, corpus_states(corpus), corpus), corpus_states(corpus)


def test_quality_is_of_states_that_train_lacks(fitted):
    space, states = fitted
    known = {state.tobytes() for state in states.train}
    new = {state.tobytes(): state for state in states.held_out if state.tobytes() not in known}
    rows = np.array(list(new.values()))
    assert space.quality["held_out"]["rows"] == len(rows)
    found = space.quality["held_out"]["trustworthiness"]
    assert found == pytest.approx(quality.trustworthiness(rows, space.model.transform(rows)), abs=0.02)
    assert space.quality["distinct"] == len(np.unique(states.train, axis=0))
    assert 0 < space.quality["path"]["longest_step"] <= space.quality["path"]["longest_of_all"]
    assert space.quality["fit_cpu_seconds"] > 0


def test_saved_and_loaded(fitted, tmp_path):
    space, states = fitted
    space.save(tmp_path / "space")
    loaded = EmotionSpace.load(tmp_path / "space")
    assert (loaded.model.transform(states.train) == space.model.transform(states.train)).all()
    assert (loaded.config, loaded.quality, loaded.emotions) == (space.config, space.quality, space.emotions)
    np.testing.assert_array_equal(loaded.counts, space.counts)
    (tmp_path / "space" / "space.json").write_text(json.dumps({"version": 0}))
    with pytest.raises(InputError, match="another version"):
        EmotionSpace.load(tmp_path / "space")
    with pytest.raises(InputError, match="holds no emotion space"):
        EmotionSpace.load(tmp_path)


def test_a_handful_of_states_is_too_few():
    corpus = corpus_of(np.zeros((9, 6), np.float32), splits=["train"] * 2 + ["test"] * 7)
    with pytest.raises(InputError, match="2 states in train"):
        EmotionSpace.fit(QUICK, corpus_states(corpus), corpus)


def test_every_setting_reaches_the_estimator():
    config = SpaceConfig(9.0, (5, 4), 70, 0.02, 0.3, 0.6, "weight", True, 8)
    called = {"steps": "max_iter", "seed": "random_state"}
    given = config.model(1.0).get_params()
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        assert value != getattr(SpaceConfig(), field.name)
        assert given[called.get(field.name, field.name)] == value
    assert config.model(3.0).noise == pytest.approx(3 * config.noise)
