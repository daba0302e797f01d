"""The learning rate of an epoch and when to stop, decided from dev scores alone."""

import dataclasses
import math

from mer_jax.training.optimizer import OptimizerConfig


@dataclasses.dataclass(frozen=True)
class Control:
    """Where early stopping and the plateau rule stand.

    best, best_epoch: of the selection metric, signed so that larger is better.
    plateau_best, plateau_waited: the lowest dev loss, and epochs since.
    plateau: what the plateau rule has multiplied the learning rate by.
    """

    best: float = -math.inf
    best_epoch: int = -1
    plateau_best: float = math.inf
    plateau_waited: int = 0
    plateau: float = 1.0

    def after(self, epoch: int, score: float, dev_loss: float, config: OptimizerConfig) -> "Control":
        """The next state, given this epoch's signed selection score and dev loss."""
        new = self
        if score > self.best:
            new = dataclasses.replace(new, best=score, best_epoch=epoch)
        if dev_loss < self.plateau_best - 1e-4:
            return dataclasses.replace(new, plateau_best=dev_loss, plateau_waited=0)
        waited = self.plateau_waited + 1
        if waited < config.plateau_patience:
            return dataclasses.replace(new, plateau_waited=waited)
        floor = config.plateau_floor / config.learning_rate
        lower = min(self.plateau, max(self.plateau * config.plateau_factor, floor))
        return dataclasses.replace(new, plateau_waited=0, plateau=lower)

    def rate_factor(self, epoch: int, epochs: int, config: OptimizerConfig) -> float:
        """What `config.learning_rate` is multiplied by in `epoch` of `epochs`."""
        if epoch < config.warmup_epochs:
            return (epoch + 1) / (config.warmup_epochs + 1)
        if config.schedule == "cosine":
            done = (epoch - config.warmup_epochs) / max(epochs - config.warmup_epochs, 1)
            return 0.5 * (1 + math.cos(math.pi * done))
        return self.plateau if config.schedule == "plateau" else 1.0

    def stops(self, epoch: int, patience: int) -> bool:
        """Whether `patience` epochs have passed without a better score (0: never)."""
        return patience > 0 and epoch - self.best_epoch >= patience
