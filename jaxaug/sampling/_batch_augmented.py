"""Batch augmentation: training on several augmented copies of each example."""

from typing import Any

import jax
import jax.numpy as jnp

from jaxaug.checks import check_key, check_size
from jaxaug.compose import Augmentation
from jaxaug.sampling.candidates import concatenated
from jaxaug.sampling.strategy import Strategy, check_augment, stateless


def batch_augmented(augment: Augmentation, *, copies: int = 2) -> Strategy:
    """Returns the strategy that trains on several augmented copies of each example at once (batch augmentation).

    `select` returns a batch of M B examples with the copies concatenated along axis 0, in every leaf: images, labels,
    indices and others. Its mean loss is the mean over copies and examples. A step costs M times as much.

    Args:
      augment: augmentation `(key, batch) -> batch`; the batch may be any pytree.
      copies: M, at least 1; fixes a shape.

    Returns:
      A stateless `Strategy`. Its metric `augmented` is 1.

    Raises:
      ValueError: `copies` is below 1.
      TypeError: `augment` cannot be called.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> strategy = batch_augmented(lambda key, batch: batch, copies=2)
      >>> strategy.select(jax.random.key(0), strategy.init(2), {"index": jnp.array([4, 7])}, None)[0]["index"]
      Array([4, 7, 4, 7], dtype=int32)

    References:
      Hoffer, Ben-Nun, Hubara, Giladi, Hoefler, Soudry, "Augment your batch: Improving generalization through instance
      repetition", CVPR 2020, section 3.
    """

    def select(key: jax.Array, state: Any, batch: Any, score: Any) -> tuple[Any, Any, dict[str, jax.Array]]:
        check_key("batch_augmented", key)
        augmented = [augment(copy_key, batch) for copy_key in jax.random.split(key, copies)]
        return concatenated(augmented), state, {"augmented": jnp.ones(())}

    check_augment("batch_augmented", augment)
    check_size("batch_augmented", "copies", copies, 1)
    return stateless(select)
