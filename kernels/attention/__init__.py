"""Attention over ranges of keys: global, windowed, local, predicted, forced; dot and additive."""

from kernels.attention.alignment import Forced, Global, LocalMonotonic, LocalPredictive, SlidingWindow
from kernels.attention.api import Weights, attend

__all__ = ["Forced", "Global", "LocalMonotonic", "LocalPredictive", "SlidingWindow", "Weights", "attend"]
