"""One modality of the generated corpus; `--data.modalities audio` chooses another.

Source: M. Schmitz, Multimodal Emotion Recognition (notebook): unimodal against multimodal, reduced in size.
Command: python -m experiments.train unimodal_generated
Cost: about a minute on 2 cores.
"""

from experiments.experiment import DataConfig, Experiment
from mer_jax.evaluation.protocol import ProtocolConfig
from mer_jax.models.unimodal import UnimodalConfig
from mer_jax.training.config import TrainingConfig


def get_config() -> Experiment[UnimodalConfig]:
    """A BiLSTM over word vectors."""
    return Experiment(
        data=DataConfig("generated", ("text",)),
        protocol=ProtocolConfig(select="loss"),
        model=UnimodalConfig(hidden=(64,), dense=(64,), dropout=0.5, pooling="mean"),
        training=TrainingConfig(epochs=25),
    )
