import dataclasses

import numpy as np
import pytest

from mer_jax.emotion_space.sections import trajectory_sections
from mer_jax.emotion_space.utterances import Spoken, of_utterances
from mer_jax.errors import InputError
from mer_jax.evaluation.timeline import Timeline
from tests.emotion_space.spaces import EMOTIONS, overlay, space

WORDS = ("oh", "no", "not", "again", "please")


def timeline(ids=("dia0_utt0", "dia0_utt1"), steps=5, clock="words", seed=0, classes=0):
    random, n = np.random.default_rng(seed), len(ids) * steps
    none = np.zeros((n, 0), np.float32)
    return Timeline(
        ids=np.array(ids),
        splits=np.array(["test"] * len(ids)),
        clocks=np.array([clock] * len(ids)),
        offsets=np.arange(len(ids) + 1) * steps,
        times=np.tile(0.5 * np.arange(1.0, steps + 1), len(ids)),
        heard=np.array(WORDS[:steps] * len(ids)),
        predicted_intensities=none if classes else random.uniform(0, 3, (n, 3)).astype(np.float32),
        probabilities=random.dirichlet(np.ones(classes), n).astype(np.float32) if classes else none,
    )


def spoken(name="lstm", **options):
    return Spoken.on(space(), name, timeline(**options), EMOTIONS)


def test_an_utterance_is_told_word_by_word_beside_its_truth():
    lstm, ridge, truth = spoken(), spoken("ridge", seed=1), overlay()
    (group,) = of_utterances([lstm, ridge], truth, ["dia0_utt1"])
    whole, first, second = group.trajectories
    assert (group.name, group.clock) == ("dia0_utt1, word by word", "seconds")
    assert [one.name for one in group.trajectories] == ["Truth", "lstm", "ridge"]
    np.testing.assert_array_equal(first.states, lstm.timeline.predicted_intensities[5:])
    np.testing.assert_array_equal(second.states, ridge.timeline.predicted_intensities[5:])
    assert (first.labels, first.times.tolist()) == (WORDS, [0.5, 1, 1.5, 2, 2.5])
    np.testing.assert_array_equal(whole.states, truth.truth[[1, 1]])
    assert whole.times.tolist() == [0.5, 2.5]


def test_columns_are_those_of_the_space_whatever_the_runs_order():
    backwards = Spoken.on(space(), "lstm", timeline(), EMOTIONS[::-1])
    np.testing.assert_array_equal(backwards.states, spoken().states[:, ::-1])
    with pytest.raises(InputError, match="overlay it on a space of its own emotions"):
        Spoken.on(space(), "lstm", timeline(), ("calm", *EMOTIONS[1:]))


def test_class_probabilities_are_states_at_the_highest_intensity():
    given = timeline(classes=4)
    found = Spoken.on(space(), "classes", given, (), ("neutral", *EMOTIONS))
    np.testing.assert_allclose(found.states, 3 * given.probabilities[:, 1:], rtol=1e-6)


def test_where_one_system_has_no_seconds_all_count_steps():
    (group,) = of_utterances([spoken(), spoken("frames", clock="steps")], overlay(), ["dia0_utt0"])
    assert group.clock == "step"
    assert all(one.times[0] == 1 for one in group.trajectories)
    assert group.trajectories[1].times.tolist() == [1, 2, 3, 4, 5]


def test_the_utterances_that_move_most_are_chosen_among_those_all_systems_have():
    ids = ("dia0_utt0", "dia0_utt1", "dia0_utt2", "nobody")
    lstm = spoken(ids=ids)
    speed = np.repeat([1.0, 4.0, 3.0, 9.0], 5)[:, None].astype(np.float32)
    lstm = dataclasses.replace(lstm, states=lstm.states * speed)
    chosen = of_utterances([lstm], overlay(), most=2)
    assert [group.name.split(",")[0] for group in chosen] == ["dia0_utt1", "dia0_utt2"]
    shared = of_utterances([lstm, spoken("other", ids=ids[::2])], overlay())
    assert [group.name.split(",")[0] for group in shared] == ["dia0_utt2", "dia0_utt0"]
    assert of_utterances([spoken(steps=3)], overlay()) == []


@pytest.mark.parametrize("name", ["nobody", "dia1_utt1"])
def test_an_utterance_without_steps_or_truth_is_named(name):
    with pytest.raises(InputError, match=f"hears in '{name}'"):
        of_utterances([spoken(ids=("dia0_utt0", "nobody"))], overlay(), [name])


def test_the_card_says_what_the_steps_are():
    (card,) = trajectory_sections(space(), of_utterances([spoken()], overlay(), ["dia0_utt0"]))
    assert card.title == "dia0_utt0, word by word"
    assert card.caption.startswith("After each step, what a system says of all that it has heard so far")
    assert card.figure is not None
    texts = [list(trace.text) for trace in card.figure.data if trace.mode == "markers+text"]
    assert texts == [["", ""], ["1", "2", "3", "4", "5"]]
