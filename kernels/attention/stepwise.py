"""Attention one query at a time, where the next query depends on what the last one found.

A scan whose steps ask a memory one query a row. Differentiated as it stands, every step would add
an array of the memory's size to its gradient and one of the parameters' size to theirs. Here each
adds to the keys and values that it saw, in place, and leaves what the parameters' gradients are
made of, in one product each, after the last step.
"""

import functools
import importlib
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import numpy as np
from jaxtyping import Array

from kernels.attention import reference, windows
from kernels.attention.alignment import Ranges
from kernels.attention.windows import Look, Memory

Tree = Any
IMPLEMENTATIONS = ("reference", "xla", "native")


class Moment(NamedTuple):
    """What is known of a step, or of all of them, [steps, ...], when the backward pass comes to it."""

    carry: Tree
    x: Tree
    kept: Tree
    output: Tree


class Pulled(NamedTuple):
    """What a step gives back: cotangents of its carry and input, and what its parameters' are made of."""

    carry: Tree
    x: Tree
    left: Tree


@runtime_checkable
class Step(Protocol):
    """One step around a query, and its derivative. Hashable; closes over no traced arrays.

    turned: the parameters with their axes reversed, made once for all steps.
    """

    def ask(self, parameters: Tree, carry: Tree, x: Tree, /) -> tuple[Look, Tree, Tree]:
        """The query; what `tell` is told; what is kept for the backward pass."""
        ...

    def tell(
        self, parameters: Tree, carry: Tree, x: Tree, told: Tree, context: Array, /
    ) -> tuple[Tree, Tree]:
        """The next carry and the output."""
        ...

    def pull_tell(self, turned: Tree, at: Moment, of_carry: Tree, of_output: Tree, /) -> tuple[Array, Tree]:
        """The cotangent of the context, and what `pull_ask` is told."""
        ...

    def pull_ask(self, parameters: Tree, turned: Tree, at: Moment, told: Tree, of_look: Look, /) -> Pulled:
        """The way back from the query, and the centre, to carry and input."""
        ...

    def gradients(self, parameters: Tree, steps: Moment, of_inputs: Tree, left: Tree, /) -> Tree:
        """Of the parameters, from all steps."""
        ...


def scan_attending(
    step: Step,
    parameters: Tree,
    carry: Tree,
    inputs: Tree,
    memory: Memory,
    *,
    width: int,
    sigma: float | None = None,
    implementation: str | None = None,
) -> tuple[Tree, Tree]:
    """The last carry and the outputs of

        for t: look = step.ask(parameters, carry, inputs[t])
               context = sum_s a_t(s) value_s, attention of look.query over look.start .. look.end
               carry, outputs[t] = step.tell(parameters, carry, inputs[t], context)

    differentiable in all but the memory's mask and where the looks start and end.

    Args:
        step: gives queries, takes contexts.
        parameters, carry: pytrees of floating arrays.
        inputs: the same, [steps, ...].
        memory: keys, values, score vector and mask.
        width: a bound on the keys of a look.
        sigma: of the Gaussian around the looks' centres, where they have some.
        implementation: "reference" (the scan over the whole memory, differentiated as it stands),
            "xla", "native" (float32 on the CPU, built by `make native`), or None: "native" where it
            can serve, else "xla".

    Raises:
        ValueError: the implementation is unknown or cannot serve.
    """
    if implementation == "reference":
        return _plain(step, sigma, parameters, carry, inputs, memory)
    attention = _implementation(implementation, memory, min(width, memory.key.shape[1]), sigma)
    return _scan(step, attention, parameters, carry, inputs, memory)


def _implementation(name: str | None, memory: Memory, width: int, sigma: float | None) -> Any:
    """What attends; one that is named serves, or the reason why it cannot is raised."""
    if name is not None and name not in IMPLEMENTATIONS:
        raise ValueError(f"implementation={name!r} is unknown; known: {', '.join(IMPLEMENTATIONS)}")
    if name == "xla":
        return windows.Windows(width, sigma)
    platform = jax.default_backend()
    if platform == "cpu":
        native = importlib.import_module("kernels.attention.native.step")
        reason = native.why_not(memory)
        if reason is None:
            return native.Looks(native.library.name(), sigma)
    else:
        reason = f"it does not run on the {platform}"
    if name is not None:
        raise ValueError(f'implementation={name!r} cannot serve: {reason}; leave it out or use "xla"')
    return windows.Windows(width, sigma)


def _plain(step, sigma, parameters, carry, inputs, memory):
    """The definition."""

    def now(carry, x):
        look, told, _ = step.ask(parameters, carry, x)
        given = reference.Inputs(
            look.query[:, None], memory.key, memory.value, memory.score_vector, memory.mask
        )
        centre = None if look.centre is None else look.centre[:, None]
        ranges = Ranges(look.start[:, None], look.end[:, None], centre)
        context = reference.attend(given, ranges, sigma)[:, 0]
        return step.tell(parameters, carry, x, told, context)

    return jax.lax.scan(now, carry, inputs)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _scan(step, attention, parameters, carry, inputs, memory):
    last, (outputs, _) = _run(step, attention, parameters, carry, inputs, memory)
    return last, outputs


def _run(step, attention, parameters, carry, inputs, memory):
    def now(carry, x):
        look, told, kept = step.ask(parameters, carry, x)
        context, saved = attention.forward(memory, look)
        after, output = step.tell(parameters, carry, x, told, context)
        return after, (output, (carry, kept, look, context, saved))

    return jax.lax.scan(now, carry, inputs)


def _forward(step, attention, parameters, carry, inputs, memory):
    last, (outputs, (carries, kept, *attended)) = _run(step, attention, parameters, carry, inputs, memory)
    return (last, outputs), (parameters, memory, Moment(carries, inputs, kept, outputs), attended)


def _backward(step, attention, held, cotangents):
    parameters, memory, steps, attended = held
    of_last, of_outputs = cotangents
    turned = jax.tree.map(lambda x: x.T, parameters)

    def now(sums, then):
        (of_carry, of_memory), (at, (look, context, saved), of_output) = sums, then
        of_context, told = step.pull_tell(turned, at, of_carry, of_output)
        of_look, of_memory = attention.backward(memory, look, context, saved, of_context, of_memory)
        pulled = step.pull_ask(parameters, turned, at, told, of_look)
        return (pulled.carry, of_memory), (pulled.x, pulled.left)

    nothing, everything = attention.nothing(memory), (steps, attended, of_outputs)
    (of_first, sums), (of_inputs, left) = jax.lax.scan(now, (of_last, nothing), everything, reverse=True)
    of_parameters = step.gradients(parameters, steps, of_inputs, left)
    mask = None if memory.mask is None else np.zeros(memory.mask.shape, jax.dtypes.float0)
    key, value, vector = attention.gradients(sums)
    return of_parameters, of_first, of_inputs, Memory(key, value, vector, mask)


_scan.defvjp(_forward, _backward)
