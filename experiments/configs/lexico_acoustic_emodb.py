"""EmoDB, leave one speaker out: words attend to log-mel frames (or to the raw waveform).

Command: python -m experiments.train lexico_acoustic_emodb --data-dir DIR
         (--data.modalities words waveform --model.auxiliary waveform: the sound itself, convolved;
         --model.alignment forced --data.timed words: each word to its own frames)
Cost: two minutes on 2 cores (10 folds); the waveform ten times that.
Expected balanced accuracy: that of the audio alone. Each of the ten sentences is spoken in every
emotion, so the words tell nothing by design.
"""

from experiments.experiment import DataConfig, Experiment
from mer_jax.evaluation.protocol import ProtocolConfig
from mer_jax.models.lexico_acoustic import LexicoAcousticConfig
from mer_jax.nn.front_end import FrontEndConfig
from mer_jax.training.config import TrainingConfig


def get_config() -> Experiment[LexicoAcousticConfig]:
    """A GRU over words that attends to a window of a GRU's states over the audio."""
    return Experiment(
        data=DataConfig("emodb", ("words", "log_mel"), frames_per_step=4, vocabulary=128),
        protocol=ProtocolConfig(split="leave_one_speaker_out", select="loss", resample_by="speaker"),
        model=LexicoAcousticConfig(
            main="words",
            auxiliary="log_mel",
            front=FrontEndConfig(embedding=16, filters=(8, 32)),
            cell="gru",
            hidden=(64,),
            bidirectional=False,
            encoder="decoder",
            starts_from_auxiliary=True,
            score="general",
            alignment="window",
            width=16,
            half_width=8,
            attention_size=64,
            dropout=0.4,
        ),
        training=TrainingConfig(epochs=40, class_weights="balanced", buckets=2),
    )
