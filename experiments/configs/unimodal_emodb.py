"""EmoDB speech, leave one speaker out, from log-mel or MFCC sequences of our front end.

Command: python -m experiments.train unimodal_emodb --data-dir DIR
         (--data.modalities mfcc, --data.scaling speaker for the other protocols)
Cost: minutes on 2 cores (10 folds). Compare: eGeMAPS + SVM reaches UAR .589, and .736
with every speaker standardised by their own clips.
"""

from experiments.experiment import DataConfig, Experiment
from mer_jax.evaluation.protocol import ProtocolConfig
from mer_jax.models.unimodal import UnimodalConfig
from mer_jax.training.loop import TrainingConfig


def get_config() -> Experiment[UnimodalConfig]:
    """A BiLSTM over frames, mean-pooled."""
    return Experiment(
        data=DataConfig("emodb", ("log_mel",)),
        protocol=ProtocolConfig(
            split="leave_one_speaker_out", select="balanced_accuracy", resample_by="speaker"
        ),
        model=UnimodalConfig(hidden=(64,), dense=(64,), dropout=0.4, pooling="mean"),
        training=TrainingConfig(epochs=40, class_weights="balanced", buckets=2),
    )
