"""What a trained system attends to, utterance by utterance."""

import math
from collections.abc import Mapping
from typing import Any, runtime_checkable
from typing import Protocol as Interface

import jax
import numpy as np

from mer_jax.data.batching import batches
from mer_jax.data.corpus import Corpus
from mer_jax.data.examples import View, make_examples
from mer_jax.data.preprocessing import Preprocessing
from mer_jax.data.schema import WAVEFORM, Utterance
from mer_jax.data.vocabulary import WORDS, tokens
from mer_jax.evaluation.attention_record import Example
from mer_jax.evaluation.sound_trace import envelope, frames_per_bin, root_mean_square
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

    def attended_rate(self, rate: float) -> float:
        """States of the auxiliary modality per second, where its clock has `rate`."""
        ...


def known_rows(corpus: Corpus, rows: np.ndarray, view: View, attends: tuple[str, str]) -> np.ndarray:
    """Those of `rows` whose words can be found in the audio: the true times of all words are known,
    one state of the attending modality stands for each, and the other one has a clock."""
    if view.unit != "utterance" or view.frames_per_step != 1 or not rate_of(corpus, attends):
        return rows[:0]
    return np.array([row for row in rows if _is_known(corpus.utterances[row], attends)], rows.dtype)


def rate_of(corpus: Corpus, attends: tuple[str, str]) -> float:
    """Frames per second of the modality that is attended to, as the corpus has them; 0 where they
    have no clock. `Examiner.rate` says how many states a system makes of them."""
    return 0.0 if attends[1] == WORDS else corpus.spec.modality(attends[1]).rate or 0.0


def attended_states(frames: int, clock: float, attended: float) -> int:
    """States that `frames` frames give, clock and attended a second; one that is begun counts."""
    return math.ceil(frames * attended / clock - 1e-6)  # rounding must not add one


def _is_known(utterance: Utterance, attends: tuple[str, str]) -> bool:
    spans, words = len(utterance.aligned_spans()), len(utterance.words)
    return utterance.has(attends[1]) and 0 < spans == words == _length(utterance, attends[0])


def _length(utterance: Utterance, modality: str) -> int:
    """Frames of a feature stream, or tokens; 0 where it is missing."""
    return len(tokens(utterance)) if modality == WORDS else len(utterance.features.get(modality, ()))


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

    def rate(self, corpus: Corpus) -> float:
        """Attended states per second."""
        system: Any = self.program.system
        return system.attended_rate(rate_of(corpus, self.attends))

    def examine(
        self, state: TrainState, preprocessing: Preprocessing, corpus: Corpus, rows: np.ndarray, view: View
    ) -> list[Example]:
        """What one training's state (not stacked) attends to in each of `rows`, in their order; no
        target is looked at. A sequence that preprocessing cuts is examined as far as it goes."""
        parallel, buckets = self.program.parallel, preprocessing.buckets
        examples = preprocessing(make_examples(corpus, rows, view, None))
        number = {row: k for k, row in enumerate(rows.tolist())}
        placed = parallel.place_state(stack([state]))
        found: dict[int, Example] = {}
        for batch in batches(examples, buckets.covering(examples), self.program.config.batch_size):
            values, positions = parallel.gather(self._step(placed, parallel.place_batch(batch)))
            longest = {name: x.shape[1] for name, x in batch.features.items()}
            for place, row in enumerate(batch.rows.tolist()):
                if row >= 0:
                    read = {m: x[number[row]][: longest[m]] for m, x in examples.features.items()}
                    found[row] = self._example(corpus, row, read, values[0, place], positions[0, place])
        return [found[row] for row in rows.tolist()]

    def _example(
        self,
        corpus: Corpus,
        row: int,
        read: Mapping[str, np.ndarray],
        weights: np.ndarray,
        positions: np.ndarray,
    ) -> Example:
        """read: each modality's frames, as far as the system has read them."""
        utterance, (main, auxiliary) = corpus.utterances[row], self.attends
        words = len(read[main])
        trace_name, trace_seconds, trace = _trace(corpus, read, auxiliary)
        return Example(
            id=utterance.id,
            words=utterance.words[:words],
            spans=utterance.aligned_spans()[:words],
            frames=attended_states(len(read[auxiliary]), rate_of(corpus, self.attends), self.rate(corpus)),
            weights=weights[:words],
            positions=positions[:words],
            trace=trace,
            trace_name=trace_name,
            trace_seconds=trace_seconds,
        )


def _trace(corpus: Corpus, read: Mapping[str, np.ndarray], auxiliary: str) -> tuple[str, float, np.ndarray]:
    """What is drawn of the sound, the seconds of a bin, and [bins, 2] its lowest and highest."""
    waveform = WAVEFORM in read and len(read[WAVEFORM]) > 0 and bool(corpus.spec.modality(WAVEFORM).rate)
    modality = WAVEFORM if waveform else auxiliary
    frames, clock = read[modality], corpus.spec.modality(modality).rate or 0.0
    seconds = frames_per_bin(len(frames)) / clock
    if waveform:
        return WAVEFORM, seconds, envelope(frames[:, 0])
    return f"RMS of the features of {auxiliary}", seconds, root_mean_square(frames)
