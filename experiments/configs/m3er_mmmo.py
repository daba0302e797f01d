"""M3ER on ICT-MMMO's reviews, whose train part has no text: text is read nowhere, and the audit says so.

Paper: Mittal et al., AAAI 2020 (arXiv 1911.05659); corpus: Woellmer et al., IEEE Intelligent Systems 2013.
Command: python -m experiments.train m3er_mmmo --data-dir DIR --robustness.repair proxies
Cost: seconds on 2 cores. 80 test reviews: expect intervals of .2.
"""

from experiments.experiment import DataConfig, Experiment
from mer_jax.evaluation.protocol import ProtocolConfig
from mer_jax.models.m3er import M3ERConfig
from mer_jax.robustness.corruption import Corruption
from mer_jax.robustness.pipeline import RobustnessConfig
from mer_jax.training.config import TrainingConfig
from mer_jax.training.optimizer import OptimizerConfig


def get_config() -> Experiment[M3ERConfig]:
    """Over at most 20 words; neutral reviews are left out; half of train is learned without a
    modality as well."""
    return Experiment(
        data=DataConfig("mmmo", ("text", "audio", "video")),
        protocol=ProtocolConfig(select="loss"),
        model=M3ERConfig(dropout=0.4, clock="audio"),
        training=TrainingConfig(epochs=40, buckets=1, optimizer=OptimizerConfig(learning_rate=3e-3)),
        robustness=RobustnessConfig(augmentation=Corruption("drop", share=0.5)),
    )
