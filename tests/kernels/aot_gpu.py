"""What the ahead-of-time compilations for a GPU share: the chip, and what ptxas says of its kernels.

Each case is compiled in a process of its own, whose output is read: Mosaic GPU prints PTX and
ptxas' words to standard output.
"""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any

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


def compile_for_h100(function: Callable, *shapes: Any) -> None:
    """Compile a function of arrays of these shapes for an H100."""
    import jax
    from jax.experimental import topologies

    topology = topologies.get_topology_desc("h100", "cuda", topology="1x1x1", target_config=H100)
    placed = jax.sharding.SingleDeviceSharding(topology.devices[0])
    jitted = jax.jit(function, in_shardings=placed, out_shardings=placed)
    jitted.trace(*shapes).lower(lowering_platforms=("cuda",)).compile()


def kernels(printed: str) -> dict[str, dict[str, int]]:
    """Of each kernel: registers, bytes spilled, and how often its PTX holds what is counted."""
    found = {}
    for text in re.split(r"(?=\.visible \.entry )", printed)[1:]:
        name = re.match(r"\.visible \.entry (\w+)_mosaic_gpu_kernel", text)
        if name is None:
            continue
        spills = re.search(r"(\d+) bytes spill stores, (\d+) bytes spill loads", text)
        registers = re.search(r"Used (\d+) registers", text)
        if spills is None or registers is None:
            raise ValueError(f"ptxas told nothing about {name[1]}; it writes after the PTX of each kernel")
        found[name[1]] = {
            "registers": int(registers[1]),
            "spilled": int(spills[1]),
            "wgmma": len(re.findall(r"wgmma\.mma_async\S*\.f32\.bf16\.bf16", text)),
            "rsqrt": text.count("rsqrt.approx"),
            "exp": text.count("ex2.approx"),
            "log": text.count("lg2.approx"),
            "tanh": text.count("tanh"),
            "division": len(re.findall(r"div\.(?:rn|full|approx)\.f32", text)),
        }
    return found


def main(module: str, cases: Sequence[Any], faults: Callable[[Any, dict], list[str]]) -> int:
    """Compile each case by `python -m module INDEX` and print what came out; 1 where anything is wrong."""
    environment = {**os.environ, "MOSAIC_GPU_DUMP_PTX": "1", "MOSAIC_GPU_DUMP_PTXAS": "1"}
    failed = False
    for index, case in enumerate(cases):
        command = [sys.executable, "-m", module, str(index)]
        run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        found = kernels(run.stdout + run.stderr)
        wrong = faults(case, found) if run.returncode == 0 else run.stderr.strip().splitlines()[-1:]
        failed |= bool(wrong)
        print(case, flush=True)
        for name, counts in found.items():
            print(f"    {name:25}", " ".join(f"{k}={v}" for k, v in counts.items() if v), flush=True)
        for line in wrong:
            print("    FAILED", line, flush=True)
    return int(failed)
