"""A system's compiled steps for several trainings at once, shared by all folds."""

from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mer_jax.data.batching import Batch, Buckets, batches
from mer_jax.data.examples import ExampleSet
from mer_jax.training.config import TrainingConfig
from mer_jax.training.data_parallel import DataParallel
from mer_jax.training.scalars import Member
from mer_jax.training.state import TrainState, stack, with_words
from mer_jax.training.step import System, make_init, make_predict_step, make_train_step


class Program:
    """The steps of `Member`s that train together: states and training batches carry the
    members along their first axis, `vmap` maps over it, and devices share the examples.

    One training is the case of one member.
    """

    def __init__(self, system: System, task: Any, config: TrainingConfig, parallel: DataParallel):
        parallel.check_batch_size(config.batch_size)
        self.system, self.task = system, task
        self.config, self.parallel = config, parallel
        self.train_step = parallel.train(jax.vmap(make_train_step(system, task, config.optimizer)))
        self.predict_step = parallel.predict(jax.vmap(make_predict_step(system, task), in_axes=(0, None)))
        self._init = jax.jit(make_init(system, task, config.optimizer))

    def init(self, members: Sequence[Member], batch: Batch, words: np.ndarray | None = None) -> TrainState:
        """Fresh stacked states on the host; each member's parameters are drawn from its seed
        alone, but for the table of words where `words` has its rows. `batch` (of one training)
        gives the shapes."""
        one = jax.tree.map(lambda x: jnp.asarray(x[:1]), batch)
        state = stack([self._init(one, np.uint32(m.seed), _arrays(m)) for m in members])
        return state if words is None else with_words(state, words)

    def step(self, states: Any, stacked: Batch) -> tuple[Any, dict[str, jax.Array]]:
        """One update of every member; `states` lie on the devices, the batches on the host."""
        states, sums = self.train_step(states, self.parallel.place_batch(stacked, axis=1))
        if self.parallel.shares_cores:
            jax.block_until_ready(sums)
        return states, sums

    def memory(self, state: TrainState, batch: Batch, members: int) -> int:
        """Bytes on each device that a training step of so many members takes, by XLA's account.

        `state` and `batch` (of one training) give the shapes. Nothing is allocated; the step
        is compiled, and the first step of these shapes finds it so.
        """
        wide = jax.tree.map(lambda x: jax.ShapeDtypeStruct((members, *x.shape), x.dtype), (state, batch))
        placed = self.parallel.described(wide[0]), self.parallel.described(wide[1], axis=1)
        found = self.train_step.lower(*placed).compile().memory_analysis()
        whole = found.argument_size_in_bytes + found.output_size_in_bytes + found.temp_size_in_bytes
        return whole - found.alias_size_in_bytes

    def predict(
        self, states: Any, examples: ExampleSet, buckets: Buckets
    ) -> Iterator[tuple[Any, np.ndarray]]:
        """(outputs, rows) of each batch; `states` and outputs lie on the devices."""
        for batch in batches(examples, buckets.covering(examples), self.config.batch_size):
            yield self.predict_step(states, self.parallel.place_batch(batch)), batch.rows

    def logits(self, states: Any, examples: ExampleSet, buckets: Buckets) -> tuple[np.ndarray, np.ndarray]:
        """Logits [members, utterances, targets] and the utterances' rows, in order of rows."""
        found = []
        for outputs, rows in self.predict(states, examples, buckets):
            found.append((self.parallel.gather(outputs.logits)[:, rows >= 0], rows[rows >= 0]))
        logits = np.concatenate([part for part, _ in found], axis=1)
        rows = np.concatenate([part for _, part in found])
        order = np.argsort(rows)
        return logits[:, order], rows[order]


def _arrays(member: Member) -> dict[str, np.ndarray]:
    return {name: np.asarray(value, np.float32) for name, value in member.scalars.items()}
