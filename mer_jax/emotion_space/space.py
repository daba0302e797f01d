"""The emotion space of a corpus: a fitted map with its emotions, states and quality, as one folder."""

import dataclasses
import json
import time
from pathlib import Path
from typing import Any, Literal

import numpy as np

from mer_jax.data.corpus import Corpus
from mer_jax.emotion_space import quality
from mer_jax.emotion_space.corpus_states import CorpusStates
from mer_jax.emotion_space.distinct_rows import distinct_rows, unlike
from mer_jax.emotion_space.mapping import Map
from mer_jax.emotion_space.parametric_tsne import ParametricTSNE
from mer_jax.errors import InputError
from mer_jax.records import write_atomically
from mer_jax.robustness.arrays_file import read_arrays, write_arrays

VERSION = 2
STATES = "emotion states, 1"
KL_PERPLEXITY = 30.0  # at which all maps' divergence is told, however they were fitted
NEAR = 0.05  # standard deviation of the noise of states between the observed ones, as a share of the highest


@dataclasses.dataclass(frozen=True)
class SpaceConfig:
    """How a space is fitted; see `ParametricTSNE`.

    Attributes:
        perplexity: effective number of neighbours of a state.
        hidden: width of each hidden layer; many narrow ones bear more noise than few wide ones.
        steps: of the descent.
        learning_rate: the first one.
        noise: of the states of each step, as a share of the highest intensity, which makes the map smooth between them.
        noise_in_affinities: how far the affinities go with it.
        duplicates: what copies of a state are.
        early_stopping: keep what is best on held-out states.
        seed: of the start, the draws and the noise.
    """

    perplexity: float = 30.0
    hidden: tuple[int, ...] = (48,) * 10
    steps: int = 540
    learning_rate: float = 1.4e-2
    noise: float = 0.162
    noise_in_affinities: float = 0.45
    duplicates: Literal["merge", "weight", "jitter", "keep"] = "merge"
    early_stopping: bool = False
    seed: int = 0

    def model(self, top: float, verbose: int = 0) -> ParametricTSNE:
        """The estimator, not fitted. top: the highest intensity of the states."""
        return ParametricTSNE(
            perplexity=self.perplexity,
            hidden=self.hidden,
            max_iter=self.steps,
            learning_rate=self.learning_rate,
            noise=self.noise * top,
            noise_in_affinities=self.noise_in_affinities,
            duplicates=self.duplicates,
            early_stopping=self.early_stopping,
            random_state=self.seed,
            verbose=verbose,
        )


@dataclasses.dataclass(frozen=True)
class EmotionSpace:
    """A fitted space.

    config: how it was fitted. model: the fitted map. emotions, top: of its states. states, counts:
    distinct states of the train split. made_of: corpus' name, hash, whether
    it is generated, and what was held out.
    quality: see `measure`.
    """

    config: SpaceConfig
    model: ParametricTSNE
    emotions: tuple[str, ...]
    top: float
    states: np.ndarray
    counts: np.ndarray
    made_of: dict[str, Any]
    quality: dict[str, Any]

    @classmethod
    def fit(
        cls, config: SpaceConfig, states: CorpusStates, corpus: Corpus, verbose: int = 0
    ) -> "EmotionSpace":
        """Fits to the states of train, and measures on those it has not seen.

        Raises InputError where the states are too few or too alike.
        """
        if len(states.train) < 3:
            raise InputError(
                f"corpus {corpus.spec.name!r} has {len(states.train)} states in train; a space needs more"
            )
        before = time.process_time()
        model = config.model(states.top, verbose).fit(states.train)
        seconds = time.process_time() - before
        distinct = distinct_rows(states.train)
        made_of = {
            "corpus": corpus.spec.name,
            "hash": corpus.content_hash,
            "generated": corpus.spec.generated,
            "held_out": states.rule,
        }
        found = {"fit_cpu_seconds": seconds} | measure(model, states)
        return cls(config, model, states.emotions, states.top, distinct.rows, distinct.counts, made_of, found)

    def map(self, rows: str = "utterances") -> Map:
        """The space as it is drawn."""
        return Map(self.emotions, self.model.transform, self.states, self.counts, self.top, rows)

    def save(self, folder: Path) -> None:
        """Writes `map.npz`, `states.npz` and, as the last, `space.json`."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "space.json").unlink(missing_ok=True)
        self.model.save(folder / "map.npz")
        write_arrays(folder / "states.npz", STATES, {"states": self.states, "counts": self.counts})
        record = {
            "version": VERSION,
            "config": dataclasses.asdict(self.config),
            "emotions": self.emotions,
            "top": self.top,
            "made_of": self.made_of,
            "quality": self.quality,
        }
        write_atomically(folder / "space.json", (json.dumps(record, indent=1) + "\n").encode())

    @classmethod
    def load(cls, folder: Path) -> "EmotionSpace":
        """What `save` wrote. Raises InputError where it is not whole or of another version."""
        path = folder / "space.json"
        if not path.exists():
            raise InputError(f"{folder} holds no emotion space (it has no space.json); fit one")
        try:
            record = json.loads(path.read_text())
            if record["version"] != VERSION:
                raise InputError(f"{folder} was written by another version; fit the space again")
            config = record["config"] | {"hidden": tuple(record["config"]["hidden"])}
            arrays = read_arrays(folder / "states.npz", STATES)
            return cls(
                SpaceConfig(**config),
                ParametricTSNE.load(folder / "map.npz"),
                tuple(record["emotions"]),
                record["top"],
                arrays["states"],
                arrays["counts"],
                record["made_of"],
                record["quality"],
            )
        except (KeyError, TypeError, json.JSONDecodeError) as error:
            raise InputError(f"{path} is damaged ({error}); fit the space again") from error


def measure(model: Any, states: CorpusStates) -> dict[str, Any]:
    """How faithful a map of states is, by anything with `transform`.

    kl: KL(P || Q) of the distinct states of train at perplexity 30. observed: distinct states of train. held_out: distinct states of the rest that train lacks.
    continuous: observed states with Gaussian noise of .05 of the highest intensity, clipped to its range.
    path: longest step of straight paths of 60 frames between observed states, as a share of the map's
    radius: the median over 10,000 paths, and the longest of all. None where rows are too few to say.
    """
    observed, new = distinct_rows(states.train).rows, unlike(states.held_out, states.train)
    near = quality.between(observed, noise=NEAR * states.top, low=0.0, high=states.top)
    steps = quality.longest_steps(model.transform, observed)
    return {
        "kl": quality.divergence(
            observed, model.transform(observed), min(KL_PERPLEXITY, (len(observed) - 1) / 3)
        ),
        "distinct": len(observed),
        "observed": _neighborhoods(model, observed),
        "held_out": _neighborhoods(model, new),
        "continuous": _neighborhoods(model, near),
        "path": {"longest_step": float(np.median(steps)), "longest_of_all": float(steps.max())},
    }


def _neighborhoods(model: Any, rows: np.ndarray) -> dict[str, Any]:
    if len(rows) < 2 * quality.NEIGHBORS + 2:
        return {"rows": len(rows), "trustworthiness": None, "continuity": None}
    places = model.transform(rows)
    return {
        "rows": len(rows),
        "trustworthiness": quality.trustworthiness(rows, places),
        "continuity": quality.continuity(rows, places),
    }
