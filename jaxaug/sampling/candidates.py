"""Several augmented copies of each example, and the one of them that is worth most."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Shaped

from jaxaug.batches import selected
from jaxaug.compose import Augmentation
from jaxaug.sampling.strategy import Score


class Chosen(NamedTuple):
    """One of M copies of every example."""

    batch: Any
    losses: Float[Array, "m b"]  # of all copies
    copy: Int[Array, " b"]  # which one it is

    @property
    def metrics(self) -> dict[str, jax.Array]:
        """Returns the mean loss of the copies and of the chosen ones, NaN where one is."""
        losses = self.losses.astype(jnp.float32)
        mean = jnp.mean(losses)
        drawn = jnp.where(jnp.isnan(mean), jnp.nan, jnp.mean(column_entries(losses, self.copy)))
        return {"augmented": jnp.ones(()), "candidate_loss": mean, "drawn_loss": drawn}


def best_copy(
    key: jax.Array,
    augment: Augmentation,
    batch: Any,
    score: Score,
    *,
    worth: Callable[[Array], Array],
    noise: Float[Array, "m b"],
    scan: bool,
) -> Chosen:
    """Returns the copy of the largest worth(loss) + noise of every example.

    Of equal sums, as of infinite ones, the larger noise decides, then the first copy.

    Args:
      key: split among the M copies.
      augment: augmentation `(key, batch) -> batch`.
      batch: any pytree.
      score: batch -> losses.
      worth: of a loss, elementwise.
      noise: one number per copy and example.
      scan: score the copies one after another, in the memory of one; else in one pass over all M B copies.
    """
    keys = jax.random.split(key, noise.shape[0])

    def better(losses: Array, noise: Array, best: tuple[Array, Array]) -> tuple[Array, tuple[Array, Array]]:
        """Returns whether a copy is better than the best so far, and the better one's standing."""
        value = worth(losses) + noise
        wins = (value > best[0]) | ((value == best[0]) & (noise > best[1]))
        return wins, (jnp.where(wins, value, best[0]), jnp.where(wins, noise, best[1]))

    def scored(copies: Any) -> Array:
        return jax.lax.stop_gradient(score(copies))

    least = jnp.full(noise.shape[1:], -jnp.inf)
    if scan:

        def body(carry: Any, inputs: Any) -> tuple[Any, Array]:
            best_so_far, choice, best = carry
            j, copy_key, copy_noise = inputs
            copy = augment(copy_key, batch)
            losses = scored(copy)
            wins, best = better(losses, copy_noise, best)
            return (selected("scan", wins, copy, best_so_far), jnp.where(wins, j, choice), best), losses

        blank = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), jax.eval_shape(augment, key, batch))
        start = (blank, jnp.zeros(noise.shape[1:], jnp.int32), (least, least))
        inputs = (jnp.arange(noise.shape[0], dtype=jnp.int32), keys, noise)
        (copy, choice, _), losses = jax.lax.scan(body, start, inputs)
        return Chosen(copy, losses, choice)

    copies = [augment(copy_key, batch) for copy_key in keys]
    losses = scored(joined(copies)).reshape(noise.shape)
    choice, best = jnp.zeros(noise.shape[1:], jnp.int32), (least, least)
    for j in range(noise.shape[0]):
        wins, best = better(losses[j], noise[j], best)
        choice = jnp.where(wins, j, choice)
    chosen = jax.tree.map(lambda *leaves: column_entries(jnp.stack(leaves), choice), *copies)
    return Chosen(chosen, losses, choice)


def joined(copies: list[Any]) -> Any:
    """Returns one batch of the copies, one after another on axis 0."""
    return jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *copies)


def column_entries(stacked: Shaped[Array, "m b *rest"], choice: Int[Array, " b"]) -> Shaped[Array, "b *rest"]:
    """Returns row `choice[i]` of column i."""
    return stacked[choice, jnp.arange(choice.shape[0])]
