"""Pretrained word vectors in a training: where they go, and whether they move."""

import jax
import numpy as np
import pytest

from mer_jax.data.batching import batches
from mer_jax.data.examples import View, make_examples
from mer_jax.data.preprocessing import Preprocessing
from mer_jax.data.vocabulary import WORDS
from mer_jax.errors import InputError
from mer_jax.models.base import Task
from mer_jax.models.unimodal import UnimodalConfig
from mer_jax.nn.front_end import FrontEndConfig
from mer_jax.training.config import TrainingConfig
from mer_jax.training.data_parallel import DataParallel
from mer_jax.training.program import Program
from mer_jax.training.scalars import Member
from mer_jax.training.state import stack
from tests.tiny import spoken_corpus


def test_a_table_of_words_starts_from_the_rows_it_is_given():
    corpus, view = spoken_corpus(), View((WORDS,))
    examples = make_examples(corpus, np.arange(8), view, None)
    fitted = Preprocessing.fit(
        examples, scale=True, outlier_limit=10.0, buckets=1, length_quantile=1.0, vocabulary=9
    )
    rows = np.random.default_rng(0).normal(size=(9, 3)).astype(np.float32)
    (batch,) = batches(fitted(examples), fitted.buckets, 8)
    task = Task({WORDS: 1}, 3, True, "utterance", vocabulary=9)
    for trained in (True, False):
        front = FrontEndConfig(embedding=3, trained=trained)
        model = UnimodalConfig((4,), (4,), 0.0, front=front)
        program = Program(model, task, TrainingConfig(batch_size=8), DataParallel("pmap", jax.devices()[:1]))
        state = program.init([Member(0), Member(1)], batch, rows)
        held = state.params if trained else state.statistics
        np.testing.assert_array_equal(held["front"]["table"], [rows, rows])
        state, _ = program.step(program.parallel.place_state(state), stack([batch, batch]))
        now = program.parallel.one_copy(state)
        moved = np.abs((now.params if trained else now.statistics)["front"]["table"] - rows).max()
        assert (moved > 0) == trained
        with pytest.raises(InputError, match=r"set --model\.front\.embedding 2"):
            program.init([Member(0)], batch, rows[:, :2])
