"""Data parallelism, once: the only place that puts arrays on devices.

A per-device function over the axis "data" is mapped by `pmap`, or by `shard_map` under
`jit`; results are the same.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from mer_jax.errors import InputError
from mer_jax.nn.regularization import DATA_AXIS

Mode = Literal["pmap", "shard_map"]


class DataParallel:
    """Places state on every device and a part of each batch on each.

    `train` maps `f(state, batch) -> (state, sums)`: state and sums equal on all devices.
    `predict` maps `f(state, batch) -> arrays` with the examples first.
    """

    def __init__(self, mode: Mode = "pmap", devices: Sequence[jax.Device] | None = None):
        self.mode = mode
        self.devices = list(jax.local_devices() if devices is None else devices)
        mesh = Mesh(np.array(self.devices), (DATA_AXIS,))
        self._mesh = mesh
        self._split = NamedSharding(mesh, P(DATA_AXIS))
        self._whole = NamedSharding(mesh, P())

    @property
    def count(self) -> int:
        return len(self.devices)

    def check_batch_size(self, batch_size: int) -> None:
        """Raises InputError where a batch can't be divided among the devices."""
        if batch_size < 1 or batch_size % self.count:
            raise InputError(
                f"training.batch_size={batch_size} must be a positive multiple of the {self.count} devices"
            )

    def place_state(self, state: Any) -> Any:
        """The state on every device (under pmap with a leading device axis)."""
        if self.mode == "shard_map":
            return jax.tree.map(lambda x: jax.device_put(x, self._whole), state)
        stacked = jax.tree.map(
            lambda x: np.broadcast_to(np.asarray(x)[None], (self.count, *np.shape(x))), state
        )
        return jax.tree.map(lambda x: jax.device_put(x, self._split), stacked)

    def place_batch(self, batch: Any) -> Any:
        """The batch's examples divided among the devices, in order."""
        if self.mode == "pmap":
            batch = jax.tree.map(lambda x: x.reshape(self.count, len(x) // self.count, *x.shape[1:]), batch)
        return jax.tree.map(lambda x: jax.device_put(x, self._split), batch)

    def train(self, function: Callable[[Any, Any], tuple[Any, Any]]) -> Callable[[Any, Any], tuple[Any, Any]]:
        """The mapped training step; it takes over the state it is given."""
        if self.mode == "pmap":
            return jax.pmap(function, axis_name=DATA_AXIS, devices=self.devices, donate_argnums=0)
        mapped = jax.shard_map(
            function, mesh=self._mesh, in_specs=(P(), P(DATA_AXIS)), out_specs=(P(), P()), check_vma=False
        )
        return jax.jit(mapped, donate_argnums=0)

    def predict(self, function: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
        """The mapped prediction step."""
        if self.mode == "pmap":
            return jax.pmap(function, axis_name=DATA_AXIS, devices=self.devices)
        mapped = jax.shard_map(
            function, mesh=self._mesh, in_specs=(P(), P(DATA_AXIS)), out_specs=P(DATA_AXIS), check_vma=False
        )
        return jax.jit(mapped)

    def one_copy(self, tree: Any) -> Any:
        """One device's copy of what all devices hold, as numpy arrays."""
        return jax.tree.map(self._first, tree)

    def gather(self, tree: Any) -> Any:
        """Arrays with the examples of all devices in order, as numpy arrays."""
        if self.mode == "shard_map":
            return jax.tree.map(np.asarray, tree)
        return jax.tree.map(lambda x: np.asarray(x).reshape(-1, *x.shape[2:]), tree)

    def _first(self, x: jax.Array) -> np.ndarray:
        part = np.asarray(x.addressable_shards[0].data)
        return np.asarray(part[0] if self.mode == "pmap" else part)

    def set_scalar(self, like: jax.Array, value: float) -> jax.Array:
        """`value` placed as `like` is."""
        return jax.device_put(jnp.full(like.shape, value, like.dtype), like.sharding)
