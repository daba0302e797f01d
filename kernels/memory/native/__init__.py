"""The CPU's own loop: C++ over blocks of examples, called through XLA's foreign function interface.

    python -m kernels.native        compiles source/ for this machine (`make native`)

A thread takes a block of examples through all steps, without waiting for anyone, and back, with the
gradients of the weights. The same inputs give the same bytes, whatever the number of threads.
"""

import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.custom_derivatives import SymbolicZero
from jaxtyping import Array

from kernels.memory.loop import Outputs, Weights
from kernels.native.library import Library

library = Library("memory", Path(__file__).with_name("source"), ("forward", "backward"))
LANES = 16  # hidden, memory and units are padded to multiples of this
ROWS = 16  # examples of a block
PARTS = 16  # of the batch, at most, that sum gradients of the weights on their own


def why_not(weights: Weights, projected: Sequence[Array]) -> str | None:
    """Why this implementation cannot serve the call, or None."""
    found = {str(x.dtype) for x in jax.tree.leaves((weights, tuple(projected)))}
    if found != {"float32"}:
        return f"it takes float32, not {', '.join(sorted(found - {'float32'}))}"
    if not projected[0].size:
        return "it takes at least one step of one example"
    return library.why_not()


def run(weights: Weights, projected: Sequence[Array], valid: Array, present: Array) -> Outputs:
    """As `kernels.memory.run`; the library is loaded by the first call of a process.

    Under `shard_map` give check_vma=False.
    """
    modalities, hidden, _ = weights.recurrent.shape
    units, memory = weights.read_out.shape[1:]
    fed = weights.feeding is not None
    sizes = Sizes(modalities, _padded(hidden), _padded(memory), _padded(units), fed)
    there = _pad(jnp.repeat(present, hidden, axis=1), (1, modalities, sizes.hidden))
    inputs = tuple(_pad(x, (2, 4, sizes.hidden)) for x in projected)
    found = _loop(Loop(library.name(), sizes), _pad_weights(weights, sizes), inputs, valid, there)
    return Outputs(
        _unpad(found.last_hidden, modalities, hidden),
        found.last_memory[..., :memory],
        _unpad(found.hidden, modalities, hidden),
        found.memory[..., :memory],
        _unpad(found.attention, 2 * modalities, hidden),
    )


@dataclasses.dataclass(frozen=True)
class Sizes:
    """Padded, as the kernel has them."""

    modalities: int
    hidden: int
    memory: int
    units: int
    feeds: bool

    @property
    def p(self) -> int:
        return self.modalities * self.hidden

    def kept(self, blocks: int, time: int) -> tuple[int, ...]:
        """What the backward pass wants: floats of each step of each block."""
        return blocks, time, ROWS * (9 * self.p + 4 * self.units + 4 * self.memory)

    def outputs(self, batch: int, time: int) -> tuple[tuple[int, ...], ...]:
        """Shapes of `Outputs`."""
        steps = (batch, time, self.p), (batch, time, self.memory), (batch, time, 2 * self.p)
        return (batch, self.p), (batch, self.memory), *steps


