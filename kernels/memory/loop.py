"""The time loop of the Memory Fusion Network through XLA, with a derivative of its own.

Automatic differentiation would add to the gradient of every weight at every step; here the loop
back in time gives the gradients of each step's sums, and those of the weights are products over
all steps and examples at once. `kernels.memory.run` has the equations.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

ABSENT = -1e30  # added to the score of a coordinate that is not there


class Weights(NamedTuple):
    """The parameters of the loop; P is modalities * hidden, E units, D memory.

    recurrent: U of each modality, [modalities, hidden, 4 hidden], gates in the order input, forget,
        cell, output; bias: b of each, [modalities, 4 hidden].
    feeding: V, from the memory to the gates of all, [D, 4 P] in the order modality, gate, unit; or None.
    score_in, score_out: the attention's network, [2 P, E] and [E, 2 P].
    read_in: the first layers of u, g1 and g2 for a * c*, [2 P, 3 E].
    gate_memory: those of g1 and g2 for the memory, [D, 2 E].
    read_out, read_out_bias: the second layers of the three, [3, E, D] and [3, D].
    """

    recurrent: Array
    bias: Array
    feeding: Array | None
    score_in: Array
    score_in_bias: Array
    score_out: Array
    score_out_bias: Array
    read_in: Array
    read_in_bias: Array
    gate_memory: Array
    read_out: Array
    read_out_bias: Array


class _Kept(NamedTuple):
    """What the backward pass reads of a step: every layer behind its nonlinearity."""

    gates: Array
    scored: Array
    attention: Array
    read: Array
    update: tuple[Array, Array, Array]


class _State(NamedTuple):
    """h and c of all modalities, [batch, P], and the memory."""

    hidden: Array
    cell: Array
    memory: Array


class Outputs(NamedTuple):
    """Last states of all modalities and last memory; states, memory and attention of every step."""

    last_hidden: Float[Array, "*batch p"]
    last_memory: Float[Array, "*batch memory"]
    hidden: Float[Array, "*batch time p"]
    memory: Float[Array, "*batch time memory"]
    attention: Float[Array, "*batch time both"]


class _Wide(NamedTuple):
    """`Weights`, but for U of all modalities as one matrix, [P, 4 P]; columns of U and V in the order
    gate, modality, unit."""

    recurrent: Array
    feeding: Array | None
    score_in: Array
    score_in_bias: Array
    score_out: Array
    score_out_bias: Array
    read_in: Array
    read_in_bias: Array
    gate_memory: Array
    read_out: Array
    read_out_bias: Array


def run(
    weights: Weights, projected: Sequence[Array], valid: Array, present: Array, *, plainly: bool = False
) -> Outputs:
    """As `kernels.memory.run`; plainly: differentiated as it stands, which is the definition."""
    modalities, hidden, gates = weights.recurrent.shape
    feeding = weights.feeding
    if feeding is not None:
        feeding = feeding.reshape(-1, modalities, 4, hidden).swapaxes(1, 2).reshape(-1, modalities * gates)
    others = {name: x for name, x in weights._asdict().items() if name in _Wide._fields}
    wide = _Wide(**others | {"recurrent": block_diagonal(weights.recurrent), "feeding": feeding})
    x = jnp.stack([x.reshape(*valid.shape, 4, hidden) for x in projected], axis=3)
    x += weights.bias.reshape(modalities, 4, hidden).swapaxes(0, 1)[None, None]
    x = jnp.swapaxes(x, 0, 1).reshape(*valid.shape[::-1], -1)
    there = jnp.repeat(present, hidden, axis=1)
    found = (_plain_loop if plainly else _loop)(wide, x, valid.T[:, :, None], there)
    steps = [jnp.swapaxes(x, 0, 1) for x in found]
    return Outputs(found[0][-1], found[1][-1], *steps)


def _plain_loop(weights: _Wide, projected: Array, valid: Array, there: Array) -> tuple[Array, Array, Array]:
    """Hidden states, memory and attention, time before batch as in all arrays; valid: [time, batch, 1]."""
    states, kept = _forward(weights, projected, valid, there)
    return states.hidden, states.memory, jnp.where(valid, kept.attention, 0)


_loop = jax.custom_vjp(_plain_loop)


def _forward(weights: _Wide, projected: Array, valid: Array, there: Array) -> tuple[_State, _Kept]:
    absent = jnp.where(jnp.concatenate([there, there], axis=1), 0, ABSENT).astype(projected.dtype)

    def step(state, now):
        x, valid = now
        state, kept = _step(weights, state, x, valid, there, absent)
        return state, (state, kept)

    _, (states, kept) = jax.lax.scan(step, _start(weights, projected), (projected, valid))
    return states, kept


def _start(weights: _Wide, projected: Array) -> _State:
    zeros = jnp.zeros((projected.shape[1], len(weights.recurrent)), projected.dtype)
    return _State(zeros, zeros, jnp.zeros((len(zeros), weights.gate_memory.shape[0]), projected.dtype))


def _step(
    weights: _Wide, before: _State, x: Array, valid: Array, there: Array, absent: Array
) -> tuple[_State, _Kept]:
    """One step of all modalities, and what the backward pass needs of it."""
    gates = x + before.hidden @ weights.recurrent
    if weights.feeding is not None:
        gates += before.memory @ weights.feeding
    i, f, g, o = jnp.split(gates, 4, axis=-1)
    i, f, g, o = jax.nn.sigmoid(i), jax.nn.sigmoid(f), jnp.tanh(g), jax.nn.sigmoid(o)
    moves = valid & there
    cell = jnp.where(moves, f * before.cell + i * g, before.cell)
    hidden = jnp.where(moves, o * jnp.tanh(cell), before.hidden)

    both = jnp.concatenate([before.cell, cell], axis=-1)
    scored = jax.nn.relu(both @ weights.score_in + weights.score_in_bias[None, :])
    attention = jax.nn.softmax(scored @ weights.score_out + (weights.score_out_bias[None, :] + absent))

    of_both = (attention * both) @ weights.read_in + weights.read_in_bias[None, :]
    of_gates = before.memory @ weights.gate_memory
    units = scored.shape[-1]  # u reads no memory
    read = jax.nn.relu(of_both + jnp.pad(of_gates, ((0, 0), (units, 0))))
    update = [
        r @ weights.read_out[j] + weights.read_out_bias[j][None, :]
        for j, r in enumerate(jnp.split(read, 3, axis=-1))
    ]
    u, keep, write = jnp.tanh(update[0]), jax.nn.sigmoid(update[1]), jax.nn.sigmoid(update[2])
    memory = jnp.where(valid, keep * before.memory + write * u, before.memory)
    kept = _Kept(jnp.concatenate([i, f, g, o], axis=-1), scored, attention, read, (u, keep, write))
    return _State(hidden, cell, memory), kept


def block_diagonal(recurrent: Float[Array, "modalities hidden gates"]) -> Float[Array, "p all_gates"]:
    """U of all modalities, gates in the order input, forget, cell, output, as one matrix, [P, 4 P],
    columns in the order gate, modality, unit."""
    modalities, hidden, _ = recurrent.shape
    own = jnp.eye(modalities, dtype=recurrent.dtype)[:, None, None, :, None]
    by_gate = recurrent.reshape(modalities, hidden, 4, 1, hidden)
    return (by_gate * own).reshape(modalities * hidden, 4 * modalities * hidden)


class _Deltas(NamedTuple):
    """The gradients of a step's sums, from which those of the weights are made."""

    gates: Array
    scored: Array
    scores: Array
    read: Array
    update: tuple[Array, Array, Array]


