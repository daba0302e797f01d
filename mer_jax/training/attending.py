"""What a trained system attends to, utterance by utterance."""

from typing import Any, runtime_checkable
from typing import Protocol as Interface

import jax
import numpy as np

from mer_jax.data.batching import batches
from mer_jax.data.corpus import Corpus
from mer_jax.data.examples import View, make_examples
from mer_jax.data.preprocessing import Preprocessing
from mer_jax.data.schema import Utterance
from mer_jax.evaluation.alignment import true_spans
from mer_jax.evaluation.attention_record import Example
from mer_jax.training.program import Program
from mer_jax.training.scalars import with_scalars
from mer_jax.training.state import TrainState, stack


@runtime_checkable
class Attending(Interface):
    """A system of which one modality attends to another.

    Its module takes `weights=True` and then gives `attention["weights"]`, the
    `kernels.attention.Weights` of every state of the one over those of the other.
    """

    @property
    def attends(self) -> tuple[str, str]:
        """The modality that attends, and the one it attends to."""
        ...


def known_rows(corpus: Corpus, rows: np.ndarray, view: View, attends: tuple[str, str]) -> np.ndarray:
    """Those of `rows` whose words can be found in the audio: the true times of all words are known,
    one state of the attending modality stands for each, and the other one has a clock."""
    if view.unit != "utterance" or view.frames_per_step != 1 or not rate_of(corpus, attends):
        return rows[:0]
    return np.array([row for row in rows if _is_known(corpus.utterances[row], attends)], rows.dtype)


def rate_of(corpus: Corpus, attends: tuple[str, str]) -> float:
    """Frames per second of the modality that is attended to; 0 where they have no clock."""
    return corpus.spec.modality(attends[1]).rate or 0.0


def _is_known(utterance: Utterance, attends: tuple[str, str]) -> bool:
    words, there = len(true_spans(utterance)), all(utterance.has(m) for m in attends)
    return there and words == len(utterance.words) == len(utterance.features[attends[0]])


class Examiner:
    """Attention weights by a program's system; each padded shape is compiled once."""

    def __init__(self, program: Program, attends: tuple[str, str]):
        self.program, self.attends = program, attends
        system, task = program.system, program.task

        def examine(state: TrainState, batch: Any) -> Any:
            module = with_scalars(system, "model", state.scalars).build(task)
            outputs: Any = module.apply(state.variables, batch, False, weights=True)
            return tuple(outputs.attention["weights"])

        self._step = program.parallel.predict(jax.vmap(examine, in_axes=(0, None)))

    def examine(
        self, state: TrainState, preprocessing: Preprocessing, corpus: Corpus, rows: np.ndarray, view: View
    ) -> list[Example]:
        """What one training's state (not stacked) attends to in each of `rows`, in their order; no
        target is looked at. A sequence that preprocessing cuts is examined as far as it goes."""
        parallel, buckets = self.program.parallel, preprocessing.buckets
        examples = preprocessing.scaler(make_examples(corpus, rows, view, None))
        placed = parallel.place_state(stack([state]))
        found: dict[int, Example] = {}
        for batch in batches(examples, buckets.covering(examples), self.program.config.batch_size):
            values, positions = parallel.gather(self._step(placed, parallel.place_batch(batch)))
            for place, row in enumerate(batch.rows.tolist()):
                if row >= 0:
                    m, n = (batch.features[name].shape[1] for name in self.attends)
                    one = (values[0, place, :m], positions[0, place, :m])
                    found[row] = self._example(corpus.utterances[row], *one, n)
        return [found[row] for row in rows.tolist()]

    def _example(
        self, utterance: Utterance, weights: np.ndarray, positions: np.ndarray, longest: int
    ) -> Example:
        words = utterance.words[: len(weights)]
        frames = min(len(utterance.features[self.attends[1]]), longest)
        spans = true_spans(utterance)[: len(words)]
        return Example(utterance.id, words, spans, frames, weights[: len(words)], positions[: len(words)])
