"""python -m kernels.native: builds the libraries, or says why it cannot."""

import sys
import time
from collections.abc import Sequence

import kernels.attention.native
import kernels.memory.native
import kernels.tsne.native
from kernels.native.library import BuildError, Library

LIBRARIES = tuple(
    kernel.library for kernel in (kernels.attention.native, kernels.memory.native, kernels.tsne.native)
)


def main(libraries: Sequence[Library] = LIBRARIES) -> int:
    """0 and where they are, or 1 and the reason."""
    for library in libraries:
        began = time.perf_counter()
        try:
            path = library.build()
        except BuildError as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
        print(f"built {path} in {time.perf_counter() - began:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
