"""Emotions in music: 72 features of a song to six labels, by ten-fold cross-validation.

Corpus: Trohidis, Tsoumakas, Kalliris and Vlahavas, ISMIR 2008. The labels, 0 or 1, are learned as intensities.
Command: python -m experiments.train unimodal_mulan_emotions --data-dir DIR
         python -m experiments.emotion_predictors neighbours unimodal_mulan_emotions --data-dir DIR
Cost: a minute on 2 cores.
"""

from experiments.experiment import DataConfig, Experiment
from mer_jax.evaluation.protocol import ProtocolConfig
from mer_jax.models.unimodal import UnimodalConfig
from mer_jax.training.config import TrainingConfig


def get_config() -> Experiment[UnimodalConfig]:
    """Dense layers only: a song is a single step."""
    return Experiment(
        data=DataConfig("mulan_emotions", ("audio",)),
        protocol=ProtocolConfig(split="cross_validation", fractions=(0.8, 0.1, 0.1), task="regression"),
        model=UnimodalConfig(hidden=(), dense=(64,), dropout=0.3),
        training=TrainingConfig(epochs=60, buckets=1),
    )
