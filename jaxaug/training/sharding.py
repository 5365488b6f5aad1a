"""Data parallelism: each batch is sharded over all devices, everything else is replicated."""

import os
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

DATA = "data"  # the axis of the mesh over which the examples of a batch are sharded


def cpu_count() -> int:
    """The number of CPU cores this process may use; taskset and batch systems can allow fewer than there are.

    Example:
      >>> cpu_count() >= 1
      True
    """
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def data_mesh() -> Mesh:
    """The mesh of all devices of all processes, with one axis, for `with jax.set_mesh(data_mesh()):`.

    Under this mesh, training steps shard their batches over the devices. They compute the same as on one device, up to
    the order of additions: means over a batch, batch statistics and mixing partners are those of the whole batch.

    Example:
      >>> data_mesh().axis_names
      ('data',)
    """
    # Auto: XLA's partitioner shards the intermediate values, so a step is written as if for one device.
    return jax.make_mesh((jax.device_count(),), (DATA,), axis_types=(AxisType.Auto,))


def shard_batch(tree: Any) -> Any:
    """Returns the arrays sharded along their leading axis of examples, if there is a `data_mesh`.

    Where the devices do not divide the examples, as in the last batch of an epoch, the arrays are replicated. A step
    shards its batch wherever it gathers or sorts one: from there on the partitioner would otherwise give up and compute
    the whole batch on every device.
    """
    devices = _devices_in_context()
    return tree if devices is None else jax.tree.map(lambda x: _constrained(x, _examples(len(x), devices)), tree)


def replicate(tree: Any) -> Any:
    """Returns the arrays replicated on every device, if there is a `data_mesh`."""
    return tree if _devices_in_context() is None else jax.tree.map(lambda x: _constrained(x, PartitionSpec()), tree)


def replicated(mesh: Mesh) -> NamedSharding:
    """Returns the sharding of arrays that are replicated on every device."""
    return NamedSharding(mesh, PartitionSpec())


def batch_sharding(mesh: Mesh, size: int) -> NamedSharding:
    """Returns the sharding that `shard_batch` gives to a batch of this size."""
    return NamedSharding(mesh, _examples(size, mesh.size))


def state_shardings(state: Any, mesh: Mesh, *, shard_optimizer: bool = False) -> Any:
    """Returns the sharding of each leaf of a `TrainState`: replicated.

    With `shard_optimizer`, each device holds only its part of the optimizer's state: a leaf is sharded along its
    longest axis that the devices divide (Rajbhandari et al., "ZeRO", SC 2020, stage 1).
    """
    shardings = jax.tree.map(lambda _: replicated(mesh), state)
    return (
        shardings.replace(opt_state=jax.tree.map(_longest_axis(mesh), state.opt_state))
        if shard_optimizer
        else shardings
    )


def shard_state(state: Any, *, shard_optimizer: bool = False) -> Any:
    """A `TrainState` on the devices of the `data_mesh`, sharded as `fit` shards it.

    Pass the result to `Checkpoints.restore` to restore a checkpoint directly onto these devices.

    Args:
      state: of `init_state`; every process has all of it.
      shard_optimizer: as in `fit`.

    Returns:
      The state; a leaf that already has its sharding is not copied.

    Example:
      >>> import jax, optax
      >>> from jaxaug import create_model, never
      >>> from jaxaug.training import init_state
      >>> state = init_state(
      ...     jax.random.key(0), create_model("mlp", 3), optax.sgd(0.1), never(), shape=(4,), num_examples=120)
      >>> shard_state(state).step.sharding.mesh.axis_names
      ('data',)
    """
    return device_put_global(state, state_shardings(state, data_mesh(), shard_optimizer=shard_optimizer))


def device_put_global(tree: Any, shardings: Any) -> Any:
    """Returns a tree of which every process has all, on the devices of all processes.

    What is there already is not copied.
    """
    leaves, treedef = jax.tree.flatten(tree)
    targets = jax.tree.leaves(jax.tree.broadcast(shardings, tree))
    return jax.tree.unflatten(treedef, [_put(x, target) for x, target in zip(leaves, targets, strict=True)])


def _devices_in_context() -> int | None:
    mesh = jax.sharding.get_abstract_mesh()
    kinds = dict(zip(mesh.axis_names, mesh.axis_types, strict=True))
    return mesh.shape[DATA] if kinds.get(DATA) == AxisType.Auto else None


def _examples(size: int, devices: int) -> PartitionSpec:
    return PartitionSpec(DATA) if size % devices == 0 else PartitionSpec()


def _constrained(x: jax.Array, spec: PartitionSpec) -> jax.Array:
    return jax.lax.with_sharding_constraint(x, spec)


def _longest_axis(mesh: Mesh) -> Callable[[Any], NamedSharding]:
    def sharding(leaf: Any) -> NamedSharding:
        axes = [axis for axis, size in enumerate(leaf.shape) if size and size % mesh.size == 0]
        if not axes:
            return replicated(mesh)
        longest = max(axes, key=lambda axis: leaf.shape[axis])
        return NamedSharding(mesh, PartitionSpec(*[None] * longest, DATA))

    return sharding


def _put(array: Any, sharding: NamedSharding) -> jax.Array:
    # Equal, not only equivalent: a program would be compiled again for an input whose sharding differs in name.
    if isinstance(array, jax.Array) and array.committed and array.sharding == sharding:
        return array
    if sharding.is_fully_addressable:
        return jax.device_put(array, sharding)
    if jnp.issubdtype(array.dtype, jax.dtypes.prng_key):
        data = _put(jax.random.key_data(array), sharding)
        return jax.random.wrap_key_data(data, impl=jax.random.key_impl(array))
    # device_put would first send the whole array around, to compare what the processes have.
    host = np.asarray(array)
    return jax.make_array_from_callback(host.shape, sharding, lambda index: host[index])
