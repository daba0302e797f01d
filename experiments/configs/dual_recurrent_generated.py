"""The generated corpus: the last states of text and audio side by side (MDRE, Yoon et al. 2018).

Command: python -m experiments.train dual_recurrent_generated
         (--model.attention by_audio: MDREA)
Cost: a minute on 2 cores.
"""

from experiments.experiment import DataConfig, Experiment
from mer_jax.evaluation.protocol import ProtocolConfig
from mer_jax.models.dual_recurrent import DualRecurrentConfig
from mer_jax.training.config import TrainingConfig


def get_config() -> Experiment[DualRecurrentConfig]:
    """GRUs of 32 units, both ways."""
    return Experiment(
        data=DataConfig("generated", ("text", "audio")),
        protocol=ProtocolConfig(select="loss"),
        model=DualRecurrentConfig(hidden=32, bidirectional=True, dropout=0.3),
        training=TrainingConfig(epochs=30),
    )
