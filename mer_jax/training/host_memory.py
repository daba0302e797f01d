"""Keeping freed memory on the host: XLA takes a step's temporaries anew at every step."""

import ctypes
import functools
import sys

# The parameters of glibc's mallopt(3).
M_TRIM_THRESHOLD, M_MMAP_MAX, M_ARENA_MAX = -1, -4, -8
LARGEST = 2**31 - 1


@functools.cache
def keep_freed_memory() -> bool:
    """Tells glibc's allocator to keep what is freed instead of giving it back to the system.

    Otherwise every training step on a CPU has its buffers (tens to hundreds of MiB) mapped,
    zeroed page by page and unmapped again, which measured up to half of its time
    (BENCHMARKS.md). To be called before JAX starts its threads, which settle on an allocator's
    arena each: later calls reach large buffers no more. The process then holds the largest amount it ever needed. Returns whether
    the allocator could be told; on other systems nothing changes.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:  # a C library without it
        return False
    settings = ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, LARGEST), (M_ARENA_MAX, 1))
    told = [mallopt(name, value) == 1 for name, value in settings]
    return all(told)
