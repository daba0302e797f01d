"""The Memory Fusion Network: LSTMs side by side, an attention over their cells, a memory."""

import dataclasses
from collections.abc import Mapping
from typing import NamedTuple

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Bool, Float

from kernels.memory import Weights, run
from mer_jax.errors import InputError
from mer_jax.nn.recurrent import forget_bias


@dataclasses.dataclass(frozen=True)
class MemoryFusionConfig:
    """Sizes of a memory network.

    Attributes:
        hidden: units of each modality's LSTM.
        memory: units of the memory.
        units: of the hidden layer of each of the four small networks.
        feeds: whether the memory enters the LSTMs' input of the next step (M3ER), or not (the
            Memory Fusion Network).
    """

    hidden: int = 32
    memory: int = 128
    units: int = 64
    feeds: bool = True

    def __post_init__(self) -> None:
        for name in ("hidden", "memory", "units"):
            if getattr(self, name) < 1:
                raise InputError(f"memory network: {name}={getattr(self, name)} must be at least 1")


class Fused(NamedTuple):
    """What a memory network makes of a batch.

    states: every modality's last state h; 0 where it is missing.
    memory: the last memory.
    all_states, all_memory: of every step; beyond the end the last ones.
    attention: of every step over the cells before (first) and after it; 0 beyond the end.
    """

    states: Float[Array, "batch modalities hidden"]
    memory: Float[Array, "batch memory"]
    all_states: Float[Array, "batch time modalities hidden"]
    all_memory: Float[Array, "batch time memory"]
    attention: Float[Array, "batch time 2 modalities hidden"]


class _LSTMParameters(nn.Module):
    """W [dim, 4 hidden], U [hidden, 4 hidden], b and V [memory, 4 hidden] of one modality, under the
    names of `LSTM`."""

    hidden: int
    memory: int

    @nn.compact
    def __call__(self, dim: int) -> tuple[Array, Array, Array, Array | None]:
        gates = 4 * self.hidden
        glorot = nn.initializers.glorot_uniform()
        kernel = self.param("input_kernel", glorot, (dim, gates))
        recurrent = self.param("recurrent_kernel", nn.initializers.orthogonal(), (self.hidden, gates))
        bias = self.param("bias", forget_bias, (gates,))
        feeding = self.param("memory_kernel", glorot, (self.memory, gates)) if self.memory else None
        return kernel, recurrent, bias, feeding


class MemoryFusion(nn.Module):
    """The network of `kernels.memory.run` with its parameters. The gates read the memory, as in the
    authors' program (their text has a c* alone); V, by which the memory feeds the LSTMs, is M3ER's.

    With M modalities of d_m features, H hidden, D memory
    and E units these are, for P = M H,

        LSTMs         sum_m 4 H (d_m + H + 1), and 4 H M D where the memory feeds them
        attention     2 P E + E + 2 P E + 2 P
        u             2 P E + E + E D + D
        g1 and g2     2 ((2 P + D) E + E + E D + D)

    Source: Zadeh et al. 2018 (AAAI, arXiv 1802.00927), with V after Mittal et al. 2020.

    Attributes:
        config: sizes.
        modalities: names of the features.
        implementation: of the loop, as `kernels.memory.run` has it.
    """

    config: MemoryFusionConfig
    modalities: tuple[str, ...]
    implementation: str | None = None

    @nn.compact
    def __call__(
        self,
        features: Mapping[str, Float[Array, "batch _time _dim"]],
        mask: Bool[Array, "batch time"],
        present: Bool[Array, "batch modalities"] | None = None,
    ) -> Fused:
        """features: on the clock of `mask`; states and `present` (None: all) are in the order of `modalities`.

        Raises:
            InputError: where a modality has no features, or steps of its own.
        """
        clocks = {name: features[name].shape[1] if name in features else None for name in self.modalities}
        if not clocks or set(clocks.values()) != {mask.shape[1]}:
            raise InputError(
                f"memory network: steps per modality {clocks} must be the {mask.shape[1]} of the mask, of one "
                "modality at least; bring them onto one clock first (nn.fusion.interpolate)"
            )
        if present is None:
            present = jnp.ones((mask.shape[0], len(self.modalities)), bool)
        projected, *lstms = self._lstms(features)
        found = run(self._weights(*lstms), projected, mask, present, implementation=self.implementation)
        by_modality = lambda x: x.reshape(*x.shape[:-1], -1, self.config.hidden)  # noqa: E731
        attention = found.attention.reshape(*mask.shape, 2, len(self.modalities), -1)
        return Fused(
            by_modality(found.last_hidden),
            found.last_memory,
            by_modality(found.hidden),
            found.memory,
            attention,
        )

    def _lstms(self, features):
        """W x [batch, time, 4 hidden] of each modality, U and b of all, V [D, 4 P]."""
        hidden, memory = self.config.hidden, self.config.memory if self.config.feeds else 0
        projected, recurrent, biases, feeding = [], [], [], []
        for name in self.modalities:
            x = features[name]
            kernel, own, bias, of_memory = _LSTMParameters(hidden, memory, name=name)(x.shape[-1])
            rows = x.reshape(-1, x.shape[-1])  # one axis makes the kernel's gradient a faster product
            projected.append((rows @ kernel).reshape(*x.shape[:-1], -1))
            recurrent.append(own)
            biases.append(bias)
            feeding.append(of_memory)
        fed = jnp.concatenate(feeding, axis=1) if memory else None
        return projected, jnp.stack(recurrent), jnp.stack(biases), fed

    def _weights(self, recurrent, bias, feeding):
        both = 2 * recurrent.shape[0] * recurrent.shape[1]
        units, memory = self.config.units, self.config.memory
        score_in, score_in_bias = self._layer("attention_hidden", both, units)
        score_out, score_out_bias = self._layer("attention_out", units, both)
        first = [
            self._layer("update_hidden", both, units),
            self._layer("keep_hidden", both + memory, units),
            self._layer("write_hidden", both + memory, units),
        ]
        second = [self._layer(f"{name}_out", units, memory) for name in ("update", "keep", "write")]
        return Weights(
            recurrent=recurrent,
            bias=bias,
            feeding=feeding,
            score_in=score_in,
            score_in_bias=score_in_bias,
            score_out=score_out,
            score_out_bias=score_out_bias,
            read_in=jnp.concatenate([kernel[:both] for kernel, _ in first], axis=1),
            read_in_bias=jnp.concatenate([bias for _, bias in first]),
            gate_memory=jnp.concatenate([kernel[both:] for kernel, _ in first[1:]], axis=1),
            read_out=jnp.stack([kernel for kernel, _ in second]),
            read_out_bias=jnp.stack([bias for _, bias in second]),
        )

    def _layer(self, name, inputs, outputs):
        kernel = self.param(f"{name}_kernel", nn.initializers.glorot_uniform(), (inputs, outputs))
        return kernel, self.param(f"{name}_bias", nn.initializers.zeros, (outputs,))
