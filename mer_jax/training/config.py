"""What a config says of training."""

import dataclasses
from typing import Literal

from mer_jax.errors import InputError
from mer_jax.training.data_parallel import Mode
from mer_jax.training.optimizer import OptimizerConfig


@dataclasses.dataclass(frozen=True)
class TrainingConfig:
    """How long and on what batches a system trains.

    Attributes:
        epochs: at most so many passes over train.
        batch_size: examples per update, over all devices.
        early_stop: epochs without a better dev score before stopping; 0: never.
        class_weights: none, or balanced: n / (classes * count) for each class of train.
        labels: what is learned: the class, or the distribution of annotators' votes (the class
            where an utterance has none). Selection and scores always use the class.
        buckets: padded shapes per set, hence compilations.
        length_quantile: sequences are cut at this quantile of train's lengths; 1: never cut.
        parallel: how the step is mapped over devices.
        optimizer: how parameters move.
    """

    epochs: int = 30
    batch_size: int = 32
    early_stop: int = 10
    class_weights: Literal["none", "balanced"] = "none"
    labels: Literal["hard", "votes"] = "hard"
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
