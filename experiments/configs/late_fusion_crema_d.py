"""M. Schmitz' network on CREMA-D at its full size: MFCC (52-d) and action units (17-d).

Source: M. Schmitz, Multimodal Emotion Recognition (notebook). Parameters (kept statistics included): 5,468,166 + 5,324,806.
The corpus comes from the distribution's sound and your own run of OpenFace: python -m
experiments.prepare_data crema_d --data-dir DATA says what it wants where.
Command: python -m experiments.train late_fusion_crema_d
Cost: an accelerator is wanted.
"""

from experiments.experiment import DataConfig, Experiment
from mer_jax.evaluation.protocol import ProtocolConfig
from mer_jax.models.late_fusion import LateFusionConfig
from mer_jax.training.config import TrainingConfig
from mer_jax.training.optimizer import OptimizerConfig


def get_config() -> Experiment[LateFusionConfig]:
    """Features scaled on train and true masks, unlike the original; speakers kept apart."""
    return Experiment(
        data=DataConfig("crema_d", ("mfcc", "action_units")),
        protocol=ProtocolConfig(split="speaker", select="loss", resample_by="speaker"),
        model=LateFusionConfig(hidden=(512, 256), dense=(512, 512), dropout=0.8, batch_norm=True),
        training=TrainingConfig(
            epochs=100,
            batch_size=128,
            early_stop=20,
            length_quantile=0.95,
            optimizer=OptimizerConfig(
                name="adabelief",
                weight_decay=1e-3,
                plateau_factor=0.8,
                plateau_patience=3,
                plateau_floor=3e-5,
            ),
        ),
    )
