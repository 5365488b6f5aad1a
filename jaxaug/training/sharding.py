"""All devices as one: a batch is shared out among them, and everything else lies on each of them."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

DATA = "data"  # the axis of the mesh, along which the examples of a batch are shared out


def data_mesh() -> Mesh:
    """The mesh of all devices of all processes, one axis long, for `with jax.set_mesh(data_mesh()):`.

    Under it, training steps share their batches out among the devices. What is computed is the same as on one device,
    but for the order of additions: means over a batch, batch statistics and mixing partners are those of the whole.

    Example:
      >>> data_mesh().axis_names
      ('data',)
    """
    # Auto: XLA's partitioner decides where values in between lie, so that a step is written as for one device.
    return jax.make_mesh((jax.device_count(),), (DATA,), axis_types=(AxisType.Auto,))


def shard_batch(tree: Any) -> Any:
    """Returns arrays with a leading axis of examples, each device having its part of it under a `data_mesh`.

    Without such a mesh, and where the devices do not divide the examples, as in the last batch of an epoch, each has
    all. The partitioner follows what it is told at the ends of a step, but loses the way where a batch is gathered by
    an index or sorted, and would then compute all of it everywhere.
    """
    devices = _devices_in_context()
    return tree if devices is None else jax.tree.map(lambda x: _constrained(x, _examples(len(x), devices)), tree)


def whole(tree: Any) -> Any:
    """Returns arrays that lie whole on each device under a `data_mesh`."""
    return tree if _devices_in_context() is None else jax.tree.map(lambda x: _constrained(x, PartitionSpec()), tree)


def replicated(mesh: Mesh) -> NamedSharding:
    """Returns the sharding of what lies whole on each device."""
    return NamedSharding(mesh, PartitionSpec())


def batch_sharding(mesh: Mesh, size: int) -> NamedSharding:
    """Returns the sharding that `shard_batch` gives to so many examples."""
    return NamedSharding(mesh, _examples(size, mesh.size))


def state_shardings(state: Any, mesh: Mesh, *, shard_optimizer: bool = False) -> Any:
    """Returns where the leaves of a `TrainState` lie: whole on each device.

    With `shard_optimizer` each device keeps its part alone of the optimizer's state, along the longest axis of a leaf
    that the devices divide (Rajbhandari et al., "ZeRO", SC 2020, stage 1).
    """
    shardings = jax.tree.map(lambda _: replicated(mesh), state)
    return shardings.replace(opt_state=jax.tree.map(_divided(mesh), state.opt_state)) if shard_optimizer else shardings


def shard_state(state: Any, *, shard_optimizer: bool = False) -> Any:
    """Returns a `TrainState` on the devices of the `data_mesh`, as `fit` takes it up and checkpoints restore it."""
    return placed(state, state_shardings(state, data_mesh(), shard_optimizer=shard_optimizer))


def placed(tree: Any, shardings: Any) -> Any:
    """Returns a tree on the devices, of which every process has the whole; what lies there already is not copied."""
    leaves, form = jax.tree.flatten(tree)
    targets = jax.tree.leaves(jax.tree.broadcast(shardings, tree))
    return jax.tree.unflatten(form, [_placed(x, target) for x, target in zip(leaves, targets, strict=True)])


def _devices_in_context() -> int | None:
    mesh = jax.sharding.get_abstract_mesh()
    kinds = dict(zip(mesh.axis_names, mesh.axis_types, strict=True))
    return mesh.shape[DATA] if kinds.get(DATA) == AxisType.Auto else None


def _examples(size: int, devices: int) -> PartitionSpec:
    return PartitionSpec(DATA) if size % devices == 0 else PartitionSpec()


def _constrained(x: jax.Array, spec: PartitionSpec) -> jax.Array:
    return jax.lax.with_sharding_constraint(x, spec)


def _divided(mesh: Mesh) -> Callable[[Any], NamedSharding]:
    def sharding(leaf: Any) -> NamedSharding:
        axes = [axis for axis, size in enumerate(leaf.shape) if size and size % mesh.size == 0]
        if not axes:
            return replicated(mesh)
        longest = max(axes, key=lambda axis: leaf.shape[axis])
        return NamedSharding(mesh, PartitionSpec(*[None] * longest, DATA))

    return sharding


def _placed(array: Any, sharding: NamedSharding) -> jax.Array:
    # Equal, not equivalent: to a program, what lies elsewhere in name is another input, and it is compiled once more.
    if isinstance(array, jax.Array) and array.committed and array.sharding == sharding:
        return array
    if sharding.is_fully_addressable:
        return jax.device_put(array, sharding)
    if jnp.issubdtype(array.dtype, jax.dtypes.prng_key):
        data = _placed(jax.random.key_data(array), sharding)
        return jax.random.wrap_key_data(data, impl=jax.random.key_impl(array))
    # device_put would first compare what the processes have, and send all of it around for that.
    host = np.asarray(array)
    return jax.make_array_from_callback(host.shape, sharding, lambda index: host[index])
