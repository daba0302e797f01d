"""Training of one fold: epochs, selection on dev, checkpoints, exact resume."""

import dataclasses
import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

import jax
import numpy as np
from flax import linen as nn

from mer_jax.data.batching import Batch, Buckets, batches, plan
from mer_jax.data.examples import ExampleSet
from mer_jax.errors import InputError
from mer_jax.evaluation.protocol import SELECTION
from mer_jax.training.checkpoint import Checkpoints
from mer_jax.training.control import Control
from mer_jax.training.data_parallel import DataParallel, Mode
from mer_jax.training.interrupt import Interrupted, Interruption
from mer_jax.training.optimizer import OptimizerConfig, make_optimizer
from mer_jax.training.selection import dev_scores
from mer_jax.training.state import TrainState, init_state
from mer_jax.training.step import Loss, make_predict_step, make_train_step


@dataclasses.dataclass(frozen=True)
class TrainingConfig:
    """How long and on what batches a system trains.

    Attributes:
        epochs: at most so many passes over train.
        batch_size: examples per update, over all devices.
        early_stop: epochs without a better dev score before stopping; 0: never.
        class_weights: none, or balanced: n / (classes * count) for each class of train.
        buckets: padded shapes per set, hence compilations.
        length_quantile: sequences are cut at this quantile of train's lengths; 1: never cut.
        parallel: how the step is mapped over devices.
        optimizer: how parameters move.
    """

    epochs: int = 30
    batch_size: int = 32
    early_stop: int = 10
    class_weights: Literal["none", "balanced"] = "none"
    buckets: int = 4
    length_quantile: float = 1.0
    parallel: Mode = "pmap"
    optimizer: OptimizerConfig = dataclasses.field(default_factory=OptimizerConfig)

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "buckets"):
            if getattr(self, name) < 1:
                raise InputError(f"training.{name}={getattr(self, name)} must be at least 1")
        if not 0 < self.length_quantile <= 1:
            raise InputError(f"training.length_quantile={self.length_quantile} must lie in (0, 1]")


class Program:
    """A system's compiled training and prediction steps, shared by all folds."""

    def __init__(self, model: nn.Module, loss: Loss, config: TrainingConfig, parallel: DataParallel):
        parallel.check_batch_size(config.batch_size)
        self.model, self.config, self.parallel = model, config, parallel
        self.optimizer = make_optimizer(config.optimizer)
        self.train_step = parallel.train(make_train_step(model, loss, self.optimizer))
        self.predict_step = parallel.predict(make_predict_step(model))

    def predict(self, state: Any, examples: ExampleSet, buckets: Buckets) -> Iterator[tuple[Any, np.ndarray]]:
        """(Outputs, rows) of each batch; `state` and Outputs lie on the devices."""
        for batch in batches(examples, buckets.covering(examples), self.config.batch_size):
            yield self.predict_step(state, self.parallel.place_batch(batch)), batch.rows

    def logits(self, state: Any, examples: ExampleSet, buckets: Buckets) -> tuple[np.ndarray, np.ndarray]:
        """Logits [utterances, targets] and the utterances' rows, in order of rows."""
        found = []
        for outputs, rows in self.predict(state, examples, buckets):
            found.append((self.parallel.gather(outputs.logits)[rows >= 0], rows[rows >= 0]))
        logits, rows = (np.concatenate(parts) for parts in zip(*found, strict=True))
        order = np.argsort(rows)
        return logits[order], rows[order]


@dataclasses.dataclass(frozen=True)
class FoldData:
    """What the trainer is handed: train and dev, never test."""

    name: str
    train: ExampleSet
    dev: ExampleSet
    buckets: Buckets
    class_weights: np.ndarray | None
    targets: int


@dataclasses.dataclass(frozen=True)
class Trained:
    """The selected state (on the host), the history of epochs and the seconds they took."""

    state: TrainState
    history: Sequence[dict[str, Any]]
    seconds: float


def train_fold(
    program: Program,
    data: FoldData,
    *,
    select: str,
    seed: int,
    checkpoints: Checkpoints,
    fingerprint: str,
    watch: Callable[[dict[str, Any]], None] = lambda event: None,
) -> Trained:
    """Trains until the epochs are over or dev stops improving, and returns the best epoch.

    Goes on from the `last` checkpoint where there is one; the result is byte for byte that
    of a run never interrupted. `watch` is told of every step and epoch.

    Raises:
        Interrupted: on the first Ctrl-C, after a checkpoint is written.
        InputError: where the checkpoint belongs to another configuration.
    """
    run = _Run(program, data, select, seed, checkpoints, fingerprint, watch)
    with Interruption() as interruption:
        while not run.finished:
            run.epoch(interruption)
    best, _ = checkpoints.restore("best", run.template)
    return Trained(best, run.history, run.seconds)


