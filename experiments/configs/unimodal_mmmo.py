"""One modality of ICT-MMMO: positive or negative reviews from word-level sequences.

Corpus: Woellmer et al., IEEE Intelligent Systems 2013. Its train part has no text, so none is read.
Command: python -m experiments.train unimodal_mmmo --data-dir DIR
         (--data.modalities video for the other input)
Cost: seconds on 2 cores. 80 test reviews: expect intervals of .2.
"""

from experiments.experiment import DataConfig, Experiment
from mer_jax.evaluation.protocol import ProtocolConfig
from mer_jax.models.unimodal import UnimodalConfig
from mer_jax.training.config import TrainingConfig


def get_config() -> Experiment[UnimodalConfig]:
    """A BiLSTM over at most 20 words; neutral reviews are left out."""
    return Experiment(
        data=DataConfig("mmmo", ("audio",)),
        protocol=ProtocolConfig(select="loss"),
        model=UnimodalConfig(hidden=(32,), dense=(32,), dropout=0.4, pooling="mean"),
        training=TrainingConfig(epochs=40, buckets=1),
    )
