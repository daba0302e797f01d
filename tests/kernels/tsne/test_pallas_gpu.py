"""The GPU kernels of t-SNE: in Pallas' interpreter, and lowered for CUDA."""

import jax
import jax.numpy as jnp
import pytest
from jax._src.pallas.mosaic_gpu.interpret.params import InterpretGPUParams

from kernels import gpu_tiles
from kernels.tsne import calibrate, pallas
from kernels.tsne.pallas_gpu_calibration import Calibration
from kernels.tsne.pallas_gpu_pairs import Pairs
from tests.kernels.tsne.base import clusters, flat
from tests.kernels.tsne.pallas_base import LOWERED, PallasTests, lowered, mapped

# A copy from beyond an array gives zeros on a GPU.
INTERPRETED = InterpretGPUParams(out_of_bounds_reads="uninitialized", uninitialized_memory="zero")
KERNELS = pallas.Kernels(Pairs(), Calibration())


class TestInterpreted(PallasTests):
    """Copies, barriers and arithmetic as written; not layouts of registers."""

    kernels = pallas.Kernels(Pairs(interpret=INTERPRETED), Calibration(interpret=INTERPRETED))


@pytest.mark.parametrize("case", LOWERED, ids=str)
def test_lowers_for_cuda_to_one_kernel(case):
    assert lowered(KERNELS, case, "cuda").count("custom_call @mosaic_gpu") == 1


def test_vmap_lowers_for_cuda():
    assert mapped(KERNELS, "cuda").count("custom_call @mosaic_gpu") == 2


@pytest.mark.parametrize(
    ("generation", "served"), [(None, True), ("9.0", True), ("10.0", True), ("8.6", False)]
)
def test_gpus_that_cannot_copy_so_are_named(monkeypatch, generation, served):
    monkeypatch.setattr(gpu_tiles, "generation", lambda: generation)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    if served:
        assert pallas.kernels() == KERNELS
        return
    with pytest.raises(ValueError, match=r"the GPU is of compute capability 8\.6"):
        calibrate(jnp.asarray(flat(clusters(9))), 2.0, implementation="pallas")
