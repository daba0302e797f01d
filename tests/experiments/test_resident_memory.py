"""Memory that a process holds, measured from outside of what Python counts."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from experiments import benchmark_attention as benchmark

ROOT = Path(__file__).parents[2]


def test_resident_memory_counts_what_a_call_touches_and_not_what_it_returns():
    program = (
        "from experiments.resident_memory import growth\n"
        "mib = 1 << 20\n"
        "print(growth(lambda: len(b'x' * (64 * mib)), lambda _: 0), growth(lambda: b'x' * (64 * mib), len))"
    )
    environment = os.environ | benchmark.GIVEN_BACK
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT, env=environment
    )
    if sys.platform.startswith("linux"):
        temporary, returned = (int(word) / 2**20 for word in done.stdout.split())
        assert temporary == pytest.approx(64, abs=2)
        assert returned == pytest.approx(0, abs=2)
    else:
        assert done.stdout.split() == ["None", "None"]
