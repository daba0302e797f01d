"""The plain Memory Fusion Network on ICT-MMMO: what M3ER is compared with, on its data and with its training.

Paper: Zadeh et al., AAAI 2018 (arXiv 1802.00927).
Command: python -m experiments.train memory_fusion_mmmo --data-dir DIR
Cost: seconds on 2 cores.
"""

from experiments.experiment import DataConfig, Experiment
from mer_jax.evaluation.protocol import ProtocolConfig
from mer_jax.models.memory_fusion import MemoryFusionNetworkConfig
from mer_jax.robustness.corruption import Corruption
from mer_jax.robustness.pipeline import RobustnessConfig
from mer_jax.training.config import TrainingConfig
from mer_jax.training.optimizer import OptimizerConfig


def get_config() -> Experiment[MemoryFusionNetworkConfig]:
    """Over at most 20 words; neutral reviews are left out; half of train is learned without a
    modality as well."""
    return Experiment(
        data=DataConfig("mmmo", ("text", "audio", "video")),
        protocol=ProtocolConfig(select="loss"),
        model=MemoryFusionNetworkConfig(dropout=0.4, clock="audio"),
        training=TrainingConfig(epochs=40, buckets=1, optimizer=OptimizerConfig(learning_rate=3e-3)),
        robustness=RobustnessConfig(augmentation=Corruption("drop", share=0.5)),
    )
