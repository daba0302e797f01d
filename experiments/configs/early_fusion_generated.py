"""All modalities of the generated corpus on one clock.

Source: M. Schmitz, Multimodal Emotion Recognition (notebook): early fusion, reduced in size.
Command: python -m experiments.train early_fusion_generated   (what `make demo` runs)
Cost: about a minute on 2 cores.
"""

from experiments.experiment import DataConfig, Experiment
from mer_jax.evaluation.protocol import ProtocolConfig
from mer_jax.models.early_fusion import EarlyFusionConfig
from mer_jax.training.config import TrainingConfig


def get_config() -> Experiment[EarlyFusionConfig]:
    """Audio and face interpolated to the audio's frames, words too."""
    return Experiment(
        data=DataConfig("generated", ("text", "audio", "face")),
        protocol=ProtocolConfig(select="loss"),
        model=EarlyFusionConfig(hidden=(64,), dense=(64,), dropout=0.5, pooling="mean", clock="audio"),
        training=TrainingConfig(epochs=25),
    )
