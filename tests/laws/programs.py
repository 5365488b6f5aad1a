"""The programs that the laws look at, each compiled once for an operation: compiling takes nearly all the time."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from laws.operations import Operation, lower_value, pictures

KEY = jax.random.key(17)
IMAGES = pictures((2, 2, 3, 8, 12, 3))


def values(operation: Operation) -> list[dict[str, Any]]:
    """Returns two values for all numeric options: the ones under test, and other ones."""
    first = {**operation.numbers, **operation.even_coin}
    return [first, {name: lower_value(value) for name, value in first.items()}]


@functools.cache
def over_values(operation: Operation) -> tuple[jax.Array, Any]:
    """Returns keys `[2, 2]`, and what jit of scan of vmap makes of them and of `IMAGES`.

    The scan is over keys and images, the vmap over keys, images and both values of every numeric option.
    """
    keys = jax.random.split(KEY, (2, 2))
    stacked = jax.tree.map(lambda *numbers: np.asarray(numbers, np.float32), *values(operation))

    @jax.jit
    def run(keys: Any, images: Any, stacked: Any) -> Any:
        mapped = jax.vmap(lambda key, images, numbers: operation(key, images, **numbers))
        return jax.lax.scan(lambda _, pair: (None, mapped(*pair, stacked)), None, (keys, images))[1]

    return keys, jax.tree.map(np.asarray, run(keys, IMAGES, stacked))


@functools.cache
def checked_for_key_reuse(operation: Operation) -> tuple[Any, bool]:
    """Returns what jit makes of `KEY` and `IMAGES[0, 0]` by the default options, and whether it consumes the key.

    Raises:
      jax.errors.KeyReuseError: it uses a key twice.
    """
    with jax.debug_key_reuse(True):
        key = jax.random.clone(KEY)
        result = jax.jit(operation.__call__)(key, IMAGES[0, 0])
        return jax.tree.map(np.asarray, result), was_consumed(key)


def was_consumed(key: jax.Array) -> bool:
    """Returns whether a draw from the key counts as reuse."""
    try:
        jax.random.bits(key)
    except jax.errors.KeyReuseError:
        return True
    return False


def described(operation: Operation, keys: jax.Array, prob: float) -> tuple[np.ndarray, np.ndarray]:
    """Returns what copies of one image became under each of N keys, in numbers, and which of them changed.

    The numbers `[N, 3, F]` tell apart what the first three examples became; the changes are `[N, B]`. `prob` counts
    where the operation has it.
    """
    numbers, changed = _described(operation)(keys, np.float32(prob))
    return np.asarray(numbers), np.asarray(changed)


@functools.cache
def _described(operation: Operation) -> Callable[[jax.Array, Any], tuple[jax.Array, jax.Array]]:
    batch = 24 if operation.mixes else 3
    projection = np.random.default_rng(1).normal(size=(8 * 12 * 3, 4)).astype(np.float32)

    @jax.jit
    @functools.partial(jax.vmap, in_axes=(0, None))
    def run(key: jax.Array, prob: jax.Array) -> tuple[jax.Array, jax.Array]:
        images = jnp.broadcast_to(pictures((8, 12, 3)), (batch, 8, 12, 3))
        leaves = jax.tree.leaves(operation(key, images, **({"prob": prob} if operation.has_prob else {})))
        parts = [(leaves[0] - images)[:3].reshape(3, -1) @ projection]
        # A row of labels over classes of their own: how much each source weighs, whichever it is.
        parts += [jnp.stack([(leaf[:3] ** 2).sum(1), leaf[:3].max(1)], axis=1) for leaf in leaves[1:]]
        return jnp.concatenate(parts, axis=1), (leaves[0] != images).any((1, 2, 3))

    return run
