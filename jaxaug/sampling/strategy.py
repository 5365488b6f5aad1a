"""The interface of a strategy, and the two simplest strategies."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxaug.compose import Augmentation

Score = Callable[[Any], jax.Array]
"""batch -> per-example loss `[B]` under the current weights, in inference mode; never differentiated."""


class Strategy(NamedTuple):
    """Three pure functions that decide which examples to augment, similar to an optax gradient transformation.

    A training step calls `select` before it computes gradients, trains on the batch that `select` returns, and passes
    the losses of that batch to `observe`. The state is any pytree; it is part of the training state and of checkpoints.
    """

    init: Callable[[int], Any]  # num_examples -> state
    select: Callable[[jax.Array, Any, dict[str, Any], Score], tuple[dict[str, Any], Any, dict[str, jax.Array]]]
    # (key, state, batch, score) -> (batch, state, metrics); metrics hold "augmented", the share of augmented examples
    observe: Callable[[Any, dict[str, Any], jax.Array], Any]  # (state, batch, losses [B]) -> state


def always(augment: Augmentation, *, in_state: bool = False) -> Strategy:
    """Returns the strategy that augments every example, as in ordinary training.

    Args:
      augment: augmentation `(key, batch) -> batch`.
      in_state: whether to keep the augmentation, a pytree as returned by `jaxaug.compose`, in the state of the
        strategy. The members of a population can then have different magnitudes.

    Returns:
      A `Strategy`, stateless unless `in_state`. Its metric `augmented` is 1.

    Raises:
      TypeError: `augment` cannot be called.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> strategy = always(lambda key, batch: {**batch, "image": batch["image"] + 1})
      >>> batch, state, metrics = strategy.select(jax.random.key(0), strategy.init(10), {"image": jnp.zeros(2)}, None)
      >>> batch["image"], float(metrics["augmented"])
      (Array([1., 1.], dtype=float32), 1.0)
    """
    check_augment("always", augment)
    strategy = _for_all(augment, share=1.0)
    if not in_state:
        return strategy

    def select(key: jax.Array, state: Any, batch: dict[str, Any], score: Any) -> Any:
        return state(key, batch), state, {"augmented": jnp.float32(1.0)}

    return strategy._replace(init=lambda num_examples: augment, select=select)


def never() -> Strategy:
    """Returns the strategy that augments no example, the baseline of every comparison.

    Returns:
      A stateless `Strategy`. Its metric `augmented` is 0.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> batch, state, metrics = never().select(jax.random.key(0), (), {"image": jnp.zeros(2)}, None)
      >>> batch["image"], float(metrics["augmented"])
      (Array([0., 0.], dtype=float32), 0.0)
    """
    return _for_all(lambda key, batch: batch, share=0.0)


def stateless(select: Callable[..., Any]) -> Strategy:
    """Returns the strategy with the given `select` and no state."""
    return Strategy(init=lambda num_examples: (), select=select, observe=lambda state, batch, losses: state)


def _for_all(augment: Augmentation, share: float) -> Strategy:
    return stateless(lambda key, state, batch, score: (augment(key, batch), state, {"augmented": jnp.float32(share)}))


def check_augment(function: str, augment: Any) -> None:
    """Raises `TypeError` unless `augment` can be called."""
    if not callable(augment):
        raise TypeError(f"{function} takes an augmentation (key, batch) -> batch; got {type(augment).__name__}.")
