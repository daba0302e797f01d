"""M. Schmitz' single-modality networks on CREMA-D as he trained them, faults included.

To set his table beside ours, not to build on.
Source: M. Schmitz, Multimodal Emotion Recognition (notebook). Parameters (kept statistics
included): 5,468,166 on MFCC (52-d, 356 steps), 5,324,806 on action units (17-d, 105 steps).
The corpus: as for unimodal_crema_d.
Command: python -m experiments.train unimodal_crema_d_original
    (acoustic; --data.modalities action_units: visual)
Cost: 7 s an update on MFCC, 3.5 s on action units (2 CPU cores); 41 make an epoch. An accelerator is wanted.
Expected, as he printed it (one run, 1558 test clips): acoustic macro F1 .340, accuracy .393,
balanced accuracy .390, micro ROC-AUC .76; visual .608, .608, .608, .89.

What is wrong in it, and right in unimodal_crema_d:
- Clips are divided singly, so every speaker of test is known from train; there by speaker.
- Features are not scaled; there by train's means and deviations.
- A frame of zeros counts as padding (Keras' Masking(0)), so a face at rest, with no action unit active, is
  skipped; there padding is known by length.
- One run. The 21 points of accuracy between the two are far more than chance.
He drew areas under precision-recall curves by trapezoids; reports here print average precision.
Not known from the notebook: his shares of train and dev, and whether AdaBelief was rectified (here it is not).
"""

from experiments.experiment import DataConfig, Experiment
from mer_jax.evaluation.protocol import ProtocolConfig
from mer_jax.models.unimodal import UnimodalConfig
from mer_jax.training.config import TrainingConfig
from mer_jax.training.optimizer import OptimizerConfig


def get_config() -> Experiment[UnimodalConfig]:
    """One bucket: every sequence is cut or padded to the .95 quantile of train's lengths."""
    return Experiment(
        data=DataConfig("crema_d", ("mfcc",), scaling="none", masks="nonzero"),
        protocol=ProtocolConfig(split="random", select="loss", resample_by="speaker"),
        model=UnimodalConfig(hidden=(512, 256), dense=(512, 512), dropout=0.8, batch_norm=True),
        training=TrainingConfig(
            epochs=100,
            batch_size=128,
            early_stop=20,
            buckets=1,
            length_quantile=0.95,
            optimizer=OptimizerConfig(
                name="adabelief",
                amsgrad=True,
                weight_decay=1e-3,
                clip=0.0,
                plateau_factor=0.8,
                plateau_patience=3,
                plateau_floor=3e-5,
            ),
        ),
    )
