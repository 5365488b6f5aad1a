"""Strategies that start gradually or stop during training."""

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
    """The state of a strategy that depends on the step."""

    step: Array  # int32 scalar, number of selections so far
    inner: Any  # state of the wrapped strategy


def slow_start(strategy: Strategy, *, steps: ArrayLike) -> Strategy:
    """Returns a strategy that starts gradually: at step t it changes each example with probability min(1, t / steps).

    All other examples stay the same, bit for bit. The draws are independent for each example (and for each copy, if
    the strategy returns several).

    Args:
      strategy: the strategy to start gradually; its `select` and `observe` are called at every step.
      steps: step from which the strategy applies to all examples, above 0; may be traced.

    Returns:
      A `Strategy` with the metrics of `strategy`, where `augmented` is multiplied by the share of examples drawn.

    Raises:
      ValueError: `steps` is not above 0.
      TypeError: `strategy` is not a `Strategy`.

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
        out, inner, metrics = strategy.select(key, state.inner, batch, score)
        unchanged = _repeated("slow_start", batch, out)
        prob = jnp.minimum(1.0, state.step.astype(jnp.float32) / jnp.asarray(steps, jnp.float32))
        coins = jax.random.bernoulli(coin_key, prob, (batch_size("slow_start", out),))
        metrics = {**metrics, "augmented": metrics["augmented"] * jnp.mean(coins, dtype=jnp.float32)}
        return selected("slow_start", coins, out, unchanged), TimedState(state.step + 1, inner), metrics

    return _timed(strategy, select)


def stop_after(strategy: Strategy, *, steps: ArrayLike) -> Strategy:
    """Returns a strategy that stops: from step `steps` on, batches stay unchanged and nothing is scored.

    Args:
      strategy: the strategy to stop.
      steps: number of steps after which it stops, at least 0; may be traced.

    Returns:
      A `Strategy` with the metrics of `strategy`, which are 0 after it has stopped.

    Raises:
      ValueError: `steps` is negative.
      TypeError: `strategy` is not a `Strategy`.

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

        abstract_out, _, metrics = jax.eval_shape(on)

        def off() -> Selection:
            zeros = jax.tree.map(lambda m: jnp.zeros(m.shape, m.dtype), metrics)
            return _repeated("stop_after", batch, abstract_out), state.inner, zeros

        out, inner, metrics = jax.lax.cond(state.step.astype(jnp.float32) < jnp.asarray(steps, jnp.float32), on, off)
        return out, TimedState(state.step + 1, inner), metrics

    return _timed(strategy, select)


def _check_strategy(function: str, strategy: Any) -> None:
    if not isinstance(strategy, Strategy):
        raise TypeError(f"{function} takes a Strategy, such as always(augment); got {type(strategy).__name__}.")


def _timed(strategy: Strategy, select: Any) -> Strategy:
    return Strategy(
        init=lambda num_examples: TimedState(jnp.zeros((), jnp.int32), strategy.init(num_examples)),
        select=select,
        observe=lambda state, batch, losses: state._replace(inner=strategy.observe(state.inner, batch, losses)),
    )


def _repeated(function: str, batch: Any, like: Any) -> Any:
    """Returns the batch with the structure of `like`: as many copies, and weights of 1 if `like` has weights."""
    copies = batch_size(function, like) // batch_size(function, batch)
    if isinstance(like, dict) and "weight" in like and "weight" not in batch:
        batch = {**batch, "weight": jnp.ones((batch_size(function, batch),), like["weight"].dtype)}
    return jax.tree.map(lambda leaf: jnp.concatenate([leaf] * copies), batch)
