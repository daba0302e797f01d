"""Compile the GPU kernels for an H100 without having one, and check what came out.

    JAX_PLATFORMS=cpu python -m tests.kernels.attention.aot_gpu

in an environment with jax-cuda13-plugin and jax-cuda13-pjrt of jaxlib's version. Prints registers
and spills of each kernel as ptxas tells them and the instructions that matter in its PTX; exits 1
where an expectation fails. (An H200 is the same chip with more memory.)
"""

import dataclasses
import sys

from tests.kernels import aot_gpu

PASSES = ("forward", "of_queries", "of_keys")
SPILLED = 256  # bytes a thread, allowed where accumulators of 128 features fill the registers


@dataclasses.dataclass(frozen=True)
class Case:
    """One compilation: forward and both passes of the backward."""

    score: str
    dtype: str
    features: int
    columns: int = 64

    @property
    def spilled(self) -> int:
        return SPILLED if self.features == 128 and self.dtype == "float32" else 0


CASES = [
    Case(score, dtype, features) for score in ("dot", "additive") for dtype in ("bfloat16", "float32")
    for features in (64, 128)
] + [Case("dot", "bfloat16", 64, columns=32)]  # fmt: skip


def compile_case(case: Case) -> None:
    """Compile value and gradients."""
    import jax
    import jax.numpy as jnp

    from kernels.attention import differentiable, pallas_gpu
    from kernels.attention.alignment import Ranges
    from kernels.attention.reference import Inputs

    kernel = pallas_gpu.Kernel(columns=case.columns)

    def loss(inputs, centre, start, end):
        context = differentiable.attend(kernel, 4.0, inputs, Ranges(start, end, centre))
        return context.astype(jnp.float32).sum()

    dtype, (batch, length) = jnp.dtype(case.dtype), (2, 256)
    array = jax.ShapeDtypeStruct((batch, length, case.features), dtype)
    vector = jax.ShapeDtypeStruct((case.features,), dtype) if case.score == "additive" else None
    centre = jax.ShapeDtypeStruct((batch, length), jnp.float32)
    edge = jax.ShapeDtypeStruct((batch, length), jnp.int32)
    gradients = jax.value_and_grad(loss, argnums=(0, 1))
    aot_gpu.compile_for_h100(gradients, Inputs(array, array, array, vector), centre, edge, edge)


def faults(case: Case, found: dict[str, dict[str, int]]) -> list[str]:
    """What is not as expected."""
    found = {name.split("_attention_")[1]: counts for name, counts in found.items()}
    if set(found) != set(PASSES):
        return [f"kernels compiled: {sorted(found)}, wanted {sorted(PASSES)}"]
    wrong = []
    for name, counts in found.items():
        if not counts["wgmma"]:
            wrong.append(f"{name}: no matrix instruction")
        if counts["spilled"] > case.spilled:
            wrong.append(f"{name}: {counts['spilled']} bytes spilled, allowed {case.spilled}")
        if (counts["rsqrt"] > 0) != (case.score == "additive") or counts["tanh"]:
            wrong.append(f"{name}: {counts['rsqrt']} rsqrt.approx, {counts['tanh']} tanh")
    return wrong


if __name__ == "__main__":
    if len(sys.argv) == 1:
        sys.exit(aot_gpu.main("tests.kernels.attention.aot_gpu", CASES, faults))
    compile_case(CASES[int(sys.argv[1])])
