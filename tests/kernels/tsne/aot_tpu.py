"""Compile t-SNE's TPU kernels ahead of time, without a TPU, and check what comes out.

    JAX_PLATFORMS=cpu python -m tests.kernels.tsne.aot_tpu [chip ...]

in the environment of tests/kernels/attention/aot_tpu.py. Exits with 1 where a kernel does not come
down to bundles, or takes more of them for a register of 1024 pairs than bounded below.
"""

import re
import sys
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import SingleDeviceSharding

from kernels.tsne.pallas import Kernels
from kernels.tsne.pallas_tpu_calibration import Calibration, why_not_rows
from kernels.tsne.pallas_tpu_pairs import TILE, Pairs
from kernels.tsne.shapes import SHAPES
from tests.kernels import aot_tpu
from tests.kernels.tsne.aot import CASES, Case

CHIPS = ("v5e", "v6e")
KERNELS = ("tsne_calibrate", "tsne_pairs")


def compiled(case: Case, device: Any) -> str:
    """The bundles of the case's one kernel."""
    sharding = SingleDeviceSharding(device)

    def array(*sizes, dtype=jnp.float32):
        return jax.ShapeDtypeStruct(sizes, dtype, sharding=sharding)

    function, shapes = case.traced(Kernels(Pairs(), Calibration(), why_not_rows), array)
    jax.jit(function).trace(*shapes).lower(lowering_platforms=("tpu",)).compile()
    (text,) = aot_tpu.bundles(KERNELS).values()
    return text


def bundles_per_register(text: str) -> float:
    """Bundles of the loop over columns for 1024 pairs."""
    loop = re.findall(r"^ *0x[0-9a-f]+ .*: >> \{", text, re.M)
    return len(loop) / (TILE * Pairs().rows / 1024)


def most_bundles(case: Case) -> float:
    """Some 10 to 25 for maps of one to three dimensions, and more for each coordinate that is streamed."""
    streamed = SHAPES[case.shape].d if case.what == "streamed" else 0
    return 30 + 1.5 * streamed


def main(chips: list[str]) -> int:
    """Compile all cases for the chips."""
    failed = False
    for chip in chips or CHIPS:
        device = aot_tpu.device(chip)
        for case in CASES:
            text = compiled(case, device)
            taken = 0.0 if case.what.startswith("calibrate") else bundles_per_register(text)
            wrong = not text or taken > most_bundles(case)
            failed |= wrong
            print(
                chip, case, f"bundles {aot_tpu.length(text)}, of 1024 pairs {taken:.1f}",
                "FAILED" if wrong else "ok", flush=True,
            )  # fmt: skip
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
