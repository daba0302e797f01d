"""Compiling, naming and loading the C++ library of attention.

It lies in `build/native`, named by a hash of what it depends on: its source, the compiler's flags,
jaxlib's version (which brings the headers) and the processor.
"""

import ctypes
import functools
import hashlib
import os
import platform
import shutil
import subprocess
import threading
from pathlib import Path

import jax

SOURCE = Path(__file__).with_name("source")
BUILD = Path(__file__).resolve().parents[3] / "build" / "native"
MACHINE = "native"  # -march
FLAGS = ("-O3", "-std=c++17", "-fno-math-errno", "-ffp-contract=fast", "-fPIC", "-shared", "-pthread")
COMPILERS = ("c++", "g++", "clang++")
STAGES = ("forward", "backward", "step_forward", "step_backward")
REGISTERING = threading.Lock()


class BuildError(RuntimeError):
    """The library could not be compiled or loaded: why, and what to do."""


@functools.cache
def _processor() -> str:
    """What the compiler may assume of this machine."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    known = {line for line in lines if line.startswith(("flags", "Features", "model name"))}
    return "\n".join([platform.machine(), platform.processor(), *sorted(known)])


@functools.cache
def _hash(machine: str) -> str:
    parts = [file.read_text() for file in sorted(SOURCE.iterdir()) if file.suffix in (".h", ".cc")]
    parts += [*FLAGS, machine, jax.lib.__version__, _processor()]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def name() -> str:
    """Of the library of the present source for this machine."""
    return f"attention_{_hash(MACHINE)}"


def path() -> Path:
    """Where that library is, once it is built."""
    return BUILD / f"{name()}.so"


@functools.cache
def _load(library: str) -> ctypes.CDLL:
    """All passes registered with XLA under the library's name."""
    file = BUILD / f"{library}.so"
    try:
        loaded = ctypes.CDLL(str(file))
    except OSError as error:
        raise BuildError(f"{file} cannot be loaded ({error}): run `make native` once more") from error
    for stage in STAGES:
        capsule = jax.ffi.pycapsule(getattr(loaded, f"attention_{stage}"))
        jax.ffi.register_ffi_target(f"{stage}_{library}", capsule, platform="cpu")
    return loaded


def register(library: str) -> None:
    """Loads a library, once in a process, and makes its passes known to XLA."""
    with REGISTERING:
        _load(library)


def compiler() -> str | None:
    """The C++ compiler: $CXX, or the first known one on the PATH."""
    wanted = (os.environ.get("CXX"), *COMPILERS)
    return next((found for name in wanted if name and (found := shutil.which(name))), None)


def build() -> Path:
    """Compiles the library for this machine; the file appears only when it is whole.

    Raises:
        BuildError: there is no C++ compiler, or it does not compile the source.
    """
    found = compiler()
    if found is None:
        raise BuildError(
            f"no C++ compiler: none of {', '.join(COMPILERS)} is on the PATH, nor is CXX set to one; "
            "install g++ or clang++ (without the library attention runs through XLA)"
        )
    BUILD.mkdir(parents=True, exist_ok=True)
    unfinished = path().with_suffix(f".{os.getpid()}")
    command = [found, *FLAGS, f"-march={MACHINE}", "-isystem", jax.ffi.include_dir()]
    result = subprocess.run(
        [*command, *map(str, sorted(SOURCE.glob("*.cc"))), "-o", str(unfinished)],
        capture_output=True,
        text=True,
    )
    if result.returncode:
        raise BuildError(f"{found} does not compile {SOURCE}:\n{result.stderr.strip()}")
    unfinished.replace(path())
    return path()
