"""One contextual LSTM per modality of CMU-MOSI, probabilities averaged.

Paper: the contextual LSTM of Poria et al., ACL 2017 (bc-LSTM), on its published features.
Command: python -m experiments.train late_fusion_mosi --data-dir DIR
Cost: seconds on 2 cores. Expected accuracy: not above text alone.
"""

from experiments.experiment import DataConfig, Experiment
from mer_jax.evaluation.protocol import ProtocolConfig
from mer_jax.models.late_fusion import LateFusionConfig
from mer_jax.training.config import TrainingConfig
from mer_jax.training.optimizer import OptimizerConfig


def get_config() -> Experiment[LateFusionConfig]:
    """Validation is taken out of train by video."""
    return Experiment(
        data=DataConfig("mosi", ("text", "audio", "video"), unit="dialogue"),
        protocol=ProtocolConfig(fractions=(0.8, 0.2, 0.0), select="loss"),
        model=LateFusionConfig(hidden=(64,), dense=(64,), dropout=0.5),
        training=TrainingConfig(epochs=40, batch_size=8, optimizer=OptimizerConfig(weight_decay=1e-3)),
    )
