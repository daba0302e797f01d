"""M. Schmitz' late fusion on CREMA-D as he trained it, faults included.

To set his table beside ours, not to build on.
Source: M. Schmitz, Multimodal Emotion Recognition (notebook). Parameters (kept statistics
included): 5,468,166 + 5,324,806.
The corpus: as for late_fusion_crema_d.
Command: python -m experiments.train late_fusion_crema_d_original
Cost: 11 s an update on 2 CPU cores; 41 make an epoch. An accelerator is wanted.
Expected, as he printed it (one run, 1558 test clips): macro F1 .639, accuracy .638, balanced accuracy
.637, micro ROC-AUC .90.

What is wrong in it, and right in late_fusion_crema_d:
- Clips are divided singly, so every speaker of test is known from train; there by speaker.
- Features are not scaled; there by train's means and deviations.
- A frame of zeros counts as padding (Keras' Masking(0)), so a face at rest, with no action unit active, is
  skipped; there padding is known by length.
- One run. Early fusion's lead over late, 2.3 points of macro F1 with a standard error of 1.2, is not shown
  to be more than chance; there train several seeds (--seed).
Unlike his, the two networks share their epochs: learning rate, early stop and best epoch follow the fused dev
loss, where he trained each to its own end and then averaged.
He drew areas under precision-recall curves by trapezoids; reports here print average precision.
Not known from the notebook: his shares of train and dev, and whether AdaBelief was rectified (here it is not).
"""

from experiments.experiment import DataConfig, Experiment
from mer_jax.evaluation.protocol import ProtocolConfig
from mer_jax.models.late_fusion import LateFusionConfig
from mer_jax.training.config import TrainingConfig
from mer_jax.training.optimizer import OptimizerConfig


def get_config() -> Experiment[LateFusionConfig]:
    """One bucket: every sequence is cut or padded to the .95 quantile of train's lengths."""
    return Experiment(
        data=DataConfig("crema_d", ("mfcc", "action_units"), scaling="none", masks="nonzero"),
        protocol=ProtocolConfig(split="random", select="loss", resample_by="speaker"),
        model=LateFusionConfig(hidden=(512, 256), dense=(512, 512), dropout=0.8, batch_norm=True),
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
