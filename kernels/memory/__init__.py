"""The time loop of the Memory Fusion Network."""

from kernels.memory.api import IMPLEMENTATIONS, run
from kernels.memory.loop import Outputs, Weights

__all__ = ["IMPLEMENTATIONS", "Outputs", "Weights", "run"]
