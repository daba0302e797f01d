"""What `benchmark_memory_fusion` computes: a training step of M3ER's memory network, one or many at once."""

import dataclasses
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn

from mer_jax.nn.memory_fusion import MemoryFusion, MemoryFusionConfig
from mer_jax.training.optimizer import OptimizerConfig, make_optimizer

DIMS = {"text": 300, "audio": 74, "video": 35}
CLASSES, RATE, MIB = 6, 1e-2, 2**20
ADAM = make_optimizer(OptimizerConfig(learning_rate=RATE, clip=0.0))


@dataclasses.dataclass(frozen=True)
class Sizes:
    """Examples and steps; units of the LSTMs, the memory, its small networks, the layer before the classes."""

    batch: int = 256
    time: int = 50
    hidden: int = 32
    memory: int = 128
    units: int = 64
    dense: int = 64


class Network(nn.Module):
    """The memory network; the product of its states beside its memory, through a dense layer to the classes."""

    sizes: Sizes

    @nn.compact
    def __call__(self, features: Mapping[str, jax.Array]) -> jax.Array:
        s = self.sizes
        config = MemoryFusionConfig(s.hidden, s.memory, s.units)
        mask = jnp.ones((s.batch, s.time), bool)
        fused = MemoryFusion(config, tuple(DIMS), name="fusion")(features, mask)
        both = jnp.concatenate([fused.states.prod(axis=1), fused.memory], axis=-1)
        return nn.Dense(CLASSES, name="classes")(nn.relu(nn.Dense(s.dense, name="dense")(both)))


@dataclasses.dataclass(frozen=True)
class Ours:
    """A case of ours, compiled.

    Attributes:
        run: makes the training step that follows, and gives its loss.
        compile_ms: of compilation.
        temporary_mib: that XLA allocates beside arguments and results.
        arrays: all that the other side needs: parameters by name, features, targets.
        first: loss and gradients of the first step, by name.
    """

    run: Callable[[], Any]
    compile_ms: float
    temporary_mib: float
    arrays: Mapping[str, np.ndarray]
    first: Mapping[str, np.ndarray]


def training(sizes: Sizes, members: int = 1) -> Ours:
    """Steps of Adam on one batch again and again, or as many at once as there are members, each on its own."""
    network = Network(sizes)
    made = [_start(network, member) for member in range(members)]
    state, batch = made[0] if members == 1 else jax.tree.map(lambda *x: jnp.stack(x), *made)
    step = make_step(network)
    wide = jax.jit(step if members == 1 else jax.vmap(step), donate_argnums=0)
    arrays = _named(state[0]) | _named(batch)
    began = time.perf_counter()
    program = wide.lower(state, batch).compile()
    compile_ms = 1e3 * (time.perf_counter() - began)
    found: Any = program.memory_analysis()
    current, loss = program(state, batch)
    moments = next(
        part.mu for part in current[1] if hasattr(part, "mu")
    )  # .1 of the gradient, after one step
    first = {name: 10 * x for name, x in _named(moments).items()} | {"loss": np.array(loss)}

    def run() -> Any:
        nonlocal current
        current, loss = program(current, batch)
        return loss

    return Ours(run, compile_ms, found.temp_size_in_bytes / MIB, arrays, first)


def make_step(network: Network) -> Callable[[Any, Any], Any]:
    """(parameters and Adam's state, batch) -> (the same after a step, loss)."""

    def loss_of(params: Any, features: Any, targets: Any) -> jax.Array:
        logits: Any = network.apply({"params": params}, features)
        return optax.softmax_cross_entropy_with_integer_labels(logits, targets).mean()

    def step(state: Any, batch: Any) -> Any:
        params, moments = state
        loss, gradients = jax.value_and_grad(loss_of)(params, batch["features"], batch["targets"])
        updates, moments = ADAM.update(gradients, moments)
        return (optax.apply_updates(params, updates), moments), loss

    return step


def _start(network: Network, seed: int) -> Any:
    random, s = np.random.default_rng(seed), network.sizes
    features = {
        name: random.normal(size=(s.batch, s.time, dim)).astype(np.float32) for name, dim in DIMS.items()
    }
    targets = random.integers(0, CLASSES, s.batch).astype(np.int32)
    params = jax.jit(network.init)(jax.random.key(seed), features)["params"]
    return jax.device_put(((params, ADAM.init(params)), {"features": features, "targets": targets}))


def _named(tree: Any) -> dict[str, np.ndarray]:
    """Path -> a copy of the array."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {"/".join(part.key for part in path): np.array(x) for path, x in leaves}
