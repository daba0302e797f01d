"""A small training job, run in many ways."""

import dataclasses
import functools
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from mer_jax.data.examples import View, make_examples
from mer_jax.data.preprocessing import Preprocessing
from mer_jax.models.base import Task
from mer_jax.models.early_fusion import EarlyFusionConfig
from mer_jax.training.checkpoint import Checkpoints
from mer_jax.training.config import TrainingConfig
from mer_jax.training.data_parallel import DataParallel
from mer_jax.training.loop import FoldData, train_fold
from mer_jax.training.optimizer import OptimizerConfig
from mer_jax.training.program import Program
from mer_jax.training.scalars import Member
from mer_jax.training.state import stack
from tests.tiny import DIMS, tiny_corpus


@functools.cache
def compiled(config: TrainingConfig, model: EarlyFusionConfig, devices: int) -> Program:
    """One program for all tests that ask for the same one."""
    parallel = DataParallel(config.parallel, jax.devices()[:devices])
    return Program(model, Task(DIMS, 3, True, "utterance"), config, parallel)


@dataclasses.dataclass
class Job:
    """A fold of the tiny corpus and a small early-fusion system."""

    folder: Path
    config: TrainingConfig
    model: EarlyFusionConfig
    devices: int = 1
    seed: int = 0

    def change(self, **fields: Any) -> None:
        """Replaces fields of the training config, or of its optimizer."""
        names = {field.name for field in dataclasses.fields(OptimizerConfig)}
        inner = {k: v for k, v in fields.items() if k in names}
        outer = {k: v for k, v in fields.items() if k not in names}
        optimizer = dataclasses.replace(self.config.optimizer, **inner)
        self.config = dataclasses.replace(self.config, **outer, optimizer=optimizer)

    def examples(self, split: str, labelled: bool = True) -> Any:
        corpus = tiny_corpus()
        targets = np.array([corpus.spec.classes.index(u.label) for u in corpus.utterances], np.int32)
        rows = np.flatnonzero(corpus.splits == split)
        return make_examples(corpus, rows, View(tuple(DIMS)), targets if labelled else None)

    def program(self) -> Program:
        return compiled(self.config, self.model, self.devices)

    def data(self) -> tuple[FoldData, Preprocessing]:
        train = self.examples("train")
        fitted = Preprocessing.fit(
            train, scale=True, outlier_limit=10.0, buckets=self.config.buckets, length_quantile=1.0
        )
        scaled = [fitted.scaler(x) for x in (train, self.examples("dev"))]
        return FoldData("tiny", *scaled, fitted.buckets, None, 3), fitted

    def train(
        self, name: str = "run", program: Program | None = None, watch: Any = lambda event: None
    ) -> Any:
        """The one training with `seed`."""
        return self.train_members([Member(self.seed)], name, program, watch)[0]

    def train_members(
        self,
        members: list[Member],
        name: str = "members",
        program: Program | None = None,
        watch: Any = lambda event: None,
    ) -> Any:
        data, _ = self.data()
        with Checkpoints(self.folder / name) as checkpoints:
            return train_fold(
                program or self.program(),
                data,
                members=members,
                select="loss",
                checkpoints=checkpoints,
                fingerprint="fingerprint",
                watch=watch,
            )

    def logits(self, state: Any, split: str = "test", program: Program | None = None) -> Any:
        """Logits [utterances, targets] of one state, and their rows."""
        program, (_, fitted) = program or self.program(), self.data()
        examples = fitted.scaler(self.examples(split, labelled=False))
        placed = program.parallel.place_state(stack([state]))
        logits, rows = program.logits(placed, examples, fitted.buckets)
        return logits[0], rows


@pytest.fixture
def job(tmp_path):
    optimizer = OptimizerConfig(learning_rate=1e-2)
    training = TrainingConfig(epochs=3, batch_size=16, buckets=2, optimizer=optimizer)
    return Job(tmp_path, training, EarlyFusionConfig(hidden=(8,), dense=(6,), dropout=0.2, clock="audio"))
