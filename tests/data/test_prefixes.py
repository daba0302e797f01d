import numpy as np
import pytest

from mer_jax.data.examples import ExampleSet
from mer_jax.data.prefixes import prefixes
from mer_jax.errors import InputError


def examples(lengths=((3, 7), (0, 4), (0, 0), (1, 2)), **changes):
    """Two modalities whose frames count from 1."""
    features = {
        name: [np.arange(1.0, pair[place] + 1)[:, None] for pair in lengths]
        for place, name in enumerate(("text", "audio"))
    }
    given = {
        "features": features,
        "rows": list(np.arange(len(lengths))[:, None]),
        "targets": None,
        "unit": "utterance",
    }
    return ExampleSet(**{**given, **changes})


def test_every_beginning_is_there_and_the_whole_example_last():
    found = prefixes(examples())
    assert found.offsets.tolist() == [0, 3, 7, 7, 8]
    assert found.steps.tolist() == [1, 2, 3, 1, 2, 3, 4, 1]
    assert found.lengths.tolist() == [3, 4, 0, 1]
    text = [x[:, 0].tolist() for x in found.examples.features["text"]]
    assert text[:3] == [[1], [1, 2], [1, 2, 3]]
    assert [row.tolist() for row in found.examples.rows] == [[k] for k in range(8)]


def test_other_modalities_are_cut_at_the_same_share_rounded_up():
    """7 frames of audio beside 3 words: 7/3 -> 3, 14/3 -> 5, 7."""
    found = prefixes(examples())
    assert [len(x) for x in found.examples.features["audio"]][:3] == [3, 5, 7]
    assert [len(x) for x in found.examples.features["text"]][3:7] == [0, 0, 0, 0]


def test_of_many_steps_some_are_kept_evenly():
    found = prefixes(examples(((10, 10),)), most=4)
    assert found.steps.tolist() == [3, 5, 8, 10]


def test_word_times_are_cut_with_their_words():
    spans = [np.array([[0.0, 1], [1, 2], [2, 3]])]
    found = prefixes(examples(((3, 9),), spans=spans, timed="text"))
    assert [len(x) for x in found.examples.spans] == [1, 2, 3]


@pytest.mark.parametrize(
    ("change", "message"), [({"unit": "dialogue"}, "of its own already"), ({}, "most=0")]
)
def test_what_has_no_prefixes_is_refused(change, message):
    with pytest.raises(InputError, match=message):
        prefixes(examples(**change), most=0)
