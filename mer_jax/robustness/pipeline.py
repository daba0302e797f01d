"""What happens to features before any system sees them: corruption on purpose, check, proxies.

Works on corpora, so that every system, floor and audit reads the same features.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool

from mer_jax.data.corpus import Corpus
from mer_jax.data.examples import ExampleSet, View, make_examples
from mer_jax.data.schema import SPLITS
from mer_jax.data.splits import Fold
from mer_jax.errors import InputError, nearest
from mer_jax.robustness.corruption import Corruption, corrupt
from mer_jax.robustness.modality_check import CheckConfig, ModalityCheck
from mer_jax.robustness.proxy import Proxies, ProxyConfig
from mer_jax.robustness.regeneration import ineffective, regenerate, without
from mer_jax.robustness.vectors import TrainingExamples, availability

CHECK, PROXIES = "modality_check.npz", "proxies.npz"


@dataclasses.dataclass(frozen=True)
class RobustnessConfig:
    """Ineffectual modalities: how they come about, and what is done about them.

    Attributes:
        corruption: what befalls the corpus' features; of no sample by default.
        splits: where it does; in dev and test it is part of the protocol.
        augmentation: of train: a copy of each utterance it befalls is learned as well.
        corruption_seed: of the draws of both.
        repair: nothing; what a modality check rejects counts as missing (check); or is, like what is
            missing, regenerated from the modalities that are left (proxies). For any system.
        check: how a modality is judged.
        proxies: how it is regenerated.
    """

    corruption: Corruption = dataclasses.field(default_factory=lambda: Corruption(share=0.0))
    splits: tuple[str, ...] = SPLITS
    augmentation: Corruption = dataclasses.field(default_factory=lambda: Corruption("drop", share=0.0))
    corruption_seed: int = 0
    repair: Literal["none", "check", "proxies"] = "none"
    check: CheckConfig = dataclasses.field(default_factory=CheckConfig)
    proxies: ProxyConfig = dataclasses.field(default_factory=ProxyConfig)

    def __post_init__(self) -> None:
        for split in self.splits:
            if split not in SPLITS:
                raise InputError(f"robustness.splits: {split!r} is no split; {nearest(split, SPLITS)}")

    @property
    def corrupts(self) -> bool:
        return self.corruption.share > 0 and bool(self.splits)

    @property
    def corrupts_scores(self) -> bool:
        """Whether what is scored differs from the corpus."""
        return self.corrupts and bool({"dev", "test"} & set(self.splits))

    def rows(self, fold: Fold) -> np.ndarray:
        """Utterances of a fold that may be corrupted."""
        return np.concatenate([getattr(fold, split) for split in self.splits])


@dataclasses.dataclass(frozen=True)
class Touched:
    """A corpus after something was done to it, and where: [rows, modalities]."""

    corpus: Corpus
    rows: np.ndarray
    where: Bool[np.ndarray, "rows modalities"]


def corrupted(
    corpus: Corpus, rows: np.ndarray, modalities: Sequence[str], corruption: Corruption, seed: int
) -> Touched:
    """The corpus with `corruption` of the utterances `rows`; see `corrupt`."""
    examples = make_examples(corpus, rows, View(tuple(modalities)), None)
    found = corrupt(examples, [corpus.utterances[row].id for row in rows.tolist()], corruption, seed)
    return Touched(_with_features(corpus, rows, found.examples.features), rows, found.where)


def augmented(examples: ExampleSet, ids: Sequence[str], corruption: Corruption, seed: int) -> ExampleSet:
    """The examples, and behind them a copy of each that `corruption` befalls."""
    if corruption.share == 0:
        return examples
    found = corrupt(examples, ids, corruption, seed)
    hit = np.flatnonzero(found.where.any(axis=1)).tolist()

    def more(values: Any, copies: Any) -> Any:
        return None if values is None else [*values, *(copies[k] for k in hit)]

    return dataclasses.replace(
        examples,
        features={m: more(x, found.examples.features[m]) for m, x in examples.features.items()},
        rows=more(examples.rows, examples.rows),
        targets=more(examples.targets, examples.targets),
        soft_targets=more(examples.soft_targets, examples.soft_targets),
        spans=more(examples.spans, examples.spans),
    )


@dataclasses.dataclass(frozen=True)
class Repair:
    """A modality check, and proxies where they are to serve, fitted on one fold's train.

    modalities: that are judged and regenerated.
    """

    modalities: tuple[str, ...]
    check: ModalityCheck
    proxies: Proxies | None

    @classmethod
    def fit(cls, corpus: Corpus, fold: Fold, modalities: Sequence[str], config: RobustnessConfig) -> "Repair":
        """Fits on the fold's train utterances: the proxies on those modalities the check lets pass."""
        names = tuple(modalities)
        train = TrainingExamples(make_examples(corpus, fold.train, View(names), None), fold)
        check = ModalityCheck.fit(train, config.check, _groups(corpus, fold.train))
        if config.repair == "check":
            return cls(names, check, None)
        rejected, _ = ineffective(check, train.examples)
        return cls(names, check, Proxies.fit(train, config.proxies, effective=~rejected))

    @property
    def rows(self) -> dict[str, np.ndarray]:
        """What was fitted -> the utterances it was fitted on, for the leakage audit."""
        fitted = {"modality check": np.asarray(self.check.rows)}
        return fitted if self.proxies is None else fitted | {"proxies": self.proxies.rows}

    def __call__(self, corpus: Corpus, rows: np.ndarray | None = None) -> Touched:
        """The corpus with what the check rejects in the utterances `rows` (None: all) removed or
        regenerated; `where` has the check's verdicts."""
        rows = np.arange(len(corpus)) if rows is None else rows
        examples = make_examples(corpus, rows, View(self.modalities), None)
        rejected, _ = ineffective(self.check, examples)
        if self.proxies is None:
            repaired = without(examples, rejected & ~_only(examples, rejected))
        else:
            repaired, _ = regenerate(self.proxies, examples, rejected)
        return Touched(_with_features(corpus, rows, repaired.features), rows, rejected)

    def save(self, folder: Path) -> None:
        """Writes the check and the proxies into `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        self.check.save(folder / CHECK)
        if self.proxies is not None:
            self.proxies.save(folder / PROXIES)

    @classmethod
    def load(cls, folder: Path) -> "Repair":
        """Reads what `save` wrote. Raises InputError where a file is missing or damaged."""
        check = ModalityCheck.load(folder / CHECK)
        proxies = Proxies.load(folder / PROXIES) if (folder / PROXIES).exists() else None
        return cls(check.modalities, check, proxies)


def without_modalities(corpus: Corpus, names: Sequence[str], rows: np.ndarray | None = None) -> Corpus:
    """The corpus as if the modalities `names` were missing in the utterances `rows` (None: all)."""
    chosen = set(range(len(corpus)) if rows is None else rows.tolist())
    utterances = tuple(
        dataclasses.replace(u, features={m: x for m, x in u.features.items() if m not in names})
        if row in chosen
        else u
        for row, u in enumerate(corpus.utterances)
    )
    return dataclasses.replace(corpus, utterances=utterances)


def _groups(corpus: Corpus, rows: np.ndarray) -> np.ndarray:
    """Speakers, or dialogues where one speaker speaks throughout, or is not known."""
    speakers = corpus.column("speaker")[rows]
    return speakers if len(set(speakers.tolist())) > 1 else corpus.column("dialogue")[rows]


def _only(examples: ExampleSet, rejected: np.ndarray) -> np.ndarray:
    """[samples, modalities] true in samples of which everything there is was rejected: then it is kept."""
    there = availability(examples)
    return np.broadcast_to((there <= rejected).all(axis=1, keepdims=True), rejected.shape)


def _with_features(corpus: Corpus, rows: np.ndarray, features: Mapping[str, Sequence[np.ndarray]]) -> Corpus:
    utterances = list(corpus.utterances)
    for place, row in enumerate(rows.tolist()):
        new = {name: sequences[place] for name, sequences in features.items()}
        kept = {name: x for name, x in (dict(utterances[row].features) | new).items() if len(x)}
        utterances[row] = dataclasses.replace(utterances[row], features=kept)
    return dataclasses.replace(corpus, utterances=tuple(utterances))
