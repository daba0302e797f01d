"""One classifier per modality of the generated corpus, probabilities averaged.

Source: M. Schmitz, Multimodal Emotion Recognition (notebook): late fusion, reduced in size.
Command: python -m experiments.train late_fusion_generated
Cost: about a minute on 2 cores.
"""

from experiments.experiment import DataConfig, Experiment
from mer_jax.evaluation.protocol import ProtocolConfig
from mer_jax.models.late_fusion import LateFusionConfig
from mer_jax.training.config import TrainingConfig


def get_config() -> Experiment[LateFusionConfig]:
    """The unimodal network three times."""
    return Experiment(
        data=DataConfig("generated", ("text", "audio", "face")),
        protocol=ProtocolConfig(select="loss"),
        model=LateFusionConfig(hidden=(64,), dense=(64,), dropout=0.5, pooling="mean"),
        training=TrainingConfig(epochs=25),
    )
