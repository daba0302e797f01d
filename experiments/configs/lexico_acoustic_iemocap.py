"""IEMOCAP, leave one session out: the lexico-acoustic fusion of G. Cid Ornelas (ETH 2019), built right.

Command: python -m experiments.train lexico_acoustic_iemocap --data-dir DIR
         (--data.vectors glove.6B.100d.txt: pretrained words; --model.feedback input or state;
         --model.alignment forced --data.timed words: each word to its own sound)
Cost: hours on 2 cores, minutes on an accelerator. Not measured here: IEMOCAP comes by request.
Reported with a random split and one seed: audio .527, text .625, both .610 (n = 276).
"""

from experiments.experiment import DataConfig, Experiment
from mer_jax.data.builders.iemocap import IEMOCAP_4
from mer_jax.evaluation.protocol import ProtocolConfig
from mer_jax.models.lexico_acoustic import LexicoAcousticConfig
from mer_jax.nn.front_end import FrontEndConfig
from mer_jax.training.config import TrainingConfig
from mer_jax.training.optimizer import OptimizerConfig


def get_config() -> Experiment[LexicoAcousticConfig]:
    """Words attend to a window of the waveform's states; nothing is fed back, all words at once."""
    return Experiment(
        data=DataConfig(
            "iemocap", ("words", "waveform"), longest=("waveform=150000", "words=128"), vocabulary=4096
        ),
        protocol=ProtocolConfig(
            split="leave_one_session_out", label_map=IEMOCAP_4, select="balanced_accuracy"
        ),
        model=LexicoAcousticConfig(
            main="words",
            auxiliary="waveform",
            front=FrontEndConfig(embedding=100, filters=(4, 8)),
            cell="gru",
            hidden=(200,),
            bidirectional=False,
            encoder="decoder",
            starts_from_auxiliary=True,
            score="concat",
            alignment="window",
            width=16,
            half_width=8,
            attention_size=200,
            dense=(),
            dropout=0.45,
            auxiliary_dropout=0.2,
            pooling="last",
        ),
        training=TrainingConfig(
            epochs=100, batch_size=32, early_stop=20, optimizer=OptimizerConfig(learning_rate=3e-4)
        ),
    )
