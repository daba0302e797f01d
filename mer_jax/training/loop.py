"""Training of one fold, of one or many members at once: epochs, selection on dev, exact resume."""

import dataclasses
import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from mer_jax.data.batching import Buckets, largest_batch, plan, stacked_batches
from mer_jax.data.examples import ExampleSet
from mer_jax.errors import InputError
from mer_jax.evaluation.protocol import SELECTION
from mer_jax.training.checkpoint import Checkpoints
from mer_jax.training.control import Control
from mer_jax.training.interrupt import Interrupted, Interruption
from mer_jax.training.optimizer import OptimizerConfig
from mer_jax.training.program import Program
from mer_jax.training.scalars import Member, with_scalars
from mer_jax.training.selection import dev_scores
from mer_jax.training.state import TrainState, unstack


@dataclasses.dataclass(frozen=True)
class FoldData:
    """What the trainer is handed: train and dev, never test.

    words: rows to start a table of words from, or None.
    """

    name: str
    train: ExampleSet
    dev: ExampleSet
    buckets: Buckets
    class_weights: np.ndarray | None
    targets: int
    words: np.ndarray | None = None


@dataclasses.dataclass(frozen=True)
class Trained:
    """One member's selected state (on the host), its epochs, and its share of the seconds.

    failure: why there is no such state; "" where there is.
    """

    state: TrainState
    history: Sequence[dict[str, Any]]
    seconds: float
    failure: str = ""


class DivergedError(FloatingPointError):
    """All members diverged; `reasons` has one for each."""

    def __init__(self, reasons: Sequence[str]):
        super().__init__("\n".join(reasons))
        self.reasons = tuple(reasons)


def train_fold(
    program: Program,
    data: FoldData,
    *,
    members: Sequence[Member],
    select: str,
    checkpoints: Checkpoints,
    fingerprint: str,
    watch: Callable[[dict[str, Any]], None] = lambda event: None,
) -> list[Trained]:
    """Trains each member until the epochs are over or its dev score stops improving, and
    returns its best epoch. All of them go through the same compiled steps; a member that has
    stopped rides along until the last one stops, and nothing of it changes any more.

    Goes on from the checkpoint `last` where there is one; the result is byte for byte that
    of a training never interrupted. `watch` is told of every step and epoch.

    Raises:
        Interrupted: on the first Ctrl-C, after a checkpoint is written.
        DivergedError: where all members diverge, with the reasons.
        InputError: where the checkpoint belongs to another configuration.
    """
    run = _Run(program, data, members, select, checkpoints, fingerprint, watch)
    with Interruption() as interruption:
        while not run.finished:
            run.epoch(interruption)
    share = run.seconds / len(members)
    return [
        Trained(unstack(run.best, k), record.history, share, record.failure)
        for k, record in enumerate(run.records)
    ]


@dataclasses.dataclass
class _Record:
    """How one member stands."""

    control: Control = dataclasses.field(default_factory=Control)
    history: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    sums: list[float] = dataclasses.field(default_factory=lambda: [0.0, 0.0])
    failure: str = ""

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "_Record":
        return cls(**data | {"control": Control(**data["control"])})


