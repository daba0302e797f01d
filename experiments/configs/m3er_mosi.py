"""M3ER on the utterances of CMU-MOSI's videos, text, sound and video.

Paper: Mittal et al., AAAI 2020 (arXiv 1911.05659), on the features of Poria et al., ACL 2017: one vector
an utterance, so that a video's utterances are the time the memory runs over.
Command: python -m experiments.train m3er_mosi --data-dir DIR --robustness.repair proxies
Cost: seconds on 2 cores. Expected accuracy: about .78, as text alone.
"""

from experiments.experiment import DataConfig, Experiment
from mer_jax.evaluation.protocol import ProtocolConfig
from mer_jax.models.m3er import M3ERConfig
from mer_jax.training.config import TrainingConfig
from mer_jax.training.optimizer import OptimizerConfig


def get_config() -> Experiment[M3ERConfig]:
    """Validation is taken out of train by video."""
    return Experiment(
        data=DataConfig("mosi", ("text", "audio", "video"), unit="dialogue"),
        protocol=ProtocolConfig(fractions=(0.8, 0.2, 0.0), select="loss"),
        model=M3ERConfig(dropout=0.5),
        training=TrainingConfig(epochs=40, batch_size=8, optimizer=OptimizerConfig(weight_decay=1e-3)),
    )
