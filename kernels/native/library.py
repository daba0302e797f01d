"""Compiling, naming and loading the C++ libraries of the kernels.

A library lies in `build/native`, named by a hash of what it depends on: its source, the headers that
all share, the compiler's flags, jaxlib's version (which brings XLA's headers) and the processor.
"""

import ctypes
import dataclasses
import functools
import hashlib
import os
import platform
import shutil
import subprocess
import threading
from pathlib import Path

import jax

SHARED = Path(__file__).with_name("source")
BUILD = Path(__file__).resolve().parents[2] / "build" / "native"
FLAGS = ("-O3", "-std=c++17", "-fno-math-errno", "-ffp-contract=fast", "-fPIC", "-shared", "-pthread")
COMPILERS = ("c++", "g++", "clang++")
REGISTERING = threading.Lock()
LOADED: dict[str, ctypes.CDLL] = {}


class BuildError(RuntimeError):
    """The library could not be compiled or loaded: why, and what to do."""


@dataclasses.dataclass
class Library:
    """The library of one kernel.

    Attributes:
        kernel: its name; the passes are the C++ symbols <kernel>_<stage>.
        source: folder of its .cc and .h files.
        stages: its passes, known to XLA as <stage>_<library's name>.
        build_folder: where it lies.
        machine: what it is compiled for (-march).
    """

    kernel: str
    source: Path
    stages: tuple[str, ...]
    build_folder: Path = BUILD
    machine: str = "native"

    def name(self) -> str:
        """Of the library of the present source for this machine."""
        return f"{self.kernel}_{_hash(self.source, self.machine)}"

    def path(self) -> Path:
        """Where that library is, once it is built."""
        return self.build_folder / f"{self.name()}.so"

    def why_not(self) -> str | None:
        """Why there is none, or None."""
        if self.path().exists():
            return None
        return "it is not built for this machine: run `make native`, which needs a C++ compiler"

    def register(self, name: str) -> None:
        """Loads the library of that name, once in a process, and makes its passes known to XLA."""
        with REGISTERING:
            if name not in LOADED:
                LOADED[name] = self._load(self.build_folder / f"{name}.so")

    def _load(self, file: Path) -> ctypes.CDLL:
        try:
            loaded = ctypes.CDLL(str(file))
        except OSError as error:
            raise BuildError(f"{file} cannot be loaded ({error}): run `make native` once more") from error
        for stage in self.stages:
            capsule = jax.ffi.pycapsule(getattr(loaded, f"{self.kernel}_{stage}"))
            jax.ffi.register_ffi_target(f"{stage}_{file.stem}", capsule, platform="cpu")
        return loaded

    def build(self) -> Path:
        """Compiles the library for this machine; the file appears only when it is whole.

        Raises:
            BuildError: there is no C++ compiler, or it does not compile the source.
        """
        found = compiler()
        if found is None:
            raise BuildError(
                f"no C++ compiler: none of {', '.join(COMPILERS)} is on the PATH, nor is CXX set to one; "
                "install g++ or clang++ (without the libraries the kernels run through XLA)"
            )
        self.build_folder.mkdir(parents=True, exist_ok=True)
        unfinished = self.path().with_suffix(f".{os.getpid()}")
        command = [found, *FLAGS, f"-march={self.machine}", f"-I{SHARED}", "-isystem", jax.ffi.include_dir()]
        result = subprocess.run(
            [*command, *map(str, sorted(self.source.glob("*.cc"))), "-o", str(unfinished)],
            capture_output=True,
            text=True,
        )
        if result.returncode:
            raise BuildError(f"{found} does not compile {self.source}:\n{result.stderr.strip()}")
        unfinished.replace(self.path())
        return self.path()


@functools.cache
def _processor() -> str:
    """What the compiler may assume of this machine."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    known = {line for line in lines if line.startswith(("flags", "Features", "model name"))}
    return "\n".join([platform.machine(), platform.processor(), *sorted(known)])


@functools.cache
def _hash(source: Path, machine: str) -> str:
    files = [*sorted(source.iterdir()), *sorted(SHARED.iterdir())]
    parts = [file.read_text() for file in files if file.suffix in (".h", ".cc")]
    parts += [*FLAGS, machine, jax.lib.__version__, _processor()]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def compiler() -> str | None:
    """The C++ compiler: $CXX, or the first known one on the PATH."""
    wanted = (os.environ.get("CXX"), *COMPILERS)
    return next((found for name in wanted if name and (found := shutil.which(name))), None)
