"""Compile the TPU kernels ahead of time, without a TPU, and check what comes out.

    JAX_PLATFORMS=cpu python -m tests.kernels.attention.aot_tpu

in an environment of its own that holds jax, libtpu, absl-py and jaxtyping: with libtpu installed,
jax looks for a TPU first. Compiled by libtpu's own compiler down to instruction bundles, whose
text is read; nothing is run. Exits with 1 where an expectation fails.
"""

import dataclasses
import sys

import jax
import jax.numpy as jnp
from jax.sharding import SingleDeviceSharding

from kernels.attention import LocalPredictive, SlidingWindow, pallas_tpu
from kernels.attention.alignment import Size
from kernels.attention.reference import Inputs
from tests.kernels import aot_tpu

KERNELS = ("attention_forward", "attention_dq", "attention_dk_dv")
BOUNDED = ("v5e", "v6e")  # v4 and v5p take more, and are printed only
MOST_BUNDLES = {
    64: 2.0,
    512: 3.5,
}  # a tanh of 1024 elements, by features: 1 at best, broadcasts over lanes bind
TEMPORARY_MIB = 200  # of 8 sequences of 8192


@dataclasses.dataclass(frozen=True)
class Case:
    """One compilation: forward and backward of a window, or of everything that can be given."""

    score: str
    dtype: str
    d: int = 64
    batch: int = 8
    length: int = 8192
    everything: bool = False

    def compiled(self, device):
        sharding = SingleDeviceSharding(device)
        shape = lambda *size, kind=self.dtype: jax.ShapeDtypeStruct(size, kind, sharding=sharding)  # noqa: E731
        batch, m, n, d = self.batch, self.length, self.length, self.d
        inputs = Inputs(
            shape(batch, m, d), shape(batch, n, d), shape(batch, n, d),
            shape(d) if self.score == "additive" else None,
            shape(batch, n, kind="bool") if self.everything else None,
        )  # fmt: skip
        centres = shape(batch, m, kind="float32") if self.everything else None
        return jax.jit(self.both).trace(inputs, centres).lower(lowering_platforms=("tpu",)).compile()

    def both(self, inputs, centres):
        alignment = SlidingWindow(64) if centres is None else LocalPredictive(32, centres)
        ranges = alignment.ranges(Size(self.batch, self.length, self.length))
        floats = (*inputs[:4], ranges.centre)

        def context(*floats):
            moved = Inputs(*floats[:4], inputs.key_mask)
            sigma = getattr(alignment, "sigma", None)
            return pallas_tpu.attend(moved, ranges._replace(centre=floats[4]), sigma)

        found, pull = jax.vjp(context, *floats)
        return found, pull(jnp.ones_like(found))


CASES = (
    Case("dot", "float32"),
    Case("dot", "bfloat16"),
    Case("additive", "float32"),
    Case("additive", "bfloat16"),
    Case("dot", "bfloat16", everything=True),
    Case("additive", "float32", everything=True),
    Case("dot", "float32", d=512, batch=2, length=1024),
    Case("additive", "float32", d=512, batch=2, length=1024),
)


def bundles_per_tanh(text: str) -> float:
    """Bundles from the first tanh of a tile to the last, over their number."""
    lines = [number for number, line in enumerate(text.splitlines()) if "vtanh" in line]
    return (lines[-1] - lines[0]) / max(text.count("vtanh"), 1) if lines else 0.0


def failures(case: Case, compiled, found: dict[str, str], bounded: bool) -> list[str]:
    """What is not as it should be, in words."""
    wrong = []
    calls = compiled.as_text().count('custom_call_target="tpu_custom_call"')
    temporary = compiled.memory_analysis().temp_size_in_bytes / 2**20
    if calls != 3:
        wrong.append(f"{calls} kernels are called, not 3")
    if temporary > TEMPORARY_MIB:
        wrong.append(f"{temporary:.0f} MiB of temporaries, more than {TEMPORARY_MIB}")
    for name in KERNELS:
        text = found.get(name, "")
        if "vmatmul" not in text and "vmatpush" not in text:
            wrong.append(f"{name} does not use the matrix unit")
        if case.score == "additive" and bounded and not 0 < bundles_per_tanh(text) < MOST_BUNDLES[case.d]:
            wrong.append(f"{name} takes {bundles_per_tanh(text):.2f} bundles a tanh")
    return wrong


def main(names: list[str]) -> int:
    failed = 0
    for chip in names or aot_tpu.TOPOLOGIES:
        device = aot_tpu.device(chip)
        for case in CASES:
            compiled = case.compiled(device)
            found = aot_tpu.bundles(KERNELS)
            wrong = failures(case, compiled, found, bounded=chip in BOUNDED)
            failed += len(wrong)
            lengths = [aot_tpu.length(found.get(name, "")) for name in KERNELS]
            tanh = [round(bundles_per_tanh(found.get(name, "")), 2) for name in KERNELS]
            temporary = compiled.memory_analysis().temp_size_in_bytes / 2**20
            print(
                chip,
                case,
                f"bundles {lengths} per tanh {tanh} MiB {temporary:.0f}",
                wrong or "ok",
                flush=True,
            )
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
