"""The order of the training examples in an epoch, a function of the run's key and the epoch."""

import jax
import jax.numpy as jnp

from jaxaug.training.types import Sampling

# The number that fold_in takes for the order of the examples. Steps count from 0 and never reach it.
_ORDER = 2**31 - 1


def sampled_order(
    sampling: Sampling, key: jax.Array, epoch: jax.Array, labels: jax.Array, num_classes: int
) -> jax.Array:
    """Returns the order of the examples in an epoch, int32 `[N]`, for this kind of sampling."""
    if sampling == "shuffled":
        return epoch_order(key, epoch, labels.shape[0])
    return class_balanced_order(key, epoch, labels, num_classes)


def epoch_order(key: jax.Array, epoch: jax.Array, size: int) -> jax.Array:
    """The order of an epoch in which each example appears once, at random.

    Args:
      key: the run's key, not consumed.
      epoch: int32 scalar; may be traced.
      size: the number of examples; fixes a shape.

    Returns:
      int32 `[size]`; the same key and epoch always give the same order.

    Example:
      >>> order = epoch_order(jax.random.key(0), jnp.int32(0), 4)
      >>> sorted(order.tolist())
      [0, 1, 2, 3]
    """
    # One sort by 32 random bits. jax.random.permutation sorts at least twice and takes more than twice as long, which
    # is a quarter of the epoch of a small network. One pair in 4e9 is a tie, and may come in either order.
    return jnp.argsort(jax.random.bits(_order_key(key, epoch), (size,)), stable=False).astype(jnp.int32)


def class_balanced_order(key: jax.Array, epoch: jax.Array, labels: jax.Array, num_classes: int) -> jax.Array:
    """The order of an epoch in which each class appears equally often.

    Of the N draws, each of the P classes that have examples gets floor(N / P) or one more; which classes get one more
    is drawn in each epoch. A class goes through its n_k examples in a random order, again and again, so the draws of
    any two of them differ by at most one. At the end, all draws are shuffled.

    Args:
      key: the run's key, not consumed.
      epoch: int32 scalar; may be traced.
      labels: `[N]`, integers in [0, K).
      num_classes: K; fixes a shape.

    Returns:
      int32 `[N]`, indices of examples; the same key and epoch always give the same order.

    Example:
      >>> labels = jnp.array([0, 0, 0, 0, 0, 0, 1, 1])
      >>> order = class_balanced_order(jax.random.key(0), jnp.int32(0), labels, 2)
      >>> jnp.bincount(labels[order], length=2), jnp.bincount(order, length=8)[6:]
      (Array([4, 4], dtype=int32), Array([2, 2], dtype=int32))

    References:
      Kang et al., "Decoupling representation and classifier for long-tailed recognition", ICLR 2020, section 3,
      class-balanced sampling; the paper draws with replacement, this function without, as far as possible.
    """
    size = labels.shape[0]
    member_key, class_key, shuffle_key = jax.random.split(_order_key(key, epoch), 3)
    counts = jnp.bincount(labels, length=num_classes)
    absent = counts == 0
    # Sorted by class, in random order within a class; `first` is where each class starts.
    members = jnp.lexsort((jax.random.bits(member_key, (size,)), labels))
    first = jnp.cumsum(counts) - counts
    # The classes that have examples take turns, in a random order: the last round may end before all had their turn.
    classes = jnp.lexsort((jax.random.bits(class_key, (num_classes,)), absent))
    turn, place = jnp.divmod(jnp.arange(size, dtype=jnp.int32), num_classes - jnp.sum(absent))
    drawn = classes[place]
    order = members[first[drawn] + turn % counts[drawn]]
    return order[jnp.argsort(jax.random.bits(shuffle_key, (size,)), stable=False)].astype(jnp.int32)


def _order_key(key: jax.Array, epoch: jax.Array) -> jax.Array:
    return jax.random.fold_in(jax.random.fold_in(key, _ORDER), epoch)
