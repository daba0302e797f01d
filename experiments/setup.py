"""From a config to what is trained on: corpus, protocol, folds, examples, system.

Shared by the scripts that train or predict, so that all of them see the same data.
"""

import dataclasses
import functools
import hashlib
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments.experiment import DataConfig, Experiment
from mer_jax.data.builders import CORPORA, corpus_builder
from mer_jax.data.clock import to_clock
from mer_jax.data.corpus import Corpus, load, prepare
from mer_jax.data.doctor import examine, require_sound
from mer_jax.data.examples import make_examples
from mer_jax.data.preprocessing import Preprocessing, balanced_weights
from mer_jax.data.scaling import scale_by_speaker
from mer_jax.data.splits import Fold
from mer_jax.data.vocabulary import WORDS, Coverage, Vocabulary, tokens
from mer_jax.errors import InputError
from mer_jax.evaluation.findings import Finding
from mer_jax.evaluation.leakage import Fitted, audit
from mer_jax.evaluation.protocol import Protocol
from mer_jax.evaluation.votes import soft_labels, unvoted
from mer_jax.features.word_vectors import WordVectors, read_word_vectors, table
from mer_jax.models.base import Task
from mer_jax.robustness.pipeline import Repair, RobustnessConfig, augmented, corrupted
from mer_jax.training.data_parallel import DataParallel
from mer_jax.training.loop import FoldData
from mer_jax.training.program import Program

WARNING = "WARNING: "  # how a builder's note of what it had to leave out begins


@dataclasses.dataclass(frozen=True)
class FoldPlan:
    """One fold and what was fitted on its train part. `data` holds no test.

    given: the corpus of the protocol, corrupted where it says so. corpus: what the system reads,
        repaired. where they are the setup's corpus, nothing was done.
    repair: what did that, if anything.
    """

    fold: Fold
    data: FoldData
    preprocessing: Preprocessing
    given: Corpus
    corpus: Corpus
    repair: Repair | None


@dataclasses.dataclass(frozen=True)
class Setup:
    """An experiment bound to its corpus."""

    experiment: Experiment[Any]
    corpus: Corpus
    protocol: Protocol
    plans: tuple[FoldPlan, ...]

    @property
    def folds(self) -> tuple[Fold, ...]:
        return tuple(plan.fold for plan in self.plans)

    def audit(self) -> tuple[Finding, ...]:
        """The leakage audit of this setup's folds and of what was fitted for them."""
        data = self.experiment.data
        statistics = (
            "feature scaling",
            "sequence lengths",
            *(["vocabulary"] if WORDS in data.modalities else []),
        )
        fitted = [
            Fitted(name, plan.preprocessing.rows, number)
            for number, plan in enumerate(self.plans)
            for name in statistics
        ]
        fitted += [
            Fitted(name, rows, number)
            for number, plan in enumerate(self.plans)
            if plan.repair is not None
            for name, rows in plan.repair.rows.items()
        ]
        found = audit(self.corpus, self.folds, self.protocol, fitted, data.view.streams, strict=False)
        own = (
            self._untrained,
            self._dropped,
            self._corrupted,
            self._scaled_by_speaker,
            self._unvoted,
            self._unknown_words,
            self._untimed,
        )
        return (*(finding for check in own for finding in check()), *found)

    def _untrained(self) -> Iterator[Finding]:
        for modality in self.experiment.data.view.streams:
            there = np.array([utterance.has(modality) for utterance in self.corpus.utterances])
            if any(there[fold.test].any() and not there[fold.train].any() for fold in self.folds):
                message = (
                    f"{modality} is missing in all of train but not in test, where it is not read either"
                )
                yield Finding(f"untrained_modality/{modality}", "warning", message)

    def _dropped(self) -> Iterator[Finding]:
        """What the corpus' builder left out of the features and warns of."""
        for number, note in enumerate(self.corpus.spec.notes):
            if note.startswith(WARNING):
                yield Finding(f"corpus_note/{number}", "warning", note.removeprefix(WARNING))

    def _corrupted(self) -> Iterator[Finding]:
        robustness = self.experiment.robustness
        if robustness.corrupts:
            corruption = robustness.corruption
            message = (
                f"features are corrupted on purpose: {corruption.kind} of a share of {corruption.share:g} of the "
                f"utterances of {', '.join(robustness.splits)}"
            )
            yield Finding("corruption", "note", message, dataclasses.asdict(corruption))

    def _scaled_by_speaker(self) -> Iterator[Finding]:
        if self.experiment.data.scaling == "speaker":
            message = (
                "every speaker is standardised by their own utterances, those of dev and test included "
                "(inputs, never labels): compare with other results of this protocol only"
            )
            yield Finding("speaker_scaling", "warning", message)

    def _unvoted(self) -> Iterator[Finding]:
        if self.experiment.training.labels == "votes":
            rows = np.unique(np.concatenate([fold.train for fold in self.folds]))
            without = int(unvoted(self.corpus, self.protocol)[rows].sum())
            if without:
                message = f"{without} of {len(rows)} train utterances have no votes: their label is learned"
                yield Finding("votes", "note", message)

    def _unknown_words(self) -> Iterator[Finding]:
        for plan in self.plans[:1]:
            if plan.preprocessing.vocabulary is not None:
                spoken = [tokens(self.corpus.utterances[row]) for row in plan.fold.test]
                coverage = plan.preprocessing.vocabulary.coverage(spoken)
                shares = {"tokens": coverage.share_of_tokens, "types": coverage.share_of_types}
                sentence = coverage.sentence("the vocabulary of train")
                yield Finding("unknown_words", "note", f"test of fold {plan.fold.name}: {sentence}", shares)

    def _untimed(self) -> Iterator[Finding]:
        if self.experiment.data.timed:
            without = sum(len(u.aligned_spans()) == 0 for u in self.corpus.utterances)
            message = f"{without} of {len(self.corpus)} utterances have no word times: their words attend to nothing"
            yield Finding("word_times", "note" if without else "ok", message, {"without": without})

    def program(self) -> Program:
        """The system and its compiled steps."""
        return make_program(self.experiment, self.protocol, self.corpus)