def _loop_keeping(weights, projected, valid, there):
    states, kept = _forward(weights, projected, valid, there)
    outputs = states.hidden, states.memory, jnp.where(valid, kept.attention, 0)
    return outputs, (weights, states, kept, valid, there)


def _loop_backward(saved, cotangents):
    weights, states, kept, valid, there = saved
    before = jax.tree.map(lambda x: jnp.concatenate([jnp.zeros_like(x[:1]), x[:-1]]), states)

    def step(of_state, now):
        return _step_backward(weights, there, of_state, now)

    nothing = jax.tree.map(lambda x: jnp.zeros_like(x[0]), states)
    given = (before, states.cell, kept, valid, cotangents)
    _, deltas = jax.lax.scan(step, nothing, given, reverse=True)
    return _of_weights(weights, before, states.cell, kept, deltas), deltas.gates, None, None


def _step_backward(weights, there, of_state, now):
    """From the gradient of the state behind a step to that of the state before it."""
    before, cell, kept, valid, cotangents = now
    of_hidden, of_memory, of_attention = cotangents
    update, of_memory = _update_backward(before, kept, valid, of_state.memory + of_memory)
    of_read = jnp.concatenate([d @ weights.read_out[j].T for j, d in enumerate(update)], axis=-1)
    read = jnp.where(kept.read > 0, of_read, 0)
    units = kept.scored.shape[-1]
    of_memory += read[:, units:] @ weights.gate_memory.T

    both = jnp.concatenate([before.cell, cell], axis=-1)
    of_attended = read @ weights.read_in.T
    of_attention = of_attended * both + jnp.where(valid, of_attention, 0)
    a = kept.attention
    scores = a * (of_attention - (of_attention * a).sum(axis=-1, keepdims=True))
    scored = jnp.where(kept.scored > 0, scores @ weights.score_out.T, 0)
    of_both = of_attended * a + scored @ weights.score_in.T
    of_before, of_cell = jnp.split(of_both, 2, axis=-1)

    moves = valid & there
    of_hidden += of_state.hidden
    of_cell += of_state.cell
    gates, through = _lstm_backward(before.cell, cell, kept.gates, moves, of_hidden, of_cell)
    of_before += through
    of_previous = jnp.where(moves, 0, of_hidden) + gates @ weights.recurrent.T
    if weights.feeding is not None:
        of_memory += gates @ weights.feeding.T
    return _State(of_previous, of_before, of_memory), _Deltas(gates, scored, scores, read, update)


