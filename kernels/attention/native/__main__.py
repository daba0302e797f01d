"""python -m kernels.attention.native: builds the library, or says why it cannot."""

import sys
import time

from kernels.attention.native import library


def main() -> int:
    """0 and where it is, or 1 and the reason."""
    began = time.perf_counter()
    try:
        path = library.build()
    except library.BuildError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"built {path} in {time.perf_counter() - began:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
