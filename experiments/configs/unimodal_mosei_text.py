"""The words of CMU-MOSEI, an LSTM to six emotion intensities.

Source: the emotion space of gacka.space compares KNN and LSTM regressors on these intensities.
Corpus: Zadeh et al., ACL 2018. Transcripts exist for the official valid and test parts alone, so these are
divided anew by video: no score here compares with the official test's.
Command: python -m experiments.train unimodal_mosei_text --data.vectors glove.6B.50d.txt --data-dir DIR
         python -m experiments.emotion_predictors neighbours unimodal_mosei_text --data.vectors glove.6B.50d.txt --data-dir DIR
         (the same data without a network; `ridge` for a linear model)
Cost: a minute on 2 cores, all three seeds of BENCHMARKS.md in less than two. Expected MAE .19 (the train median: .15).
"""

from experiments.experiment import DataConfig, Experiment
from mer_jax.evaluation.protocol import ProtocolConfig
from mer_jax.models.unimodal import UnimodalConfig
from mer_jax.nn.front_end import FrontEndConfig
from mer_jax.training.config import TrainingConfig

EMOTIONS = ("happiness", "sadness", "anger", "surprise", "disgust", "fear")


def get_config() -> Experiment[UnimodalConfig]:
    """It reads forwards only, so that what it says after each word knows no later one."""
    return Experiment(
        data=DataConfig("mosei_text", ("words",), longest=("words=64",), vocabulary=8192),
        protocol=ProtocolConfig(split="dialogue", task="regression", intensities=EMOTIONS),
        model=UnimodalConfig(
            hidden=(64,),
            dense=(64,),
            dropout=0.3,
            bidirectional=False,
            front=FrontEndConfig(embedding=50, trained=False),
        ),
        training=TrainingConfig(epochs=40),
    )
