"""Compile the GPU kernels for an H100 without having one, and check what came out.

    JAX_PLATFORMS=cpu python -m tests.kernels.attention.aot_gpu

in an environment with jax-cuda13-plugin and jax-cuda13-pjrt of jaxlib's version. Prints registers
and spills of each kernel as ptxas tells them and the instructions that matter in its PTX; exits 1
where an expectation fails. (An H200 is the same chip with more memory.)
"""

import dataclasses
import os
import re
import subprocess
import sys

H100 = """
platform_name: "CUDA"
device_description_str: "NVIDIA H100 80GB HBM3"
gpu_device_info {
  cuda_compute_capability { major: 9 }
  core_count: 132
  fpus_per_core: 128
  clock_rate_ghz: 1.98
  threads_per_warp: 32
  threads_per_block_limit: 1024
  threads_per_core_limit: 2048
  registers_per_block_limit: 65536
  registers_per_core_limit: 65536
  shared_memory_per_block: 49152
  shared_memory_per_block_optin: 232448
  shared_memory_per_core: 233472
  block_dim_limit_x: 2147483647
  block_dim_limit_y: 65535
  block_dim_limit_z: 65535
  memory_bandwidth: 3352320000000
  l2_cache_size: 52428800
  device_memory_size: 84978434048
}
"""
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
    """Compile value and gradients; Mosaic GPU prints PTX and ptxas' words to standard output."""
    import jax
    import jax.numpy as jnp
    from jax.experimental import topologies

    from kernels.attention import differentiable, pallas_gpu
    from kernels.attention.alignment import Ranges
    from kernels.attention.reference import Inputs

    topology = topologies.get_topology_desc("h100", "cuda", topology="1x1x1", target_config=H100)
    placed = jax.sharding.SingleDeviceSharding(topology.devices[0])
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
    jitted = jax.jit(gradients, in_shardings=placed, out_shardings=placed)
    traced = jitted.trace(Inputs(array, array, array, vector), centre, edge, edge)
    traced.lower(lowering_platforms=("cuda",)).compile()


def kernels(printed: str) -> dict[str, dict[str, int]]:
    """Of each pass: registers, bytes spilled, and how often its PTX holds what is counted."""
    found = {}
    for text in re.split(r"(?=\.visible \.entry )", printed)[1:]:
        name = re.match(r"\.visible \.entry (\w+)_mosaic_gpu_kernel", text)
        if name is None:
            continue
        spills = re.search(r"(\d+) bytes spill stores, (\d+) bytes spill loads", text)
        registers = re.search(r"Used (\d+) registers", text)
        if spills is None or registers is None:
            raise ValueError(f"ptxas told nothing about {name[1]}; it writes after the PTX of each kernel")
        found[name[1].split("_attention_")[1]] = {
            "registers": int(registers[1]),
            "spilled": int(spills[1]),
            "wgmma": len(re.findall(r"wgmma\.mma_async\S*\.f32\.bf16\.bf16", text)),
            "rsqrt": text.count("rsqrt.approx"),
            "tanh": text.count("tanh"),
            "division": text.count("div.rn"),
        }
    return found


def faults(case: Case, found: dict[str, dict[str, int]]) -> list[str]:
    """What is not as expected."""
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


def main() -> int:
    """Each case in a process of its own, whose output is read."""
    environment = {**os.environ, "MOSAIC_GPU_DUMP_PTX": "1", "MOSAIC_GPU_DUMP_PTXAS": "1"}
    failed = False
    for index, case in enumerate(CASES):
        command = [sys.executable, "-m", "tests.kernels.attention.aot_gpu", str(index)]
        run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        found = kernels(run.stdout + run.stderr)
        wrong = faults(case, found) if run.returncode == 0 else run.stderr.strip().splitlines()[-1:]
        failed |= bool(wrong)
        print(f"{case.score} {case.dtype} features={case.features} columns={case.columns}", flush=True)
        for name, counts in found.items():
            print(f"    {name:11}", " ".join(f"{k}={v}" for k, v in counts.items()), flush=True)
        for line in wrong:
            print("    FAILED", line, flush=True)
    return int(failed)


if __name__ == "__main__":
    if len(sys.argv) == 1:
        sys.exit(main())
    compile_case(CASES[int(sys.argv[1])])