def set_up(experiment: Experiment[Any], prepared: Path, data_dir: Path | None) -> Setup:
    """Opens the corpus, binds the protocol, divides and scales. Raises InputError."""
    corpus = open_corpus(experiment.data, prepared, data_dir)
    protocol = Protocol.bind(experiment.protocol, scored(corpus, experiment.robustness))
    plans = tuple(_plan(experiment, protocol, corpus, fold) for fold in protocol.folds(corpus))
    return Setup(experiment, corpus, protocol, plans)


def scored(corpus: Corpus, robustness: RobustnessConfig) -> Corpus:
    """The corpus under the hash of the data that are scored: of its own where they are corrupted."""
    if not robustness.corrupts_scores:
        return corpus
    splits = [split for split in robustness.splits if split != "train"]
    said = [
        corpus.content_hash,
        dataclasses.asdict(robustness.corruption),
        splits,
        robustness.corruption_seed,
    ]
    content = hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()
    return dataclasses.replace(corpus, content_hash=content)


def make_program(experiment: Experiment[Any], protocol: Protocol, corpus: Corpus) -> Program:
    """The experiment's system for the features of `corpus` and the targets of `protocol`."""
    data, streams = experiment.data, [corpus.spec.modality(m) for m in experiment.data.view.streams]
    dims = {m.name: m.dim for m in streams} | ({WORDS: 1} if WORDS in data.modalities else {})
    task = Task(
        {m: dims[m] for m in data.modalities},
        len(protocol.targets),
        protocol.config.task == "classification",
        data.unit,
        {m.name: data.view.rate(m) for m in streams if m.rate},
        data.vocabulary if WORDS in data.modalities else 0,
        data.timed,
    )
    experiment.model.build(task)  # what a system refuses, it refuses here
    training = experiment.training
    return Program(experiment.model, task, training, DataParallel(training.parallel))


def open_corpus(config: DataConfig, prepared: Path, data_dir: Path | None) -> Corpus:
    """The config's corpus with its modalities, on its clock and scaled as it says."""
    corpus = load_or_prepare(config.corpus, prepared, data_dir, config.view.streams)
    corpus = to_clock(corpus, config.clock, config.view.streams) if config.clock else corpus
    return scale_by_speaker(corpus, config.view.streams) if config.scaling == "speaker" else corpus