def _update_backward(before, kept, valid, of_memory):
    """Gradients of the three sums behind the memory's update, and of the memory before it."""
    u, keep, write = kept.update
    moved = jnp.where(valid, of_memory, 0)
    of_u = moved * write * (1 - u * u)
    of_keep = moved * before.memory * keep * (1 - keep)
    of_write = moved * u * write * (1 - write)
    return (of_u, of_keep, of_write), jnp.where(valid, moved * keep, of_memory)


def _lstm_backward(cell_before, cell, gates, moves, of_hidden, of_cell):
    """Gradients of the gates' sums, and of c_{t-1} through c_t."""
    i, f, g, o = jnp.split(gates, 4, axis=-1)
    tanh_cell = jnp.tanh(cell)
    of_new = jnp.where(moves, of_hidden, 0)
    new = jnp.where(moves, of_cell, 0) + of_new * o * (1 - tanh_cell * tanh_cell)
    of_gates = (
        new * g * i * (1 - i),
        new * cell_before * f * (1 - f),
        new * i * (1 - g * g),
        of_new * tanh_cell * o * (1 - o),
    )
    return jnp.concatenate(of_gates, axis=-1), jnp.where(moves, new * f, of_cell)


def _of_weights(weights: _Wide, before: _State, cells: Array, kept: _Kept, deltas: _Deltas) -> _Wide:
    """Gradients of the weights: one product each, over all steps and examples."""
    both = jnp.concatenate([before.cell, cells], axis=-1)
    units = weights.score_in.shape[-1]
    pairs = zip(jnp.split(kept.read, 3, axis=-1), deltas.update, strict=True)
    return _Wide(
        recurrent=_outer(before.hidden, deltas.gates),
        feeding=None if weights.feeding is None else _outer(before.memory, deltas.gates),
        score_in=_outer(both, deltas.scored),
        score_in_bias=deltas.scored.sum(axis=(0, 1)),
        score_out=_outer(kept.scored, deltas.scores),
        score_out_bias=deltas.scores.sum(axis=(0, 1)),
        read_in=_outer(kept.attention * both, deltas.read),
        read_in_bias=deltas.read.sum(axis=(0, 1)),
        gate_memory=_outer(before.memory, deltas.read[..., units:]),
        read_out=jnp.stack([_outer(read, delta) for read, delta in pairs]),
        read_out_bias=jnp.stack([delta.sum(axis=(0, 1)) for delta in deltas.update]),
    )


def _outer(inputs: Array, deltas: Array) -> Array:
    """sum over steps and examples of inputs^T deltas."""
    return jnp.tensordot(inputs, deltas, axes=((0, 1), (0, 1)))


_loop.defvjp(_loop_keeping, _loop_backward)
