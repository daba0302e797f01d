"""IEMOCAP, leave one session out: MDRE of Yoon, Byun and Jung (SLT 2018), and MDREA by a flag.

Command: python -m experiments.train dual_recurrent_iemocap --data-dir DIR
         (--model.attention by_audio: MDREA)
Cost: an hour on 2 cores. Not measured here: IEMOCAP comes by request.
Reported with random splits: MDRE .718, MDREA .690 weighted accuracy.
"""

from experiments.experiment import DataConfig, Experiment
from mer_jax.data.builders.iemocap import IEMOCAP_4
from mer_jax.evaluation.protocol import ProtocolConfig
from mer_jax.models.dual_recurrent import DualRecurrentConfig
from mer_jax.nn.front_end import FrontEndConfig
from mer_jax.training.config import TrainingConfig


def get_config() -> Experiment[DualRecurrentConfig]:
    """Last states of a GRU over words and of one over cepstra and prosody."""
    return Experiment(
        data=DataConfig("iemocap", ("words", "mfcc"), longest=("mfcc=750", "words=128"), vocabulary=4096),
        protocol=ProtocolConfig(
            split="leave_one_session_out", label_map=IEMOCAP_4, select="balanced_accuracy"
        ),
        model=DualRecurrentConfig(
            text="words", audio="mfcc", front=FrontEndConfig(embedding=100), hidden=200, dropout=0.3
        ),
        training=TrainingConfig(epochs=50),
    )
