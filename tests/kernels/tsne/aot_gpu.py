"""Compile t-SNE's GPU kernels for an H100 without having one, and check what came out.

    JAX_PLATFORMS=cpu python -m tests.kernels.tsne.aot_gpu

in the environment of tests/kernels/attention/aot_gpu.py. Exits 1 where a kernel spills registers,
takes more of the special-function unit than its formulas need, or divides for each pair.
"""

import sys

from tests.kernels import aot_gpu
from tests.kernels.tsne.aot import CASES, Case

PAIRS, ROWS = 16, 2  # of a tile, for each thread


def compile_case(case: Case) -> None:
    """Compile the case."""
    import jax
    import jax.numpy as jnp

    from kernels.tsne.pallas import Kernels
    from kernels.tsne.pallas_gpu_calibration import Calibration
    from kernels.tsne.pallas_gpu_pairs import Pairs

    def array(*sizes, dtype=jnp.float32):
        return jax.ShapeDtypeStruct(sizes, dtype)

    function, shapes = case.traced(Kernels(Pairs(), Calibration()), array)
    aot_gpu.compile_for_h100(function, *shapes)


def faults(case: Case, found: dict[str, dict[str, int]]) -> list[str]:
    """What is not as expected."""
    if len(found) != 1:
        return [f"kernels compiled: {sorted(found)}, wanted one"]
    (counts,) = found.values()
    wrong = [f"{counts['spilled']} bytes spilled"] if counts["spilled"] else []
    if case.what.startswith("calibrate"):
        wanted = {"exp": 2 * PAIRS + 2 * ROWS, "log": ROWS + 1}
        most_divisions = 10 * ROWS
    else:
        exponentials = (2 if case.what == "streamed" else 0) + (0 if case.v == 1 else 1)
        logarithms = 0 if case.what == "sparse" and case.v == 1 else 1
        wanted = {"rsqrt": PAIRS, "exp": exponentials * PAIRS, "log": logarithms * PAIRS}
        most_divisions = 0
    wrong += [f"{counts[x]} {x}, wanted {count}" for x, count in wanted.items() if counts[x] != count]
    if counts["division"] > most_divisions:
        wrong.append(f"{counts['division']} divisions, allowed {most_divisions}: those of numbers of rows")
    return wrong


if __name__ == "__main__":
    if len(sys.argv) == 1:
        sys.exit(aot_gpu.main("tests.kernels.tsne.aot_gpu", CASES, faults))
    compile_case(CASES[int(sys.argv[1])])
