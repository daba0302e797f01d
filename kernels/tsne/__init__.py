"""t-SNE's kernels: calibration of affinities to a perplexity, joint affinities, KL divergence with its gradient."""

from kernels.tsne.api import at_precisions, calibrate, calibrate_points, joint, kl_divergence
from kernels.tsne.results import Conditional, DenseJoint, PointConditional, SparseJoint, StreamedJoint

__all__ = [
    "Conditional",
    "DenseJoint",
    "PointConditional",
    "SparseJoint",
    "StreamedJoint",
    "at_precisions",
    "calibrate",
    "calibrate_points",
    "joint",
    "kl_divergence",
]
