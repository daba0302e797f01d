"""Tests run strict: four virtual devices, no silent promotion of types or ranks.

Programs are compiled once for all of a session's processes: the workers of `pytest -n` and the scripts that
tests start share a folder of compiled programs, which is made anew each time.
"""

import os
import shutil
import tempfile

os.environ["JAX_PLATFORMS"] = os.environ.get("JAX_PLATFORMS", "cpu")
FAST_TO_COMPILE = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
os.environ["XLA_FLAGS"] = " ".join(
    [os.environ.get("XLA_FLAGS", ""), "--xla_force_host_platform_device_count=4", FAST_TO_COMPILE]
)
OWN_PROGRAMS = "JAX_COMPILATION_CACHE_DIR" not in os.environ  # workers find their controller's
if OWN_PROGRAMS:
    os.environ["JAX_COMPILATION_CACHE_DIR"] = tempfile.mkdtemp(prefix="mer_jax_programs_")
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.1"
    os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "0"

import jax  # noqa: E402
import pytest  # noqa: E402

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")


def pytest_unconfigure():
    """The last thing: the folder of programs goes."""
    if OWN_PROGRAMS:
        shutil.rmtree(os.environ["JAX_COMPILATION_CACHE_DIR"], ignore_errors=True)


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