class _Run:
    """The state of one `train_fold` call."""

    def __init__(self, program, data, members, select, checkpoints, fingerprint, watch):
        self.program, self.data, self.members, self.select = program, data, members, select
        self.checkpoints, self.fingerprint, self.watch = checkpoints, fingerprint, watch
        base = program.config.optimizer
        self.optimizers = [with_scalars(base, "training.optimizer", m.scalars) for m in members]
        self.records = [_Record() for _ in members]
        self.number, self.batch = 0, 0
        self.seconds_before, self.started = 0.0, time.perf_counter()
        largest = largest_batch(data.train, data.buckets, program.config.batch_size)
        state = program.init(members, largest, data.words)
        self.best = jax.tree.map(np.array, state)
        if checkpoints.exists("last"):
            state = self._resume({"now": state, "best": self.best})
        self.state = program.parallel.place_state(state)

    def _resume(self, like: dict[str, TrainState]) -> TrainState:
        found, position = self.checkpoints.restore("last", like)
        if position["fingerprint"] != self.fingerprint:
            raise InputError(
                f"the checkpoint in {self.checkpoints.folder} was written by another configuration; "
                "resume with the one in config.json, or train anew with --overwrite"
            )
        self.number, self.batch = position["epoch"], position["batch"]
        self.records = [_Record.from_json(record) for record in position["records"]]
        self.seconds_before = position["seconds"]
        self.best = jax.tree.map(np.array, found["best"])
        self.watch({"event": "resumed", "epoch": self.number, "batch": self.batch, "records": self.records})
        return found["now"]

    @property
    def seconds(self) -> float:
        return self.seconds_before + time.perf_counter() - self.started

    def _stopped(self, record: _Record) -> bool:
        patience = self.program.config.early_stop
        return bool(record.failure) or record.control.stops(len(record.history) - 1, patience)

    @property
    def finished(self) -> bool:
        return self.number >= self.program.config.epochs or all(map(self._stopped, self.records))

    def epoch(self, interruption: Interruption) -> None:
        config = self.program.config
        factors = [
            record.control.rate_factor(self.number, config.epochs, optimizer)
            for record, optimizer in zip(self.records, self.optimizers, strict=True)
        ]
        placed = self.program.parallel.set_values(self.state.rate_factor, factors)
        self.state = self.state.replace(rate_factor=placed)
        total = len(plan(self.data.train, self.data.buckets, config.batch_size))
        pending: list[dict[str, jax.Array]] = []
        for place, batch in enumerate(self._batches()):
            if place < self.batch:
                continue
            self.state, sums = self.program.step(self.state, batch)
            pending.append(sums)
            self.watch({"event": "step", "epoch": self.number, "batch": place, "batches": total})
            if interruption.requested and place + 1 < total:
                self.batch = place + 1
                self._add(pending)
                self._save()
                raise Interrupted
        self._add(pending)
        self._end_epoch(factors)
        if interruption.requested:
            raise Interrupted

    def _batches(self):
        data, size = self.data, self.program.config.batch_size
        seeds = [member.seed for member in self.members]
        return stacked_batches(
            data.train, data.buckets, size, seeds=seeds, epoch=self.number, class_weights=data.class_weights
        )

    def _add(self, pending: list[dict[str, jax.Array]]) -> None:
        for sums in pending:
            one = self.program.parallel.one_copy(sums)
            for k, record in enumerate(self.records):
                record.sums = [
                    record.sums[0] + float(one["loss"][k]),
                    record.sums[1] + float(one["weight"][k]),
                ]

    def _end_epoch(self, factors: Sequence[float]) -> None:
        logits, rows = self.program.logits(self.state, self.data.dev, self.data.buckets)
        targets = _targets_of(self.data.dev, rows)
        now = self.program.parallel.one_copy(self.state)
        for k, record in enumerate(self.records):
            if not self._stopped(record) and self._improved(k, record, logits[k], targets, factors[k]):
                jax.tree.map(lambda kept, new, k=k: kept.__setitem__(k, new[k]), self.best, now)
            record.sums = [0.0, 0.0]
        self.number, self.batch = self.number + 1, 0
        if all(record.failure for record in self.records):
            raise DivergedError([record.failure for record in self.records])
        self._save()
        self.watch({"event": "epoch", "records": self.records})

    def _improved(
        self, member: int, record: _Record, logits: np.ndarray, targets: np.ndarray, factor: float
    ) -> bool:
        """Writes one member's epoch down; whether it is the best so far."""
        train_loss = record.sums[0] / record.sums[1]
        if not (math.isfinite(train_loss) and np.isfinite(logits).all()):
            record.failure = (
                f"fold {self.data.name}, seed {self.members[member].seed}, epoch {self.number}: the training "
                f"loss is {train_loss}; lower --training.optimizer.learning-rate or set "
                "--training.optimizer.clip"
            )
            return False
        optimizer: OptimizerConfig = self.optimizers[member]
        scores = dev_scores(logits, targets, self.data.targets)
        signed = scores[self.select] * (1 if SELECTION[self.select] == "max" else -1)
        old = record.control
        record.control = old.after(self.number, signed, scores["loss"], optimizer)
        row = {"fold": self.data.name, "epoch": self.number, "train_loss": train_loss}
        row |= {f"dev_{name}": value for name, value in scores.items()}
        row["learning_rate"] = optimizer.learning_rate * factor
        record.history.append(row)
        return record.control.best_epoch != old.best_epoch

    def _save(self) -> None:
        now = self.program.parallel.one_copy(self.state)
        position = {
            "epoch": self.number,
            "batch": self.batch,
            "records": [dataclasses.asdict(record) for record in self.records],
            "fingerprint": self.fingerprint,
            "seconds": self.seconds,
        }
        step = int(now.step[0])
        self.checkpoints.save("last", step, {"now": now, "best": self.best}, position)


def _targets_of(examples: ExampleSet, rows: np.ndarray) -> np.ndarray:
    """Targets in order of the sorted `rows`."""
    assert examples.targets is not None
    order = np.argsort(np.concatenate(list(examples.rows)))
    return np.concatenate(list(examples.targets))[order][: len(rows)]