class _Run:
    """The state of one `train_fold` call."""

    def __init__(self, program, data, select, seed, checkpoints, fingerprint, watch):
        self.program, self.data, self.select, self.seed = program, data, select, seed
        self.checkpoints, self.fingerprint, self.watch = checkpoints, fingerprint, watch
        self.number, self.batch, self.sums = 0, 0, [0.0, 0.0]
        self.history: list[dict[str, Any]] = []
        self.control = Control()
        self.seconds_before, self.started = 0.0, time.perf_counter()
        first = next(batches(data.train, data.buckets, program.config.batch_size))
        fresh = init_state(program.model, program.optimizer, first, seed)
        self.template = jax.tree.map(np.array, fresh)
        state = self._resume() if checkpoints.exists("last") else self.template
        self.state = program.parallel.place_state(state)

    def _resume(self) -> TrainState:
        state, position = self.checkpoints.restore("last", self.template)
        if position["fingerprint"] != self.fingerprint:
            raise InputError(
                f"the checkpoint in {self.checkpoints.folder} was written by another configuration; "
                "resume with the one in config.json, or train anew with --overwrite"
            )
        self.number, self.batch, self.sums = position["epoch"], position["batch"], position["sums"]
        self.history, self.seconds_before = position["history"], position["seconds"]
        self.control = Control(**position["control"])
        self.watch({"event": "resumed", "epoch": self.number, "batch": self.batch, "history": self.history})
        return state

    @property
    def seconds(self) -> float:
        return self.seconds_before + time.perf_counter() - self.started

    @property
    def finished(self) -> bool:
        config = self.program.config
        return self.number >= config.epochs or self.control.stops(self.number - 1, config.early_stop)

    def epoch(self, interruption: Interruption) -> None:
        config, optimizer = self.program.config, self.program.config.optimizer
        factor = self.control.rate_factor(self.number, config.epochs, optimizer)
        self._set_rate(factor)
        order = (self.seed, self.number)
        total = len(plan(self.data.train, self.data.buckets, config.batch_size, order))
        pending: list[dict[str, jax.Array]] = []
        for place, batch in enumerate(self._batches(order)):
            if place < self.batch:
                continue
            self.state, sums = self.program.train_step(self.state, self.program.parallel.place_batch(batch))
            pending.append(sums)
            self.watch({"event": "step", "epoch": self.number, "batch": place, "batches": total})
            if interruption.requested and place + 1 < total:
                self.batch = place + 1
                self._add(pending)
                self._save("last")
                raise Interrupted
        self._add(pending)
        self._end_epoch(factor)
        if interruption.requested and not self.finished:
            raise Interrupted

    def _batches(self, order: tuple[int, int]) -> Iterator[Batch]:
        data, size = self.data, self.program.config.batch_size
        return batches(data.train, data.buckets, size, order=order, class_weights=data.class_weights)

    def _add(self, pending: list[dict[str, jax.Array]]) -> None:
        for sums in pending:
            one = self.program.parallel.one_copy(sums)
            self.sums = [self.sums[0] + float(one["loss"]), self.sums[1] + float(one["weight"])]

    def _end_epoch(self, factor: float) -> None:
        config, data = self.program.config, self.data
        train_loss = self.sums[0] / self.sums[1]
        if not math.isfinite(train_loss):
            raise FloatingPointError(
                f"fold {data.name}, epoch {self.number}: the training loss is {train_loss}; "
                "lower --training.optimizer.learning-rate or set --training.optimizer.clip"
            )
        logits, rows = self.program.logits(self.state, data.dev, data.buckets)
        scores = dev_scores(logits, _targets_of(data.dev, rows), data.targets)
        signed = scores[self.select] * (1 if SELECTION[self.select] == "max" else -1)
        old = self.control
        self.control = old.after(self.number, signed, scores["loss"], config.optimizer)
        row = {"fold": data.name, "epoch": self.number, "train_loss": train_loss}
        row |= {f"dev_{name}": value for name, value in scores.items()}
        row["learning_rate"] = config.optimizer.learning_rate * factor
        self.history.append(row)
        self.number, self.batch, self.sums = self.number + 1, 0, [0.0, 0.0]
        if self.control.best_epoch != old.best_epoch:
            self._save("best")
        self._save("last")
        self.watch({"event": "epoch", "history": self.history, "best": self.control.best_epoch})

    def _set_rate(self, factor: float) -> None:
        placed = self.program.parallel.set_scalar(self.state.rate_factor, factor)
        self.state = self.state.replace(rate_factor=placed)

    def _save(self, kind: str) -> None:
        state = self.program.parallel.one_copy(self.state)
        position = {
            "epoch": self.number,
            "batch": self.batch,
            "sums": self.sums,
            "history": self.history,
            "control": dataclasses.asdict(self.control),
            "fingerprint": self.fingerprint,
            "seconds": self.seconds,
        }
        self.checkpoints.save(kind, int(state.step), state, position)


def _targets_of(examples: ExampleSet, rows: np.ndarray) -> np.ndarray:
    """Targets in order of the sorted `rows`."""
    assert examples.targets is not None
    order = np.argsort(np.concatenate(list(examples.rows)))
    return np.concatenate(list(examples.targets))[order][: len(rows)]
