"""Attention one query at a time, where the next query depends on what the last one found.

A scan whose steps see a window of a memory each. Differentiated as it stands, every step would add
an array of the memory's size to its gradient; here each adds its window, in place, so that forward
and backward cost O(width) a step.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

Tree = Any


def scan_windows(
    advance: Callable[[Tree, Tree, Tree], tuple[Tree, Int[Array, " batch"]]],
    read: Callable[[Tree, Tree, Tree, Tree, Int[Array, " batch"]], tuple[Tree, Tree]],
    parameters: Tree,
    carry: Tree,
    inputs: Tree,
    memory: Tree,
    *,
    width: int,
) -> tuple[Tree, Tree]:
    """The last carry and the outputs of

        for t: inner, first = advance(parameters, carry, inputs[t])
               window = memory[:, first : first + width]
               carry, outputs[t] = read(parameters, inner, inputs[t], window, first)

    differentiable in everything but `first`. The carries are kept for the backward pass, the
    rest of a step is computed again. Neither function may close over traced arrays.

    Args:
        advance: gives what `read` needs, and the first place each row of the batch wants to see; places
            that leave no whole window are moved back.
        read: is told the first place that it does see.
        parameters, carry: pytrees of floating arrays.
        inputs: the same, [steps, ...].
        memory: the same, [batch, n, ...].
        width: places in a window; all of them where it is n or more.

    Every leaf is floating: positions and masks are given as floats too, and their gradients are 0.
    """
    return _scan(advance, read, width, parameters, carry, inputs, memory)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1, 2))
def _scan(advance, read, width, parameters, carry, inputs, memory):
    last, (outputs, _) = _run(advance, read, width, parameters, carry, inputs, memory)
    return last, outputs


def _run(advance, read, width, parameters, carry, inputs, memory):
    def step(carry, x):
        inner, first = advance(parameters, carry, x)
        first = _moved_back(first, width, memory)
        after, output = read(parameters, inner, x, _window(memory, first, width), first)
        return after, (output, carry)

    return jax.lax.scan(step, carry, inputs)


def _forward(advance, read, width, parameters, carry, inputs, memory):
    last, (outputs, carries) = _run(advance, read, width, parameters, carry, inputs, memory)
    return (last, outputs), (parameters, carries, inputs, memory)


def _backward(advance, read, width, kept, cotangents):
    parameters, carries, inputs, memory = kept
    of_last, of_outputs = cotangents

    def step(sums, now):
        of_carry, of_parameters, of_memory = sums
        x, before, of_output = now
        inner, pull_advance, first = jax.vjp(advance, parameters, before, x, has_aux=True)
        first = _moved_back(first, width, memory)
        window = _window(memory, first, width)
        _, pull_read = jax.vjp(lambda *given: read(*given, first), parameters, inner, x, window)
        by_read, of_inner, of_x, of_window = pull_read((of_carry, of_output))
        by_advance, of_before, more_of_x = pull_advance(of_inner)
        of_parameters = jax.tree.map(lambda *parts: sum(parts), of_parameters, by_read, by_advance)
        sums = (of_before, of_parameters, _added(of_memory, of_window, first))
        return sums, jax.tree.map(jnp.add, of_x, more_of_x)

    nothing = jax.tree.map(jnp.zeros_like, (parameters, memory))
    sums, of_inputs = jax.lax.scan(step, (of_last, *nothing), (inputs, carries, of_outputs), reverse=True)
    of_first_carry, of_parameters, of_memory = sums
    return of_parameters, of_first_carry, of_inputs, of_memory


_scan.defvjp(_forward, _backward)


def _length(memory: Tree) -> int:
    return jax.tree.leaves(memory)[0].shape[1]


def _moved_back(first: Array, width: int, memory: Tree) -> Array:
    return jnp.clip(first, 0, max(_length(memory) - width, 0))


def _window(memory: Tree, first: Array, width: int) -> Tree:
    if width >= _length(memory):
        return memory
    cut = jax.vmap(lambda row, place: jax.lax.dynamic_slice_in_dim(row, place, width))
    return jax.tree.map(lambda array: cut(array, first), memory)


def _added(memory: Tree, windows: Tree, first: Array) -> Tree:
    """The windows added to the memory in their places."""

    def add(array, window):
        if window.shape == array.shape:
            return array + window
        dimensions = jax.lax.ScatterDimensionNumbers(
            update_window_dims=tuple(range(1, array.ndim)),
            inserted_window_dims=(),
            scatter_dims_to_operand_dims=(1,),
            operand_batching_dims=(0,),
            scatter_indices_batching_dims=(0,),
        )
        return jax.lax.scatter_add(array, first[:, None], window, dimensions, mode="promise_in_bounds")

    return jax.tree.map(add, memory, windows)
