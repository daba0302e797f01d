"""Tests run strict: four virtual devices, no silent promotion of types or ranks."""

import os

os.environ["JAX_PLATFORMS"] = os.environ.get("JAX_PLATFORMS", "cpu")
FAST_TO_COMPILE = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
os.environ["XLA_FLAGS"] = " ".join(
    [os.environ.get("XLA_FLAGS", ""), "--xla_force_host_platform_device_count=4", FAST_TO_COMPILE]
)

import jax  # noqa: E402
import pytest  # noqa: E402

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.fixture(scope="session")
def data_dir():
    """The folder of real data sets, or a skip that says why."""
    from pathlib import Path

    if not os.environ.get("MER_DATA"):
        pytest.skip("MER_DATA is not set: this test reads real data, which is not in the repository")
    return Path(os.environ["MER_DATA"])


@pytest.fixture(autouse=True, scope="module")
def programs_are_dropped():
    """Each compiled program maps memory, of which the system gives a process a limited number of
    pieces (65,530 on Linux by default); compilation beyond it ends in a segmentation fault."""
    yield
    jax.clear_caches()
