"""How much memory a call takes from the system, for code whose allocator keeps no books.

Needs nothing but Python: the programs of `benchmark_*_torch.py` use it in their own environment.
"""

import ctypes
import gc
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

STATUS, CLEAR_REFS = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def growth(run: Callable[[], Any], size: Callable[[Any], int]) -> int | None:
    """Bytes by which the peak of resident memory grows during a call, less those of its result.

    size: of the result, in bytes. Pages that the process has freed but still holds would not be
    counted: start it with MALLOC_MMAP_THRESHOLD_=65536, by which glibc gives back everything above
    64 KiB at once. The system's own books are exact to about 1 MiB. None where the system does
    not tell (it does on Linux with glibc).
    """
    if not sys.platform.startswith("linux"):
        return None
    gc.collect()
    try:
        ctypes.CDLL(None).malloc_trim(0)
        CLEAR_REFS.write_text("5")  # the peak is reset to what is resident now
    except (AttributeError, OSError):  # another C library, or a system that does not allow it
        return None
    before = _kib("VmRSS")
    result = run()
    return max(0, 1024 * (_kib("VmHWM") - before) - size(result))


def _kib(field: str) -> int:
    found = re.search(rf"{field}:\s+(\d+) kB", STATUS.read_text())
    assert found is not None
    return int(found[1])
