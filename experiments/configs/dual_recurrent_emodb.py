"""EmoDB, leave one speaker out: the last states of words and of log-mel frames (MDRE, Yoon et al. 2018).

Command: python -m experiments.train dual_recurrent_emodb --data-dir DIR
         (--model.attention by_audio: MDREA)
Cost: two minutes on 2 cores (10 folds). Expected balanced accuracy: that of the audio alone.
"""

from experiments.experiment import DataConfig, Experiment
from mer_jax.evaluation.protocol import ProtocolConfig
from mer_jax.models.dual_recurrent import DualRecurrentConfig
from mer_jax.nn.front_end import FrontEndConfig
from mer_jax.training.config import TrainingConfig


def get_config() -> Experiment[DualRecurrentConfig]:
    """GRUs of 64 units."""
    return Experiment(
        data=DataConfig("emodb", ("words", "log_mel"), frames_per_step=4, vocabulary=128),
        protocol=ProtocolConfig(split="leave_one_speaker_out", select="loss", resample_by="speaker"),
        model=DualRecurrentConfig(
            text="words", audio="log_mel", front=FrontEndConfig(embedding=16), hidden=64, dropout=0.4
        ),
        training=TrainingConfig(epochs=40, class_weights="balanced", buckets=2),
    )
