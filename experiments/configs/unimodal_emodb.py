"""EmoDB speech, leave one speaker out, from MFCC and prosody sequences of our own front end.

Command: python -m experiments.train unimodal_emodb --data-dir DIR
         (--data.modalities log_mel and --data.scaling speaker for the other inputs)
Cost: half a minute on 2 cores (10 folds). Expected balanced accuracy: .47, and .62 with every
speaker standardised by their own clips; eGeMAPS + SVM reaches .589 and .736.
"""

from experiments.experiment import DataConfig, Experiment
from mer_jax.evaluation.protocol import ProtocolConfig
from mer_jax.models.unimodal import UnimodalConfig
from mer_jax.training.config import TrainingConfig


def get_config() -> Experiment[UnimodalConfig]:
    """A BiLSTM over frames, mean-pooled."""
    return Experiment(
        data=DataConfig("emodb", ("mfcc",), frames_per_step=4),
        protocol=ProtocolConfig(split="leave_one_speaker_out", select="loss", resample_by="speaker"),
        model=UnimodalConfig(hidden=(64,), dense=(64,), dropout=0.4, pooling="mean"),
        training=TrainingConfig(epochs=40, class_weights="balanced", buckets=2),
    )
