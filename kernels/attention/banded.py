"""Attention over ranges in XLA."""

from kernels.attention.reference import attend

__all__ = ["attend"]
