"""The tiled XLA implementation passes the tests of the definition, whatever its tiles."""

from kernels.attention import banded
from tests.kernels.attention.base import AttentionTests


class TestBanded(AttentionTests):
    attend = staticmethod(banded.attend)
    drawn = 8
