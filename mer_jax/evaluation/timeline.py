"""What a system says of an utterance as it goes on: `timeline.npz` of a run folder.

The prediction of step t is that of the utterance cut off behind it, so that no later step is known, whatever
the system: a bidirectional one, or one that sees several modalities, included.
"""

import dataclasses
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mer_jax.data.corpus import Corpus
from mer_jax.data.examples import View
from mer_jax.data.prefixes import Prefixes
from mer_jax.data.schema import Utterance
from mer_jax.data.vocabulary import WORDS, tokens
from mer_jax.errors import InputError
from mer_jax.evaluation.protocol import Protocol
from mer_jax.records import write_atomically

CLOCKS = ("words", "frames", "even", "steps")


@dataclasses.dataclass(frozen=True)
class Timeline:
    """Predictions over time; what a task does not have is zero wide.

    ids: [n] str. splits: [n] str. clocks: [n] str, what `times` are: seconds from the utterance's start to the
    end of each step, by the times of its words (`words`), by the frame rate (`frames`), or by its
    length divided evenly (`even`); or numbers of steps (`steps`).
    offsets: [n + 1] int, the steps of utterance i are offsets[i] : offsets[i + 1].
    times: [steps] float64. heard: [steps] str, the word heard last, or "".
    predicted_intensities: [steps, E], probabilities: [steps, K], float32.
    Raises InputError where shapes contradict this.
    """

    ids: np.ndarray
    splits: np.ndarray
    clocks: np.ndarray
    offsets: np.ndarray
    times: np.ndarray
    heard: np.ndarray
    predicted_intensities: np.ndarray
    probabilities: np.ndarray

    def __post_init__(self) -> None:
        steps = int(self.offsets[-1]) if len(self.offsets) else 0
        sizes = {"splits": len(self.ids), "clocks": len(self.ids), "offsets": len(self.ids) + 1}
        sizes |= dict.fromkeys(("times", "heard", "predicted_intensities", "probabilities"), steps)
        for name, size in sizes.items():
            if len(getattr(self, name)) != size:
                raise InputError(
                    f"timeline: {name} has {len(getattr(self, name))} entries, {size} belong there"
                )

    def __len__(self) -> int:
        return len(self.ids)

    def of(self, name: str) -> slice:
        """The steps of one utterance. Raises InputError where it has none."""
        found = np.flatnonzero(self.ids == name)
        if not len(found):
            raise InputError(
                f"timeline: there is no utterance {name!r}; it holds {', '.join(self.ids[:3])} ..."
            )
        return slice(int(self.offsets[found[0]]), int(self.offsets[found[0] + 1]))

    @classmethod
    def make(
        cls,
        corpus: Corpus,
        protocol: Protocol,
        view: View,
        rows: np.ndarray,
        split: str,
        found: Prefixes,
        values: np.ndarray,
    ) -> "Timeline":
        """rows: the utterances in the order of `found`; values: [prefixes, targets] intensities or probabilities."""
        clocks, times, heard = [], [], []
        for place, row in enumerate(rows.tolist()):
            steps = found.steps[found.offsets[place] : found.offsets[place + 1]]
            utterance = corpus.utterances[row]
            clock, seconds = _clock(corpus, utterance, view, steps, int(found.lengths[place]))
            clocks.append(clock)
            times.append(seconds)
            heard += _heard(utterance, view, steps)
        none = np.zeros((len(values), 0), np.float32)
        regression = protocol.config.task == "regression"
        return cls(
            ids=corpus.column("id")[rows].astype(np.str_),
            splits=np.full(len(rows), split),
            clocks=np.array(clocks, np.str_),
            offsets=found.offsets,
            times=np.concatenate([*times, np.zeros(0)]).astype(np.float64),
            heard=np.array(heard, np.str_),
            predicted_intensities=values.astype(np.float32) if regression else none,
            probabilities=none if regression else values.astype(np.float32),
        )

    @staticmethod
    def concatenate(parts: Sequence["Timeline"]) -> "Timeline":
        """Utterances of all `parts` in order."""
        ends = np.cumsum([0] + [int(part.offsets[-1]) for part in parts])
        offsets = [part.offsets[:-1] + end for part, end in zip(parts, ends, strict=False)]
        names = [field.name for field in dataclasses.fields(Timeline) if field.name != "offsets"]
        joined = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
        return Timeline(**joined, offsets=np.concatenate([*offsets, ends[-1:]]))

    def save(self, path: Path) -> None:
        """Writes an .npz atomically, the same bytes for the same timeline."""
        file = io.BytesIO()
        np.savez_compressed(file, **{f.name: getattr(self, f.name) for f in dataclasses.fields(self)})
        write_atomically(path, file.getvalue())

    @classmethod
    def load(cls, path: Path) -> "Timeline":
        """Reads what `save` wrote. Raises InputError where the file is missing or damaged."""
        if not path.exists():
            raise InputError(f"{path} does not exist; run: python -m experiments.timeline {path.parent}")
        try:
            with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as file:
                return cls(**{field.name: file[field.name] for field in dataclasses.fields(cls)})
        except Exception as error:
            raise InputError(
                f"{path} is damaged ({error}); run: python -m experiments.timeline {path.parent}"
            ) from error


def _clock(
    corpus: Corpus, utterance: Utterance, view: View, steps: np.ndarray, length: int
) -> tuple[str, np.ndarray]:
    """What the times are, and when each step ends."""
    modality = _read_first(utterance, view)
    spans = utterance.aligned_spans()
    if view.steps(modality) == 1 and length and len(spans) == _whole(utterance, modality):
        return "words", spans[steps - 1, 1]
    rate = 0.0 if modality == WORDS else view.rate(corpus.spec.modality(modality))
    if rate:
        return "frames", steps / rate
    seconds = utterance.end - utterance.start
    if np.isfinite(seconds) and seconds > 0:
        whole = -(-_whole(utterance, modality) // view.steps(modality))
        return "even", steps * seconds / max(whole, 1)
    return "steps", steps.astype(np.float64)


def _heard(utterance: Utterance, view: View, steps: np.ndarray) -> list[str]:
    if _read_first(utterance, view) != WORDS:
        return [""] * len(steps)
    said = tokens(utterance)
    return [said[step - 1] for step in steps.tolist()]


def _read_first(utterance: Utterance, view: View) -> str:
    """The modality whose steps are the utterance's clock: the first that it has."""
    there = (name for name in view.modalities if _whole(utterance, name))
    return next(there, view.modalities[0])


def _whole(utterance: Utterance, modality: str) -> int:
    return len(tokens(utterance)) if modality == WORDS else len(utterance.features.get(modality, ()))
