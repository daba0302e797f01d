"""IEMOCAP as G. Cid Ornelas (ETH 2019) ran it: what was wrong with it is kept, by name.

Command: python -m experiments.train lexico_acoustic_iemocap_original --data-dir DIR --data.vectors glove.6B.300d.txt
Cost: hours on 2 cores. Not measured here: IEMOCAP comes by request.
Reported: accuracy .610 of 276 test utterances (audio alone .527, text alone .625), one seed.

Wrong, and corrected in lexico_acoustic_iemocap: [time, features] was reshaped where it was meant to be
transposed; padding was not masked; a random split shares speakers and dialogues.
"""

from experiments.experiment import DataConfig, Experiment
from mer_jax.data.builders.iemocap import IEMOCAP_4
from mer_jax.evaluation.protocol import ProtocolConfig
from mer_jax.models.lexico_acoustic import LexicoAcousticConfig
from mer_jax.nn.front_end import FrontEndConfig
from mer_jax.training.config import TrainingConfig
from mer_jax.training.optimizer import OptimizerConfig


def get_config() -> Experiment[LexicoAcousticConfig]:
    """Global attention, the attentional vector fed back as the decoder's state."""
    return Experiment(
        data=DataConfig(
            "iemocap",
            ("words", "waveform"),
            scaling="none",
            longest=("waveform=150000", "words=128"),
            vocabulary=4096,
        ),
        protocol=ProtocolConfig(
            split="random", fractions=(0.8, 0.15, 0.05), label_map=IEMOCAP_4, select="accuracy"
        ),
        model=LexicoAcousticConfig(
            main="words",
            auxiliary="waveform",
            front=FrontEndConfig(embedding=300, filters=(4, 8)),
            cell="gru",
            hidden=(200,),
            bidirectional=False,
            encoder="decoder",
            feedback="state",
            starts_from_auxiliary=True,
            score="concat",
            alignment="global",
            attention_size=200,
            dense=(),
            dropout=0.45,
            auxiliary_dropout=0.2,
            pooling="last",
            auxiliary_states="scrambled_by_reshape",
            masked=False,
        ),
        training=TrainingConfig(
            epochs=1000,
            batch_size=32,
            early_stop=0,
            buckets=1,
            optimizer=OptimizerConfig(learning_rate=3e-4, schedule="constant"),
        ),
    )
