"""One of several augmented copies of each example, chosen by what the network makes of it."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from jaxaug.batches import batch_size
from jaxaug.checks import check_key, check_number, check_size
from jaxaug.compose import Augmentation
from jaxaug.sampling.candidates import Chosen, best_copy, column_entries
from jaxaug.sampling.importance import Importance, check_importance, importance_weights, log_importance
from jaxaug.sampling.loss_table import init_losses, lookup_losses, update_losses
from jaxaug.sampling.strategy import Score, Strategy, check_augment


def importance_sampled(
    augment: Augmentation,
    *,
    num_candidates: int = 4,
    importance: Importance = "loss",
    temperature: ArrayLike = 1.0,
    unbiased: bool = False,
    scored: float | int = 1.0,
    scan: bool = False,
) -> Strategy:
    """The strategy that makes M copies of each example and trains on one, drawn by what the network makes of it.

    Copy j of example i is drawn with probability q_ji of `importance_weights`, from the losses of the copies under the
    current weights in inference mode, independently for each example; no gradient flows through the choice. The mean
    loss over the draw is Σ_j q_j l_j, at least the plain mean: training sees harder copies. `unbiased` takes the bias
    back by a weight 1 / (M q_j) of the drawn copy, with which the expected gradient is that of plain augmentation.

    Args:
      augment: augmentation `(key, batch) -> batch`, label mixing included; the batch may be any pytree.
      num_candidates: M, at least 1; fixes a shape.
      importance: "loss", "one_minus_prob", "softmax" or "uniform".
      temperature: of "softmax", above 0; may be traced.
      unbiased: add `batch["weight"]`, float32 `[B]` (multiplied, where the batch has one already).
      scored: share of the batch that has M copies scored, in (0, 1]: the examples of the largest loss last met in
        training, which the batch must then name by "index"; all others have one copy. Fixes a shape. A fraction scored
        with a sharp draw (small `temperature` of "softmax") wins the extra loss of the whole at a fraction of the cost.
      scan: score the copies one after another, in the memory of one; else in one pass over all M copies.

    Returns:
      A `Strategy`, with a table of N losses where `scored` is below 1. Its metrics are `augmented` (1),
      `candidate_loss`, the mean loss of the copies scored, and `drawn_loss`, that of the drawn ones; both NaN where a
      loss is, which stops a training step.

    Raises:
      ValueError: an option is out of its range or unknown.
      TypeError: `augment` cannot be called.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> noise = lambda key, batch: {"image": jax.random.uniform(key, batch["image"].shape)}
      >>> strategy = importance_sampled(noise, num_candidates=64)
      >>> batch, _, metrics = strategy.select(
      ...     jax.random.key(0), strategy.init(3), {"image": jnp.zeros(500)}, lambda batch: batch["image"])
      >>> round(float(metrics["candidate_loss"]), 1), round(float(batch["image"].mean()), 1)  # 1/2 and E[u^2] / E[u]
      (0.5, 0.7)

    References:
      Okadome and Ide, importance-sampled augmentation (WO2021100818A1).
      Katharopoulos and Fleuret, "Not all samples are created equal", ICML 2018, equation 2 (the correction).
    """
    check_importance("importance_sampled", importance, temperature)

    def choose(key: Array, augment: Augmentation, batch: Any, size: int, score: Score) -> Chosen:
        noise_key, key = jax.random.split(key)
        # The largest of log w_j + Gumbel noise is copy j with probability w_j / Σ w, without the sum.
        noise = jax.random.gumbel(noise_key, (num_candidates, size))
        return best_copy(
            key,
            augment,
            batch,
            score,
            worth=lambda losses: log_importance(losses, importance, temperature),
            noise=noise,
            scan=scan,
        )

    def correction(chosen: Chosen) -> Array:
        q = importance_weights(chosen.losses, importance=importance, temperature=temperature)
        return 1.0 / (num_candidates * column_entries(q, chosen.copy).astype(jnp.float32))

    weight = correction if unbiased else None
    return _chosen_by_loss("importance_sampled", augment, num_candidates, scored, choose, weight)


def max_loss(
    augment: Augmentation, *, num_candidates: int = 4, scored: float | int = 1.0, scan: bool = False
) -> Strategy:
    """The strategy that makes M copies of each example and trains on the hardest one (MaxUp).

    min_θ E_x max_j l(x'_j), with the losses taken under the current weights in inference mode; of equal losses the
    first copy's.

    Args:
      augment: augmentation `(key, batch) -> batch`; the batch may be any pytree.
      num_candidates: M, at least 1; fixes a shape.
      scored: share of the batch that has M copies scored, as in `importance_sampled`.
      scan: score the copies one after another, in the memory of one.

    Returns:
      A `Strategy`, with the state and the metrics of `importance_sampled`.

    Raises:
      ValueError: an option is out of its range.
      TypeError: `augment` cannot be called.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> noise = lambda key, batch: {"image": jax.random.uniform(key, batch["image"].shape)}
      >>> strategy = max_loss(noise, num_candidates=3)
      >>> batch, _, metrics = strategy.select(
      ...     jax.random.key(0), strategy.init(3), {"image": jnp.zeros(999)}, lambda batch: batch["image"])
      >>> round(float(batch["image"].mean()), 1)  # E[max of 3] = 3/4
      0.8

    References:
      Gong, Ren, Ye, Liu, "MaxUp: Lightweight adversarial training with data augmentation improves neural network
      training", CVPR 2021, equation 2.
    """

    def choose(key: Array, augment: Augmentation, batch: Any, size: int, score: Score) -> Chosen:
        noise = jnp.zeros((num_candidates, size))
        return best_copy(key, augment, batch, score, worth=lambda losses: losses, noise=noise, scan=scan)

    return _chosen_by_loss("max_loss", augment, num_candidates, scored, choose)


Choose = Callable[[Array, Augmentation, Any, int, Score], Chosen]  # the int: examples augment makes


def _chosen_by_loss(
    name: str,
    augment: Augmentation,
    num_candidates: int,
    scored: float | int,
    choose: Choose,
    weight: Callable[[Chosen], Array] | None = None,
) -> Strategy:
    """Returns the strategy that trains on the copies which `choose` returns, with the weight of their losses."""
    check_augment(name, augment)
    check_size(name, "num_candidates", num_candidates, 1)
    check_number(name, "scored", scored, 0.0, 1.0, open_low=True)

    def init(num_examples: int) -> Any:
        return () if scored == 1 else init_losses(num_examples)

    def select(key: jax.Array, state: Any, batch: Any, score: Score) -> tuple[Any, Any, dict[str, jax.Array]]:
        check_key(name, key)
        size = batch_size(name, batch)
        if scored == 1:
            chosen = choose(key, augment, batch, size, score)
            return _weighed(chosen.batch, weight(chosen)) if weight else chosen.batch, state, chosen.metrics

        one_key, key = jax.random.split(key)
        last, part = lookup_losses(name, state, batch), max(1, round(scored * size))
        _, hardest = jax.lax.top_k(last, part)

        def of_the_hardest(key: jax.Array, batch: Any) -> Any:
            # The whole batch is augmented, so that partners of a mixing come from all of it.
            return jax.tree.map(lambda leaf: leaf[hardest], augment(key, batch))

        chosen = choose(key, of_the_hardest, batch, part, score)
        rest = augment(one_key, batch)
        out = jax.tree.map(lambda leaf, new: leaf.at[hardest].set(new), rest, chosen.batch)
        metrics = {each: jnp.where(jnp.isnan(last).any(), jnp.nan, value) for each, value in chosen.metrics.items()}
        if weight:
            out = _weighed(out, jnp.ones(size).at[hardest].set(weight(chosen)))
        return out, state, metrics

    def observe(state: Any, batch: Any, losses: Array) -> Any:
        return state if scored == 1 else update_losses(name, state, batch, losses)

    return Strategy(init, select, observe)


def _weighed(batch: Any, weight: Float[Array, " b"]) -> Any:
    """Returns the batch with the weight of its losses, multiplied where it has one already."""
    return {**batch, "weight": batch["weight"] * weight if "weight" in batch else weight}
