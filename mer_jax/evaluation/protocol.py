"""The protocol a score belongs to: data, split, labels, metrics and what selected the model.

A `Protocol` is frozen and hashable; its hash stands in every `metrics.json`, and two
scores are comparable only where it is equal.
"""

import dataclasses
import hashlib
import json
from typing import Any, Literal

import numpy as np

from mer_jax.data.corpus import Corpus
from mer_jax.data.splits import Fold, SplitRule, make_folds
from mer_jax.errors import InputError, nearest

Task = Literal["classification", "regression"]
Group = Literal["dialogue", "speaker", "id"]
SELECTION = {
    "loss": "min",
    "accuracy": "max",
    "balanced_accuracy": "max",
    "macro_f1": "max",
    "weighted_f1": "max",
    "mae": "min",
    "ccc": "max",
}


@dataclasses.dataclass(frozen=True)
class ProtocolConfig:
    """What a config says about its protocol.

    Attributes:
        split: which rule divides the corpus.
        fractions: shares of train, dev and test where the rule makes them.
        split_seed: which random division.
        label_map: pairs `source=target`; empty keeps every class; `source=` drops a class.
        task: `classification` of the class label or `regression` of the intensities.
        intensities: those that are targets of a regression, in this order; empty: all the corpus has.
        select: the dev metric whose best epoch is kept.
        resample_by: the unit that intervals and tests resample.
    """

    split: SplitRule = "official"
    fractions: tuple[float, float, float] = (0.7, 0.1, 0.2)
    split_seed: int = 0
    label_map: tuple[str, ...] = ()
    task: Task = "classification"
    intensities: tuple[str, ...] = ()
    select: str = "loss"
    resample_by: Group = "dialogue"

    def __post_init__(self) -> None:
        if self.select not in SELECTION:
            raise InputError(
                f"protocol.select={self.select!r} is no metric; {nearest(self.select, SELECTION)}"
            )
        if min(self.fractions) < 0 or abs(sum(self.fractions) - 1) > 1e-6:
            raise InputError(f"protocol.fractions={self.fractions} must be shares >= 0 that sum to 1")
        if self.intensities and self.task != "regression":
            raise InputError(
                f"protocol.intensities={list(self.intensities)} are targets of a regression; set protocol.task=regression"
            )
        if len(set(self.intensities)) < len(self.intensities):
            raise InputError(f"protocol.intensities={list(self.intensities)} names one twice; name each once")


@dataclasses.dataclass(frozen=True)
class Protocol:
    """A `ProtocolConfig` bound to one corpus. `targets` are the class or intensity names."""

    corpus: str
    content_hash: str
    generated: bool
    config: ProtocolConfig
    targets: tuple[str, ...]

    @classmethod
    def bind(cls, config: ProtocolConfig, corpus: Corpus) -> "Protocol":
        """Raises InputError for a label map or task the corpus can't serve."""
        spec = corpus.spec
        if config.task == "regression":
            targets = _chosen(config.intensities, spec.intensities)
        else:
            mapping = _label_map(config.label_map, spec.classes)
            targets = tuple(dict.fromkeys(mapping[name] for name in spec.classes if mapping[name]))
        if not targets or (config.task == "classification" and len(targets) < 2):
            kind = "intensities" if config.task == "regression" else "class labels (at least two)"
            raise InputError(
                f"corpus {spec.name!r} has no {kind} for task {config.task!r}; its classes are "
                f"{list(spec.classes)}, its intensities {list(spec.intensities)}"
            )
        return cls(spec.name, corpus.content_hash, spec.generated, config, targets)

    @property
    def hash(self) -> str:
        """16 hex digits that name this protocol."""
        text = json.dumps(self.to_json(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def to_json(self) -> dict[str, Any]:
        """Every field; `intensities` only where some are chosen, so that hashes made before it stay."""
        out = dataclasses.asdict(self)
        if not self.config.intensities:
            del out["config"]["intensities"]
        return out

    def labels(self, corpus: Corpus) -> np.ndarray:
        """[n] target number of every utterance, -1 where it has none. Raises InputError
        for a label outside the map."""
        mapping = _label_map(self.config.label_map, corpus.spec.classes)
        number = {name: k for k, name in enumerate(self.targets)} | {"": -1}
        out = np.full(len(corpus), -1)
        for row, utterance in enumerate(corpus.utterances):
            if utterance.label and utterance.label not in mapping:
                raise InputError(
                    f"utterance {utterance.id!r} has label {utterance.label!r}, which is outside the "
                    f"classes {list(corpus.spec.classes)}; correct the corpus"
                )
            out[row] = number[mapping.get(utterance.label, "")]
        return out

    def intensities(self, corpus: Corpus) -> np.ndarray:
        """[n, len(targets)] intensities, NaN where there are none."""
        none = np.full(len(corpus.spec.intensities), np.nan, np.float32)
        every = np.stack([none if u.intensities is None else u.intensities for u in corpus.utterances])
        return every[:, [corpus.spec.intensities.index(name) for name in self.targets]]

    def folds(self, corpus: Corpus) -> tuple[Fold, ...]:
        """The folds over all utterances that carry a target."""
        if self.config.task == "regression":
            admitted = np.isfinite(self.intensities(corpus)).all(axis=1)
        else:
            admitted = self.labels(corpus) >= 0
        c = self.config
        return make_folds(
            corpus, c.split, rows=np.flatnonzero(admitted), fractions=c.fractions, seed=c.split_seed
        )


def _chosen(names: tuple[str, ...], known: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        if name not in known:
            raise InputError(
                f"protocol.intensities names {name!r}, which the corpus does not have; {nearest(name, known)}"
            )
    return names or known


def _label_map(pairs: tuple[str, ...], classes: tuple[str, ...]) -> dict[str, str]:
    mapping = {name: name for name in classes}
    for pair in pairs:
        source, equals, target = pair.partition("=")
        if not equals or source not in mapping:
            raise InputError(
                f"protocol.label_map entry {pair!r} must read source=target with a class of the "
                f"corpus as source; {nearest(source, classes)}"
            )
        mapping[source] = target
    return mapping
