"""The plain Memory Fusion Network on CMU-MOSI: what M3ER is compared with, on its data and with its training.

Paper: Zadeh et al., AAAI 2018 (arXiv 1802.00927).
Command: python -m experiments.train memory_fusion_mosi --data-dir DIR
Cost: seconds on 2 cores.
"""

from experiments.experiment import DataConfig, Experiment
from mer_jax.evaluation.protocol import ProtocolConfig
from mer_jax.models.memory_fusion import MemoryFusionNetworkConfig
from mer_jax.training.config import TrainingConfig
from mer_jax.training.optimizer import OptimizerConfig


def get_config() -> Experiment[MemoryFusionNetworkConfig]:
    """Validation is taken out of train by video."""
    return Experiment(
        data=DataConfig("mosi", ("text", "audio", "video"), unit="dialogue"),
        protocol=ProtocolConfig(fractions=(0.8, 0.2, 0.0), select="loss"),
        model=MemoryFusionNetworkConfig(dropout=0.5),
        training=TrainingConfig(epochs=40, batch_size=8, optimizer=OptimizerConfig(weight_decay=1e-3)),
    )
