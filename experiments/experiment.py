"""What a config says: data, protocol, model, training, seed. Complete, typed, printable."""

import dataclasses
import hashlib
import importlib
import json
import pkgutil
from typing import Any, Generic, TypeVar

from experiments import configs
from mer_jax.data.batching import Masks
from mer_jax.data.examples import Unit, View
from mer_jax.data.scaling import Scaling
from mer_jax.data.vocabulary import WORDS
from mer_jax.errors import InputError, nearest
from mer_jax.evaluation.protocol import ProtocolConfig
from mer_jax.records import from_json
from mer_jax.robustness.pipeline import RobustnessConfig
from mer_jax.training.config import TrainingConfig

Model = TypeVar("Model")


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """What the system reads.

    Attributes:
        corpus: name of the prepared corpus.
        modalities: its feature streams, in order.
        unit: an example is one utterance (a sequence of frames), or one dialogue (a sequence
            of utterances, each the mean of its frames).
        frames_per_step: a step of a sequence is the mean of so many consecutive frames.
        scaling: by train's means and deviations, by each speaker's own, or not at all.
        outlier_limit: scaled values are clipped to this many standard deviations.
        masks: padding is masked, or (as Keras' Masking(0) has it) every frame of zeros.
        clock: the stream whose steps all others are averaged to (by the times of the words where
            they are known) before anything else; empty: each keeps its own.
        longest: `modality=frames`, where a sequence is cut.
        timed: a modality with one step a word, which is to know when its words are spoken; for
            forced alignment.
        vocabulary: rows of the table of words, the unknown one included; the most frequent words
            of train are known. For the modality `words`.
        vectors: a file of pretrained word vectors to start that table from (GloVe or word2vec
            text, word2vec binary, .npy with a list of words beside it, .npz); empty: none.
    """

    corpus: str
    modalities: tuple[str, ...]
    unit: Unit = "utterance"
    frames_per_step: int = 1
    scaling: Scaling = "train"
    outlier_limit: float = 10.0
    masks: Masks = "true"
    clock: str = ""
    longest: tuple[str, ...] = ()
    timed: str = ""
    vocabulary: int = 4096
    vectors: str = ""

    def __post_init__(self) -> None:
        if not self.modalities:
            raise InputError("data.modalities is empty; name at least one feature stream")
        if self.frames_per_step < 1 or self.outlier_limit <= 0:
            raise InputError(
                f"data.frames_per_step={self.frames_per_step} must be at least 1 and "
                f"data.outlier_limit={self.outlier_limit} above 0"
            )
        if self.vocabulary < 2:
            raise InputError(
                f"data.vocabulary={self.vocabulary} must be at least 2: the unknown word and one more"
            )
        if self.vectors and WORDS not in self.modalities:
            raise InputError(
                f"data.vectors={self.vectors!r} has no use without words; add {WORDS!r} to data.modalities"
            )
        _ = self.view  # what it refuses, it refuses here

    @property
    def view(self) -> View:
        """How the corpus is looked at."""
        return View(self.modalities, self.unit, self.frames_per_step, self.longest, self.timed)


@dataclasses.dataclass(frozen=True)
class Experiment(Generic[Model]):
    """One system on one corpus under one protocol.

    Attributes:
        robustness: corruption of the features, and what is done about bad and missing modalities.
        seed: of initial parameters, order of batches and dropout.
    """

    data: DataConfig
    protocol: ProtocolConfig
    model: Model
    training: TrainingConfig
    robustness: RobustnessConfig = dataclasses.field(default_factory=RobustnessConfig)
    seed: int = 0

    def to_json(self) -> dict[str, Any]:
        """Everything, with `system` naming the model's class."""
        cls = type(self.model)
        system = f"{cls.__module__.removeprefix('mer_jax.models.')}:{cls.__name__}"
        return {"system": system} | dataclasses.asdict(self)

    def fingerprint(self, content_hash: str) -> str:
        """16 hex digits that name this experiment on this data."""
        text = json.dumps([self.to_json(), content_hash], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def config_names() -> list[str]:
    """Every config in experiments/configs."""
    return sorted(module.name for module in pkgutil.iter_modules(configs.__path__))


def get_config(name: str) -> Experiment[Any]:
    """The config called `name`. Raises InputError, with the nearest name, where there is none."""
    if name not in config_names():
        raise InputError(f"config {name!r} is unknown; {nearest(name, config_names())}")
    return importlib.import_module(f"experiments.configs.{name}").get_config()


def experiment_from_json(data: dict[str, Any]) -> Experiment[Any]:
    """The inverse of `Experiment.to_json`. Raises InputError where a field is unknown."""
    module, _, name = data["system"].partition(":")
    module = module if module.startswith("mer_jax.") else f"mer_jax.models.{module}"
    model = getattr(importlib.import_module(module), name)
    return Experiment(
        data=from_json(DataConfig, data["data"]),
        protocol=from_json(ProtocolConfig, data["protocol"]),
        model=from_json(model, data["model"]),
        training=from_json(TrainingConfig, data["training"]),
        robustness=from_json(RobustnessConfig, data.get("robustness", {})),
        seed=data["seed"],
    )
