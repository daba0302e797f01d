"""What is kept of a run's attention over its test utterances: `attention.npz`."""

import dataclasses
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mer_jax.errors import InputError
from mer_jax.evaluation.alignment import entropy, mass_within, width, with_neighbours
from mer_jax.records import write_atomically

MEASURES = ("mass_in_span", "mass_within_one_word", "entropy", "width")
STATES = ("trained", "untrained", "uniform", "uniform_everywhere")
EXAMPLES = 12


@dataclasses.dataclass(frozen=True)
class Example:
    """One utterance's attention, and the sound it goes to.

    spans: [words, 2] seconds.
    frames: how many states there are to attend to.
    weights, positions: [words, keys]; -1 where there is no key.
    trace: [bins, 2] float32, the lowest and highest of each bin of the sound.
    trace_name: what that is, "waveform" or "RMS of the features of ...".
    trace_seconds: how long a bin lasts.
    """

    id: str
    words: tuple[str, ...]
    spans: np.ndarray
    frames: int
    weights: np.ndarray
    positions: np.ndarray
    trace: np.ndarray
    trace_name: str
    trace_seconds: float


@dataclasses.dataclass(frozen=True)
class AttentionRecord:
    """Attention of each test word, and whole examples.

    rate: states of the audio that can be attended to, per second.
    ids: [words] the utterance of each word.
    measures: "<state>/<measure>" -> [words], NaN where a word has nothing to attend to. States:
        the model trained and untrained, uniform attention over the keys that the alignment gives
        the trained one, and over all of the utterance.
    examples: the utterances of `chosen`.
    """

    rate: float
    ids: np.ndarray
    measures: dict[str, np.ndarray]
    examples: tuple[Example, ...]

    @classmethod
    def of(
        cls, trained: Sequence[Example], untrained: Sequence[Example], rate: float, keep: Sequence[str]
    ) -> "AttentionRecord":
        """Measures all utterances (in one order) and keeps those whose id is in `keep`."""
        found: dict[str, list[np.ndarray]] = {}
        for one, before in zip(trained, untrained, strict=True):
            everywhere = np.broadcast_to(np.arange(one.frames), (len(one.words), one.frames))
            there = (one.positions >= 0).astype(np.float64)
            states = (
                (one.weights, one.positions),
                (before.weights, before.positions),
                (there, one.positions),
                (np.ones(everywhere.shape), everywhere),
            )
            for state, (weights, positions) in zip(STATES, states, strict=True):
                for measure, values in zip(MEASURES, _measured(one, weights, positions, rate), strict=True):
                    found.setdefault(f"{state}/{measure}", []).append(values)
        ids = np.repeat([one.id for one in trained], [len(one.words) for one in trained])
        kept = tuple(one for one in trained if one.id in keep)
        return cls(rate, ids, {name: np.concatenate(parts) for name, parts in found.items()}, kept)

    def summary(self) -> dict[str, Any]:
        """Means over words, for metrics.json: the trained model's, and those of the other states."""
        means = {name: float(np.nanmean(values)) for name, values in self.measures.items()}
        table = {state: {m: means[f"{state}/{m}"] for m in MEASURES} for state in STATES}
        there = np.isfinite(self.measures["trained/entropy"])
        counts = {"n": int(there.sum()), "utterances": len(np.unique(self.ids[there]))}
        return table.pop("trained") | counts | table

    def save(self, path: Path) -> None:
        """Writes an .npz atomically, the same bytes for the same record."""
        file = io.BytesIO()
        arrays: dict[str, Any] = {"rate": np.array(self.rate), "ids": self.ids}
        arrays |= self.measures | _padded(self.examples)
        np.savez_compressed(file, **arrays)
        write_atomically(path, file.getvalue())

    @classmethod
    def load(cls, path: Path) -> "AttentionRecord":
        """Reads what `save` wrote. Raises InputError where it is damaged, or an earlier version's."""
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            measures = {f"{state}/{m}": arrays[f"{state}/{m}"] for state in STATES for m in MEASURES}
            return cls(float(arrays["rate"]), arrays["ids"], measures, _cut(arrays))
        except KeyError as error:
            raise InputError(
                f"{path} holds no {error}, an earlier version wrote it; train the run again with --overwrite"
            ) from error
        except Exception as error:
            raise InputError(f"{path} is damaged ({error}); train the run again with --overwrite") from error


def chosen(ids: Sequence[str]) -> list[str]:
    """The ids of the examples that are shown: evenly spaced among all of them in order of id."""
    ordered = sorted(ids)
    places = np.linspace(0, len(ordered) - 1, min(EXAMPLES, len(ordered)))
    return [ordered[place] for place in np.round(places).astype(int)]


def _measured(one: Example, weights: np.ndarray, positions: np.ndarray, rate: float) -> tuple[Any, ...]:
    near = with_neighbours(one.spans)
    inside, around = (mass_within(weights, positions, spans, rate) for spans in (one.spans, near))
    nats = entropy(weights)
    return inside, around, nats, width(nats, rate)


def _padded(examples: Sequence[Example]) -> dict[str, np.ndarray]:
    """Arrays of all examples: zeros, "" and -1 beyond the end of each."""
    words = max((len(e.words) for e in examples), default=0)
    keys = max((e.weights.shape[1] for e in examples), default=0)
    bins = max((len(e.trace) for e in examples), default=0)
    out = {
        "example_ids": np.array([e.id for e in examples], np.str_),
        "example_frames": np.array([e.frames for e in examples], np.int64),
        "example_words": np.array([[*e.words, *[""] * (words - len(e.words))] for e in examples], np.str_),
        "example_lengths": np.array([len(e.words) for e in examples], np.int64),
        "example_spans": np.zeros((len(examples), words, 2)),
        "example_weights": np.zeros((len(examples), words, keys), np.float32),
        "example_positions": np.full((len(examples), words, keys), -1, np.int32),
        "example_trace": np.zeros((len(examples), bins, 2), np.float32),
        "example_trace_bins": np.array([len(e.trace) for e in examples], np.int64),
        "example_trace_name": np.array([e.trace_name for e in examples], np.str_),
        "example_trace_seconds": np.array([e.trace_seconds for e in examples], np.float64),
    }
    for place, e in enumerate(examples):
        rows, columns = e.weights.shape
        out["example_spans"][place, :rows] = e.spans
        out["example_weights"][place, :rows, :columns] = e.weights
        out["example_positions"][place, :rows, :columns] = e.positions
        out["example_trace"][place, : len(e.trace)] = e.trace
    return out


def _cut(arrays: dict[str, np.ndarray]) -> tuple[Example, ...]:
    """The inverse of `_padded`."""
    found = []
    for place, length in enumerate(arrays["example_lengths"].tolist()):
        one = {
            name.removeprefix("example_"): x[place]
            for name, x in arrays.items()
            if name.startswith("example_")
        }
        found.append(
            Example(
                id=str(one["ids"]),
                words=tuple(one["words"][:length].tolist()),
                spans=one["spans"][:length],
                frames=int(one["frames"]),
                weights=one["weights"][:length],
                positions=one["positions"][:length],
                trace=one["trace"][: int(one["trace_bins"])],
                trace_name=str(one["trace_name"]),
                trace_seconds=float(one["trace_seconds"]),
            )
        )
    return tuple(found)
