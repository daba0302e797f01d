"""What is fitted on train before any network, and what it makes of other examples."""

import dataclasses
import json

import numpy as np
import pytest

from mer_jax.data.examples import View, make_examples
from mer_jax.data.preprocessing import Preprocessing
from tests.tiny import tiny_corpus

FITTED = {"scale": True, "outlier_limit": 10.0, "buckets": 1, "length_quantile": 1.0}


def without_text(corpus, rows):
    """The corpus where these utterances have audio alone."""
    utterances = tuple(
        dataclasses.replace(u, features={"audio": u.features["audio"]}) if row in rows else u
        for row, u in enumerate(corpus.utterances)
    )
    return dataclasses.replace(corpus, utterances=utterances)


@pytest.mark.parametrize("unit", ["utterance", "dialogue"])
@pytest.mark.parametrize("saved", [False, True])
def test_what_train_never_had_is_read_nowhere(unit, saved):
    """In a dialogue a missing mean is 0, in an utterance there is no frame."""
    corpus = without_text(tiny_corpus(missing=0.0), set(range(48)))
    view = View(("text", "audio"), unit)
    fitted = Preprocessing.fit(make_examples(corpus, np.arange(48), view, None), **FITTED)
    assert fitted.unseen == ("text",)
    if saved:
        fitted = Preprocessing.from_json(json.loads(json.dumps(fitted.to_json())))
    later = fitted(make_examples(corpus, np.arange(48, 96), view, None))
    assert not any(x.any() for x in later.features["text"])
    if unit == "utterance":
        assert not later.lengths("text").any()
    assert all(x.any() for x in later.features["audio"])


@pytest.mark.parametrize("unit", ["utterance", "dialogue"])
def test_what_one_example_of_train_has_is_read(unit):
    corpus = without_text(tiny_corpus(missing=0.0), set(range(47)))
    view = View(("text", "audio"), unit)
    fitted = Preprocessing.fit(make_examples(corpus, np.arange(48), view, None), **FITTED)
    assert fitted.unseen == ()
    later = fitted(make_examples(corpus, np.arange(48, 96), view, None))
    assert any(x.any() for x in later.features["text"])