@dataclasses.dataclass(frozen=True)
class Loop:
    """Forward and backward pass of one built library.

    Attributes:
        library: its name, without the ending.
        sizes: of the network.
        threads: most threads a call may use; 0: those of XLA's pool.
    """

    library: str
    sizes: Sizes
    threads: int = 0

    def forward(self, weights: Weights, inputs: Sequence[Array], valid: Array, there: Array) -> Outputs:
        """All outputs."""
        shapes = *self.sizes.outputs(*valid.shape), (0,)
        return Outputs(*self._call("forward", shapes, (valid, there, _flat(weights), *inputs))[:-1])

    def keeping(
        self, weights: Weights, inputs: Sequence[Array], valid: Array, there: Array
    ) -> tuple[Outputs, Array]:
        """The same, and what the backward pass wants, which has the outputs of all steps in it."""
        batch, time = valid.shape
        last = self.sizes.outputs(batch, time)[:2]
        shapes = *last, (0,), (0,), (0,), self.sizes.kept(-(-batch // ROWS), time)
        given = valid, there, _flat(weights), *inputs
        hidden, memory, _, _, _, kept = self._call("forward", shapes, given)
        ends = np.cumsum([self.sizes.p, self.sizes.memory, 2 * self.sizes.p]) * ROWS
        steps = jnp.split(kept, ends, axis=2)[:3]
        steps = [_by_example(x)[:batch] for x in steps]
        steps[2] = jnp.where(valid[:, :, None], steps[2], 0)
        return Outputs(hidden, memory, *steps), kept

    def backward(self, weights: Weights, valid: Array, there: Array, kept: Array, of: Outputs) -> Any:
        """Gradients of the weights and of the inputs; `of`: those of the outputs, empty where they are 0."""
        turned = jax.tree.map(lambda w: jnp.swapaxes(w, -1, -2), weights._replace(**_vectors(weights)))
        flat = _flat(turned)
        s, parts = self.sizes, min(-(-valid.shape[0] // ROWS), PARTS)
        shapes = (parts, flat.size), flat.shape, *[(*valid.shape, 4 * s.hidden)] * s.modalities
        _, of_weights, *of_inputs = self._call("backward", shapes, (valid, there, flat, kept, *of))
        return _like(of_weights, weights), tuple(of_inputs)

    def _call(self, stage: str, shapes: Any, arrays: Any) -> Any:
        library.register(self.library)
        results = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]
        run = jax.ffi.ffi_call(f"{stage}_{self.library}", results, vmap_method="broadcast_all")
        sizes = {name: np.int64(x) for name, x in dataclasses.asdict(self.sizes).items() if name != "feeds"}
        return run(*arrays, **sizes, feeds=self.sizes.feeds, threads=np.int64(self.threads))


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _loop(loop: Loop, weights: Weights, inputs: Sequence[Array], valid: Array, there: Array) -> Outputs:
    return loop.forward(weights, inputs, valid, there)


def _keeping(loop, *given):
    weights, inputs, valid, there = jax.tree.map(lambda x: x.value, given)
    outputs, kept = loop.keeping(weights, inputs, valid, there)
    return outputs, (weights, valid, there, kept)


def _backward(loop, saved, cotangents):
    given = [
        (jnp.zeros(x.shape if i < 2 else 0, jnp.float32) if isinstance(x, SymbolicZero) else x)
        for i, x in enumerate(cotangents)
    ]
    return *loop.backward(*saved, Outputs(*given)), None, None


_loop.defvjp(_keeping, _backward, symbolic_zeros=True)


def _by_example(x: Array) -> Array:
    """[blocks, time, rows of a block, ...] -> [examples, time, ...]."""
    blocks, time, size = x.shape
    rows = jnp.swapaxes(x.reshape(blocks, time, ROWS, size // ROWS), 1, 2)
    return rows.reshape(blocks * ROWS, time, size // ROWS)


def _flat(weights: Weights) -> Array:
    return jnp.concatenate([jnp.ravel(x) for x in jax.tree.leaves(weights)])


def _vectors(weights: Weights) -> dict[str, Array]:
    """The biases as rows, which stay as they are when turned."""
    return {name: x.reshape(1, -1) for name, x in weights._asdict().items() if name.endswith("bias")}


def _like(flat: Array, weights: Weights) -> Weights:
    """The parts of a flat array as the weights."""
    leaves, structure = jax.tree.flatten(weights)
    ends = np.cumsum([x.size for x in leaves])[:-1]
    parts = jnp.split(flat, ends)
    return jax.tree.unflatten(structure, [x.reshape(w.shape) for x, w in zip(parts, leaves, strict=True)])


def _padded(size: int) -> int:
    return -(-size // LANES) * LANES


def _pad(x: Array, *axes: tuple[int, int, int]) -> Array:
    """Zeros behind each part of an axis: (axis, parts, size that a part gets)."""
    for axis, parts, size in axes:
        own = x.shape[axis] // parts
        if own == size:
            continue
        split = x.reshape(*x.shape[:axis], parts, own, *x.shape[axis + 1 :])
        widths = [(0, size - own if i == axis + 1 else 0) for i in range(split.ndim)]
        x = jnp.pad(split, widths).reshape(*x.shape[:axis], parts * size, *x.shape[axis + 1 :])
    return x


def _unpad(x: Array, parts: int, own: int) -> Array:
    """The first columns of each part."""
    return x.reshape(*x.shape[:-1], parts, -1)[..., :own].reshape(*x.shape[:-1], parts * own)


def _pad_weights(w: Weights, s: Sizes) -> Weights:
    """Units that nothing enters and that enter nothing."""
    m, h, d, e = s.modalities, s.hidden, s.memory, s.units
    return Weights(
        recurrent=_pad(w.recurrent, (1, 1, h), (2, 4, h)),
        bias=_pad(w.bias, (1, 4, h)),
        feeding=None if w.feeding is None else _pad(w.feeding, (0, 1, d), (1, 4 * m, h)),
        score_in=_pad(w.score_in, (0, 2 * m, h), (1, 1, e)),
        score_in_bias=_pad(w.score_in_bias, (0, 1, e)),
        score_out=_pad(w.score_out, (0, 1, e), (1, 2 * m, h)),
        score_out_bias=_pad(w.score_out_bias, (0, 2 * m, h)),
        read_in=_pad(w.read_in, (0, 2 * m, h), (1, 3, e)),
        read_in_bias=_pad(w.read_in_bias, (0, 3, e)),
        gate_memory=_pad(w.gate_memory, (0, 1, d), (1, 2, e)),
        read_out=_pad(w.read_out, (1, 1, e), (2, 1, d)),
        read_out_bias=_pad(w.read_out_bias, (1, 1, d)),
    )
