"""Augmented copies of each example, and the choice of one of them by its loss."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Shaped

from jaxaug.batches import selected
from jaxaug.compose import Augmentation
from jaxaug.sampling.strategy import Score


class Chosen(NamedTuple):
    """The chosen one of M copies of every example."""

    batch: Any  # the chosen copies
    losses: Float[Array, "m b"]  # losses of all copies
    copy: Int[Array, " b"]  # index of the chosen copy

    @property
    def metrics(self) -> dict[str, jax.Array]:
        """Returns the mean loss of all copies and of the chosen copies; both are NaN if any loss is."""
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
    """Returns, for every example, the copy with the largest worth(loss) + noise.

    Among equal sums, such as infinite ones, the larger noise wins, and then the first copy.

    Args:
      key: PRNG key, split among the M copies.
      augment: augmentation `(key, batch) -> batch`.
      batch: any pytree.
      score: `batch -> losses`.
      worth: elementwise function of the losses.
      noise: one number per copy and example.
      scan: whether to score the copies one after another, with the memory of one, instead of all M B in one pass.
    """
    keys = jax.random.split(key, noise.shape[0])

    def better(losses: Array, noise: Array, best: tuple[Array, Array]) -> tuple[Array, tuple[Array, Array]]:
        """Returns whether a copy beats the best one so far, and the value and noise of the winner."""
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
    losses = scored(concatenated(copies)).reshape(noise.shape)
    choice, best = jnp.zeros(noise.shape[1:], jnp.int32), (least, least)
    for j in range(noise.shape[0]):
        wins, best = better(losses[j], noise[j], best)
        choice = jnp.where(wins, j, choice)
    chosen = jax.tree.map(lambda *leaves: column_entries(jnp.stack(leaves), choice), *copies)
    return Chosen(chosen, losses, choice)


def concatenated(copies: list[Any]) -> Any:
    """Returns one batch with the copies concatenated along axis 0."""
    return jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *copies)


def column_entries(stacked: Shaped[Array, "m b *rest"], choice: Int[Array, " b"]) -> Shaped[Array, "b *rest"]:
    """Returns the entry of row `choice[i]` in each column i."""
    return stacked[choice, jnp.arange(choice.shape[0])]
