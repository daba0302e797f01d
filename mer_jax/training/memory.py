"""How many trainings fit into memory at once."""

import os
import re
from pathlib import Path

import jax

from mer_jax.data.batching import Batch
from mer_jax.errors import InputError
from mer_jax.training.program import Program
from mer_jax.training.state import TrainState

SHARE = 0.85
GIB = 2**30
MEMINFO = Path("/proc/meminfo")


def available_bytes(device: jax.Device) -> int | None:
    """What may be allocated: on an accelerator what is left of its memory, on a CPU what the
    system counts as available; None where neither is known."""
    stats = device.memory_stats()
    if stats and "bytes_limit" in stats:
        return stats["bytes_limit"] - stats["bytes_in_use"]
    return _host_bytes() if device.platform == "cpu" else None


def _host_bytes() -> int | None:
    """On Linux `MemAvailable`, which counts the page cache that gives way; else free pages."""
    if MEMINFO.exists() and (found := re.search(r"^MemAvailable: +(\d+) kB", MEMINFO.read_text(), re.M)):
        return int(found[1]) * 1024
    if "SC_AVPHYS_PAGES" in os.sysconf_names:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return None


def members_at_once(
    program: Program, state: TrainState, batch: Batch, members: int, limit: int | None = None
) -> tuple[int, int]:
    """How many of `members` trainings to run together, and the bytes their step takes.

    state, batch: of one training; the batch of the largest padded shape. limit: bytes; None:
    `available_bytes` of the program's first device, shared by CPU devices. All members where
    they fit into .85 of it, otherwise equal groups that do.
    Raises InputError where not even one training fits.
    """
    device = program.parallel.devices[0]
    if limit is None and (found := available_bytes(device)) is not None:
        limit = int(SHARE * found) // (program.parallel.count if device.platform == "cpu" else 1)
    at_once, needed = members, program.memory(state, batch, members)
    while limit is not None and needed > limit:
        if at_once == 1:
            raise InputError(
                f"one training step takes {needed / GIB:.2f} GiB and {limit / GIB:.2f} GiB may be used; lower "
                "training.batch_size or training.length_quantile, or raise --memory-gib"
            )
        fitting = min(max(limit * at_once // needed, 1), at_once - 1)
        at_once = -(-members // -(-members // fitting))
        needed = program.memory(state, batch, at_once)
    return at_once, needed
