"""The tiled XLA implementation passes the tests of the definition, whatever its tiles."""

import pytest

from kernels.attention import banded, differentiable
from tests.kernels.attention.base import CASES, SCORES, AttentionTests, problem

READ_ON = ("global_ragged", "global_holes", "local_p_ragged", "forced_anywhere", "window_wider_than_keys")


class TestBanded(AttentionTests):
    attend = staticmethod(banded.attend)
    drawn = 8


class InSmallChunks(AttentionTests):
    """Tiles of 4 queries that read 8 keys at a time."""

    @staticmethod
    def attend(inputs, ranges, sigma):
        return differentiable.attend(banded.Kernel(4, 8, once=False), sigma, inputs, ranges)


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("case", [case for case in CASES if case.name in READ_ON], ids=lambda case: case.name)
def test_a_softmax_over_many_chunks_is_that_over_all_of_them(case, score):
    InSmallChunks().agrees(*problem(case, score))
