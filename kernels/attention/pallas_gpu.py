"""Pallas kernels for GPUs (Mosaic GPU)."""

from kernels.attention.alignment import Ranges
from kernels.attention.reference import Inputs


def why_not(inputs: Inputs, ranges: Ranges) -> str | None:
    """Why this implementation cannot serve the call, or None."""
    return "it is not built yet"
