r"""Words of the generated corpus attend to its audio.

Source: G. Cid Ornelas, lexico-acoustic attention fusion (ETH 2019), without feedback, on features.
Command: python -m experiments.train lexico_acoustic_generated
    python -m experiments.prepare_data generated --name lagged --options.preset lagged --options.dialogues 1500 \
        --options.speakers 100
    python -m experiments.train lexico_acoustic_generated --data.corpus lagged
    python -m experiments.train lexico_acoustic_generated --data.corpus lagged --model.alignment local_p
    python -m experiments.compare_alignments generated --seeds 10
Cost: about a minute on 2 cores; on `lagged`, whose audio must be found, three to five.
Expected on `lagged`, seed 0: accuracy .72 with either alignment, .50 with global; .91 (window) and .92 (local_p)
    of the attention within one word of the true span, where even attention has .50 and .48. 200
    dialogues are too few: the model learns them by heart before it finds the audio of a word.
"""

from experiments.experiment import DataConfig, Experiment
from mer_jax.evaluation.protocol import ProtocolConfig
from mer_jax.models.lexico_acoustic import LexicoAcousticConfig
from mer_jax.training.config import TrainingConfig
from mer_jax.training.optimizer import OptimizerConfig


def get_config() -> Experiment[LexicoAcousticConfig]:
    """General score; every word and every frame encoded for itself, so that the audio a word finds
    is its own. With recurrent words all of them look for the one that tells."""
    return Experiment(
        data=DataConfig("generated", ("text", "audio")),
        protocol=ProtocolConfig(select="loss"),
        model=LexicoAcousticConfig(
            hidden=(32,),
            encoder="dense",
            auxiliary_encoder="dense",
            score="general",
            alignment="window",
            width=40,
            half_width=24,
            relative_position=True,
            dense=(32,),
            dropout=0.1,
        ),
        training=TrainingConfig(epochs=35, optimizer=OptimizerConfig(schedule="constant")),
    )
