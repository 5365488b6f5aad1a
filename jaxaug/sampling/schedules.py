"""Strategies that begin or end in the course of training."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array

from jaxaug.batches import batch_size, selected
from jaxaug.checks import check_number
from jaxaug.sampling.strategy import Strategy

Selection = tuple[Any, Any, dict[str, jax.Array]]


class TimedState(NamedTuple):
    """Where in training a strategy is."""

    step: Array  # int32 scalar, selections made
    inner: Any


def slow_start(strategy: Strategy, *, steps: ArrayLike) -> Strategy:
    """The strategy that comes in gradually: at step t an example takes part with probability min(1, t / steps).

    The others keep what the batch held, bit for bit, one coin per example (and copy, where there are several).

    Args:
      strategy: any other; it sees every step.
      steps: when all examples take part, above 0; may be traced.

    Returns:
      A `Strategy`; its metrics are those of `strategy`, `augmented` multiplied by the share that takes part.

    Raises:
      ValueError: `steps` is not above 0.
      TypeError: `strategy` is no `Strategy`.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from jaxaug.sampling import always
      >>> strategy = slow_start(always(lambda key, x: x + 1), steps=2)
      >>> state, x = strategy.init(4), jnp.zeros(4)
      >>> for key in jax.random.split(jax.random.key(1), 3):
      ...     out, state, metrics = strategy.select(key, state, x, None)
      ...     print(out)
      [0. 0. 0. 0.]
      [1. 0. 0. 1.]
      [1. 1. 1. 1.]
    """
    _check_strategy("slow_start", strategy)
    check_number("slow_start", "steps", steps, 0.0, open_low=True)

    def select(key: jax.Array, state: TimedState, batch: Any, score: Any) -> Selection:
        coin_key, key = jax.random.split(key)
        chosen, inner, metrics = strategy.select(key, state.inner, batch, score)
        kept = _repeated("slow_start", batch, chosen)
        prob = jnp.minimum(1.0, state.step.astype(jnp.float32) / jnp.asarray(steps, jnp.float32))
        coins = jax.random.bernoulli(coin_key, prob, (batch_size("slow_start", chosen),))
        metrics = {**metrics, "augmented": metrics["augmented"] * jnp.mean(coins, dtype=jnp.float32)}
        return selected("slow_start", coins, chosen, kept), TimedState(state.step + 1, inner), metrics

    return _timed(strategy, select)


def stop_after(strategy: Strategy, *, steps: ArrayLike) -> Strategy:
    """The strategy that ends: from step `steps` on the batch is left as it is, and nothing is scored any more.

    Args:
      strategy: any other.
      steps: how many steps it lasts, at least 0; may be traced.

    Returns:
      A `Strategy`; its metrics are those of `strategy`, 0 once it has ended.

    Raises:
      ValueError: `steps` is negative.
      TypeError: `strategy` is no `Strategy`.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from jaxaug.sampling import always
      >>> strategy = stop_after(always(lambda key, x: x + 1), steps=2)
      >>> state, x = strategy.init(4), jnp.zeros(4)
      >>> for key in jax.random.split(jax.random.key(1), 3):
      ...     out, state, metrics = strategy.select(key, state, x, None)
      ...     print(out, metrics["augmented"])
      [1. 1. 1. 1.] 1.0
      [1. 1. 1. 1.] 1.0
      [0. 0. 0. 0.] 0.0
    """
    _check_strategy("stop_after", strategy)
    check_number("stop_after", "steps", steps, 0.0)

    def select(key: jax.Array, state: TimedState, batch: Any, score: Any) -> Selection:
        def on() -> Selection:
            return strategy.select(key, state.inner, batch, score)

        form, _, metrics = jax.eval_shape(on)

        def off() -> Selection:
            zeros = jax.tree.map(lambda m: jnp.zeros(m.shape, m.dtype), metrics)
            return _repeated("stop_after", batch, form), state.inner, zeros

        out, inner, metrics = jax.lax.cond(state.step.astype(jnp.float32) < jnp.asarray(steps, jnp.float32), on, off)
        return out, TimedState(state.step + 1, inner), metrics

    return _timed(strategy, select)


def _check_strategy(function: str, strategy: Any) -> None:
    if not isinstance(strategy, Strategy):
        raise TypeError(f"{function} takes a Strategy, as always(augment) is; got {type(strategy).__name__}.")


def _timed(strategy: Strategy, select: Any) -> Strategy:
    return Strategy(
        init=lambda num_examples: TimedState(jnp.zeros((), jnp.int32), strategy.init(num_examples)),
        select=select,
        observe=lambda state, batch, losses: state._replace(inner=strategy.observe(state.inner, batch, losses)),
    )


def _repeated(function: str, batch: Any, form: Any) -> Any:
    """Returns the batch in the form that a strategy gives it: so many copies, and the weight 1 where it adds one."""
    copies = batch_size(function, form) // batch_size(function, batch)
    if isinstance(form, dict) and "weight" in form and "weight" not in batch:
        batch = {**batch, "weight": jnp.ones((batch_size(function, batch),), form["weight"].dtype)}
    return jax.tree.map(lambda leaf: jnp.concatenate([leaf] * copies), batch)