def load_or_prepare(
    name: str, prepared: Path, data_dir: Path | None, modalities: Sequence[str] | None = None
) -> Corpus:
    """A corpus with some of its modalities (None: all); prepared first where it is not yet and its
    source is at hand."""
    if not (prepared / name).exists() and name in CORPORA and name != "folder":
        folder = corpus_builder(name).folder
        if not folder or data_dir is not None:
            source = data_dir / folder if data_dir is not None and folder else None
            print(f"preparing {name} below {prepared} ...", file=sys.stderr)
            prepare(name, source, prepared, check=lambda corpus: require_sound(examine(corpus)))
    return load(name, prepared, modalities)


def _given(experiment: Experiment[Any], corpus: Corpus, fold: Fold) -> Corpus:
    """What the protocol gives in this fold: corrupted where it says so."""
    robustness = experiment.robustness
    if not robustness.corrupts:
        return corpus
    streams, rows = experiment.data.view.streams, robustness.rows(fold)
    return corrupted(corpus, rows, streams, robustness.corruption, robustness.corruption_seed).corpus


def _repair(experiment: Experiment[Any], corpus: Corpus, fold: Fold) -> Repair | None:
    if experiment.robustness.repair == "none":
        return None
    streams = experiment.data.view.streams
    judged = [name for name in streams if any(corpus.utterances[row].has(name) for row in fold.train)]
    return Repair.fit(corpus, fold, judged, experiment.robustness)


def _plan(experiment: Experiment[Any], protocol: Protocol, corpus: Corpus, fold: Fold) -> FoldPlan:
    given = _given(experiment, corpus, fold)
    repair = _repair(experiment, given, fold)
    corpus = given if repair is None else repair(given).corpus
    config, training = experiment.data, experiment.training
    regression = protocol.config.task == "regression"
    targets: np.ndarray = (
        protocol.intensities(corpus) if regression else protocol.labels(corpus).astype(np.int32)
    )
    votes = soft_labels(corpus, protocol) if training.labels == "votes" else None
    train = make_examples(corpus, fold.train, config.view, targets, votes)
    dev = make_examples(corpus, fold.dev, config.view, targets)
    preprocessing = Preprocessing.fit(
        train,
        scale=config.scaling == "train",
        outlier_limit=config.outlier_limit,
        buckets=training.buckets,
        length_quantile=training.length_quantile,
        masks=config.masks,
        vocabulary=config.vocabulary,
    )
    weights = None
    if training.class_weights == "balanced":
        if regression:
            raise InputError(
                "training.class_weights=balanced needs classes; the protocol's task is regression"
            )
        weights = balanced_weights(targets[fold.train], len(protocol.targets))
    robustness = experiment.robustness
    ids = [corpus.utterances[rows[0]].id for rows in train.rows]
    learned = augmented(train, ids, robustness.augmentation, robustness.corruption_seed)
    data = FoldData(
        fold.name,
        preprocessing(learned),
        preprocessing(dev),
        preprocessing.buckets,
        weights,
        len(protocol.targets),
        pretrained(config.vectors, corpus, preprocessing.vocabulary),
    )
    return FoldPlan(fold, data, preprocessing, given, corpus, repair)


def pretrained(path: str, corpus: Corpus, vocabulary: Vocabulary | None) -> np.ndarray | None:
    """Rows of a table of words to start from, or None where no vectors are given."""
    if not path or vocabulary is None:
        return None
    vectors = _vectors(path, tuple(sorted({token for u in corpus.utterances for token in tokens(u)})))
    return table(vectors, vocabulary.words, vocabulary.size, seed=0)


@functools.lru_cache(maxsize=1)
def _vectors(path: str, wanted: tuple[str, ...]) -> WordVectors:
    """Read once for all folds."""
    found = read_word_vectors(Path(path), wanted)
    print(Coverage.measure([wanted], set(found.words)).sentence(path), file=sys.stderr)
    return found
