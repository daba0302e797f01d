"""Data parallelism, once: the only place that puts arrays on devices.

A per-device function over the axis "data" is mapped by `pmap`, or by `shard_map` under
`jit`; results are the same.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from mer_jax.errors import InputError
from mer_jax.nn.regularization import DATA_AXIS

Mode = Literal["pmap", "shard_map"]


class DataParallel:
    """Places state on every device and a part of each batch on each.

    `train` maps `f(state, batch) -> (state, sums)`: state and sums equal on all devices.
    `predict` maps `f(state, batch) -> arrays`. The examples are the second axis of what
    `train` takes and `predict` gives (the first one is that of the trainings of a program)
    and the first axis of what `predict` takes.
    """

    def __init__(self, mode: Mode = "pmap", devices: Sequence[jax.Device] | None = None):
        self.mode = mode
        self.devices = list(jax.local_devices() if devices is None else devices)
        mesh = Mesh(np.array(self.devices), (DATA_AXIS,))
        self._mesh = mesh
        self._whole = NamedSharding(mesh, P())

    @property
    def count(self) -> int:
        return len(self.devices)

    @property
    def shares_cores(self) -> bool:
        """Whether several devices are parts of one CPU: then steps that wait in line can take
        the threads that a collective operation of the running one needs."""
        return self.count > 1 and self.devices[0].platform == "cpu"

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
        return jax.tree.map(lambda x: jax.device_put(x, self._split(0)), stacked)

    def place_batch(self, batch: Any, axis: int = 0) -> Any:
        """The batch's examples, which lie along `axis`, divided among the devices in order."""
        if self.mode == "shard_map":
            return jax.tree.map(lambda x: jax.device_put(x, self._split(axis)), batch)
        return jax.tree.map(lambda x: jax.device_put(self._devices_first(x, axis), self._split(0)), batch)

    def described(self, tree: Any, axis: int | None = None) -> Any:
        """Shapes and places of what `place_state` (or, with an axis, `place_batch`) would give."""
        return jax.tree.map(lambda x: self._described(x, axis), tree)

    def _described(self, x: Any, axis: int | None) -> jax.ShapeDtypeStruct:
        shape, sharding = tuple(x.shape), self._whole if axis is None else self._split(axis)
        if self.mode == "pmap":
            shape = (self.count, *shape)
            if axis is not None:
                shape = (*shape[: axis + 1], shape[axis + 1] // self.count, *shape[axis + 2 :])
            sharding = self._split(0)
        return jax.ShapeDtypeStruct(shape, x.dtype, sharding=sharding)

    def _split(self, axis: int) -> NamedSharding:
        return NamedSharding(self._mesh, P(*[None] * axis, DATA_AXIS))

    def _devices_first(self, x: np.ndarray, axis: int) -> np.ndarray:
        shape = (*x.shape[:axis], self.count, x.shape[axis] // self.count, *x.shape[axis + 1 :])
        return np.moveaxis(x.reshape(shape), axis, 0)

    def train(self, function: Callable[[Any, Any], tuple[Any, Any]]) -> Any:
        """The mapped training step, jitted (it can be lowered); it takes over the state it is given."""
        if self.mode == "pmap":
            return jax.pmap(function, axis_name=DATA_AXIS, devices=self.devices, donate_argnums=0)
        mapped = jax.shard_map(
            function,
            mesh=self._mesh,
            in_specs=(P(), P(None, DATA_AXIS)),
            out_specs=(P(), P()),
            check_vma=False,
        )
        return jax.jit(mapped, donate_argnums=0)

    def predict(self, function: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
        """The mapped prediction step."""
        if self.mode == "pmap":
            return jax.pmap(function, axis_name=DATA_AXIS, devices=self.devices)
        mapped = jax.shard_map(
            function,
            mesh=self._mesh,
            in_specs=(P(), P(DATA_AXIS)),
            out_specs=P(None, DATA_AXIS),
            check_vma=False,
        )
        return jax.jit(mapped)

    def one_copy(self, tree: Any) -> Any:
        """One device's copy of what all devices hold, as numpy arrays."""
        return jax.tree.map(self._first, tree)

    def gather(self, tree: Any) -> Any:
        """What `predict` gave, with the examples of all devices in order, as numpy arrays."""
        if self.mode == "shard_map":
            return jax.tree.map(np.asarray, tree)
        return jax.tree.map(self._devices_last, tree)

    def _devices_last(self, x: jax.Array) -> np.ndarray:
        moved = np.moveaxis(np.asarray(x), 0, 1)
        return moved.reshape(moved.shape[0], -1, *moved.shape[3:])

    def _first(self, x: jax.Array) -> np.ndarray:
        part = np.asarray(x.addressable_shards[0].data)
        return np.asarray(part[0] if self.mode == "pmap" else part)

    def set_values(self, like: jax.Array, values: Sequence[float]) -> jax.Array:
        """`values`, one per training, placed as the part `like` of a state is."""
        wide = np.broadcast_to(np.asarray(values, like.dtype), like.shape)
        return jax.device_put(wide, like.sharding)
