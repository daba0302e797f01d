"""M3ER on the generated corpus, words, sound and face on the clock of the words.

Paper: Mittal et al., AAAI 2020 (arXiv 1911.05659). Its ablation: python -m experiments.m3er_ablation generated
Command: python -m experiments.train m3er_generated
Cost: about a minute on 2 cores.
"""

from experiments.experiment import DataConfig, Experiment
from mer_jax.evaluation.protocol import ProtocolConfig
from mer_jax.models.m3er import M3ERConfig
from mer_jax.robustness.corruption import Corruption
from mer_jax.robustness.pipeline import RobustnessConfig
from mer_jax.training.config import TrainingConfig
from mer_jax.training.optimizer import OptimizerConfig


def get_config() -> Experiment[M3ERConfig]:
    """Memory of 128, LSTMs of 32; half of train is learned without one of its modalities as well."""
    return Experiment(
        data=DataConfig("generated", ("text", "audio", "face"), clock="text"),
        protocol=ProtocolConfig(select="loss"),
        model=M3ERConfig(),
        training=TrainingConfig(
            epochs=20, batch_size=64, early_stop=6, buckets=1, optimizer=OptimizerConfig(learning_rate=3e-3)
        ),
        robustness=RobustnessConfig(augmentation=Corruption("drop", share=0.5)),
    )
