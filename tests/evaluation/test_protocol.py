"""Protocols are hashable, complete and refuse what a corpus can't serve."""

import dataclasses
import json

import numpy as np
import pytest

from mer_jax.errors import InputError
from mer_jax.evaluation.protocol import Protocol, ProtocolConfig
from mer_jax.records import from_json
from tests.tiny import tiny_corpus


def bind(**options):
    return Protocol.bind(ProtocolConfig(**options), tiny_corpus())


def test_the_hash_names_everything_that_matters():
    base = bind()
    others = [
        bind(split="dialogue"),
        bind(split_seed=1),
        bind(select="macro_f1"),
        bind(label_map=("sad=",)),
        bind(task="regression"),
        dataclasses.replace(base, content_hash="f" * 64),
    ]
    assert bind().hash == base.hash
    assert len({p.hash for p in [base, *others]}) == 7


def test_json_round_trip():
    protocol = bind(label_map=("sad=negative", "anger=negative"))
    again = from_json(Protocol, json.loads(json.dumps(protocol.to_json())))
    assert again == protocol
    assert again.hash == protocol.hash


def test_chosen_intensities_are_the_targets_in_their_order():
    corpus = tiny_corpus()
    everything = bind(task="regression")
    first, *_, last = everything.targets
    protocol = bind(task="regression", intensities=(last, first))
    assert protocol.targets == (last, first)
    np.testing.assert_array_equal(protocol.intensities(corpus), everything.intensities(corpus)[:, [-1, 0]])
    assert from_json(Protocol, json.loads(json.dumps(protocol.to_json()))) == protocol


def test_a_protocol_without_chosen_intensities_keeps_the_hash_it_had_before_they_could_be():
    assert "intensities" not in bind(task="regression").to_json()["config"]


def test_labels_follow_the_map():
    corpus = tiny_corpus()
    protocol = bind(label_map=("sad=negative", "anger=negative"))
    assert protocol.targets == ("happy", "negative")
    expected = [0 if u.label == "happy" else 1 for u in corpus.utterances]
    np.testing.assert_array_equal(protocol.labels(corpus), expected)


def test_a_dropped_class_is_in_no_fold():
    corpus = tiny_corpus()
    protocol = bind(label_map=("sad=",))
    (fold,) = protocol.folds(corpus)
    used = np.concatenate([fold.train, fold.dev, fold.test])
    assert set(corpus.column("label")[used]) == {"happy", "anger"}


def test_a_label_outside_the_map_is_named():
    corpus = tiny_corpus()
    odd = dataclasses.replace(corpus.utterances[5], label="joy")
    corpus = dataclasses.replace(corpus, utterances=(*corpus.utterances[:5], odd, *corpus.utterances[6:]))
    with pytest.raises(InputError, match="'d00u5' has label 'joy', which is outside"):
        bind().labels(corpus)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"label_map": ("hapy=x",)}, "did you mean 'happy'"),
        ({"select": "acuracy"}, "did you mean 'accuracy'"),
        ({"fractions": (0.5, 0.1, 0.1)}, "sum to 1"),
        ({"label_map": ("happy=", "sad=")}, "no class labels"),
        ({"task": "regression", "intensities": ("hapy",)}, "names 'hapy', which the corpus does not have"),
        ({"task": "regression", "intensities": ("happy", "happy")}, "names one twice"),
        ({"intensities": ("happy",)}, "set protocol.task=regression"),
    ],
)
def test_bad_protocols_say_what_is_wrong(options, message):
    with pytest.raises(InputError, match=message):
        bind(**options)
