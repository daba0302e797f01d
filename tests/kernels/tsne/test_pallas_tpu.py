"""The TPU kernels of t-SNE: by the interpreter, in small blocks, and lowered for a TPU in those they run in."""

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import AbstractDevice, AbstractMesh

from kernels.tsne import calibrate, calibrate_points, pallas
from kernels.tsne import pallas_tpu_calibration as calibration
from kernels.tsne.pallas_tpu_pairs import Pairs
from tests.kernels.tsne.pallas_base import LOWERED, PallasTests, lowered, mapped

KERNELS = pallas.Kernels(Pairs(), calibration.Calibration(), calibration.why_not_rows)


class TestInterpreted(PallasTests):
    """Blocks of 32 x 16, so that the cases walk over several."""

    kernels = pallas.Kernels(
        Pairs(rows=32, columns=16, interpret=True),
        calibration.Calibration(interpret=True),
        calibration.why_not_rows,
    )


def on_tpu(kind: str = "TPU v5 lite"):
    device = AbstractDevice(device_kind=kind, num_cores=1, platform="tpu")
    return jax.sharding.use_abstract_mesh(AbstractMesh((), (), abstract_device=device))


@pytest.mark.parametrize("case", LOWERED, ids=str)
def test_lowers_for_a_tpu_to_one_kernel(case):
    with on_tpu():
        assert lowered(KERNELS, case, "tpu").count("custom_call @tpu_custom_call") == 1


def test_vmap_lowers_for_a_tpu():
    with on_tpu():
        assert mapped(KERNELS, "tpu").count("custom_call @tpu_custom_call") == 2


@pytest.mark.parametrize(
    ("coordinates", "weights", "most"),
    [(None, None, 91_648), (None, "of each entry", 65_536), (6, None, 91_648), (50, None, 26_624)],
)
def test_longest_rows_fit_and_longer_ones_are_named(coordinates, weights, most):
    weights = None if weights is None else jax.ShapeDtypeStruct((8, most), jnp.float32)
    assert calibration.why_not_rows(most, coordinates, weights) is None
    reason = calibration.why_not_rows(most + 1, coordinates, weights)
    assert reason == (f"a row has {most + 1} entries; vector memory holds blocks of 8 rows of at most {most}")


def test_rows_too_long_raise_before_anything_is_computed(monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "tpu")
    shape = jax.ShapeDtypeStruct((200_000, 6), jnp.float32)
    with pytest.raises(ValueError, match=r"cannot serve: a row has 200000 entries.*leave it out or use"):
        jax.eval_shape(lambda x: calibrate_points(x, 30.0, implementation="pallas"), shape)
    assert jax.eval_shape(
        lambda d: calibrate(d, 30.0, implementation="pallas"), jax.ShapeDtypeStruct((64, 64), jnp.float32)
    ).beta.shape == (64,)
