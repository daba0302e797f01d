"""The plain Memory Fusion Network on the generated corpus: what M3ER is compared with, on its data and with its training.

Paper: Zadeh et al., AAAI 2018 (arXiv 1802.00927).
Command: python -m experiments.train memory_fusion_generated
Cost: about a minute on 2 cores.
"""

from experiments.experiment import DataConfig, Experiment
from mer_jax.evaluation.protocol import ProtocolConfig
from mer_jax.models.memory_fusion import MemoryFusionNetworkConfig
from mer_jax.robustness.corruption import Corruption
from mer_jax.robustness.pipeline import RobustnessConfig
from mer_jax.training.config import TrainingConfig
from mer_jax.training.optimizer import OptimizerConfig


def get_config() -> Experiment[MemoryFusionNetworkConfig]:
    """Memory of 128, LSTMs of 32; half of train is learned without one of its modalities as well."""
    return Experiment(
        data=DataConfig("generated", ("text", "audio", "face"), clock="text"),
        protocol=ProtocolConfig(select="loss"),
        model=MemoryFusionNetworkConfig(),
        training=TrainingConfig(
            epochs=20, batch_size=64, early_stop=6, buckets=1, optimizer=OptimizerConfig(learning_rate=3e-3)
        ),
        robustness=RobustnessConfig(augmentation=Corruption("drop", share=0.5)),
    )
