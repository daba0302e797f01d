"""The memory that the native kernel takes in a call, which XLA does not see; run by `benchmark_attention`.

A JSON object a line on stdin, {"do", "shape": {...}, "score", "alignment", "dtype", "backward"},
an answer a line on stdout, {"mib"}. See `resident_memory` for the environment it needs.
"""

import json
import os
import sys
from collections.abc import Mapping
from typing import Any

import jax

from experiments.benchmark_attention_cases import Case, Problem
from experiments.resident_memory import growth
from kernels.attention.bench import compiled, forward_and_backward, size
from kernels.attention.shapes import Shape


def needed(asked: Mapping[str, Any]) -> float | None:
    """MiB beside arguments and results at the peak of a call; None where the system does not tell."""
    case = Case(Shape(**asked["shape"]), asked["score"], asked["alignment"], asked["dtype"])
    problem = Problem.drawn(case)
    function = problem.ours("native")
    if asked["backward"]:
        program = compiled(forward_and_backward(function), problem.operands, problem.cotangent)
    else:
        program = compiled(function, problem.operands)
    jax.block_until_ready(program.run())
    found = growth(lambda: jax.block_until_ready(program.run()), size)
    return None if found is None else found / 2**20


def main() -> None:
    """Answers until stdin ends; what others print goes to stderr."""
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    print("{}", file=replies, flush=True)
    for line in sys.stdin:
        print(json.dumps({"mib": needed(json.loads(line))}), file=replies, flush=True)


if __name__ == "__main__":
    main()
