"""Strategies that train on one of several augmented copies of each example, chosen by the losses of the copies."""

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
    """Returns the strategy that trains on one of M augmented copies of each example, drawn according to their losses.

    Copy j of example i is drawn with probability q_ji of `importance_weights`, independently for each example. The
    losses are computed under the current weights in inference mode, and no gradient flows through the choice. The
    expected loss of the drawn copy is Σ_j q_j l_j, which is at least the plain mean: training sees harder copies. With
    `unbiased`, a weight of 1 / (M q_j) for the drawn copy corrects this, so that the expected gradient equals the one
    of plain augmentation.

    Args:
      augment: augmentation `(key, batch) -> batch`, which may mix labels; the batch may be any pytree.
      num_candidates: M, at least 1; fixes a shape.
      importance: "loss", "one_minus_prob", "softmax" or "uniform".
      temperature: temperature of "softmax", above 0; may be traced.
      unbiased: whether to add `batch["weight"]`, float32 `[B]` (multiplied with the weight that the batch may have).
      scored: share of the batch, in (0, 1], for which M copies are scored: the examples with the largest last observed
        losses, which the batch must then identify by "index". All other examples have one copy. Fixes a shape. Scoring
        a fraction with a sharp draw (a small `temperature` of "softmax") raises the loss of the batch as much as
        scoring all of it, at a fraction of the cost.
      scan: whether to score the copies one after another, with the memory of one, instead of all M in one pass.

    Returns:
      A `Strategy`. Its state is a table of N losses if `scored` is below 1, and empty otherwise. Its metrics are
      `augmented` (1), `candidate_loss`, the mean loss of the scored copies, and `drawn_loss`, the mean loss of the
      drawn ones. The losses are NaN if any loss is, which stops a training step.

    Raises:
      ValueError: an option is out of range or unknown.
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
        # Gumbel-max: copy j maximizes log w_j + Gumbel noise with probability w_j / Σ w, which needs no sum.
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
    return _choosing_strategy("importance_sampled", augment, num_candidates, scored, choose, weight)


def max_loss(
    augment: Augmentation, *, num_candidates: int = 4, scored: float | int = 1.0, scan: bool = False
) -> Strategy:
    """Returns the strategy that trains on the hardest of M augmented copies of each example (MaxUp).

    The objective is min_θ E_x max_j l(x'_j), where the losses that choose the copy are computed under the current
    weights in inference mode. Among equal losses, the first copy is taken.

    Args:
      augment: augmentation `(key, batch) -> batch`; the batch may be any pytree.
      num_candidates: M, at least 1; fixes a shape.
      scored: share of the batch for which M copies are scored, as in `importance_sampled`.
      scan: whether to score the copies one after another, with the memory of one.

    Returns:
      A `Strategy` with the state and metrics of `importance_sampled`.

    Raises:
      ValueError: an option is out of range.
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

    return _choosing_strategy("max_loss", augment, num_candidates, scored, choose)


Choose = Callable[[Array, Augmentation, Any, int, Score], Chosen]
"""(key, augment, batch, number of examples that `augment` returns, score) -> the chosen copies."""


def _choosing_strategy(
    name: str,
    augment: Augmentation,
    num_candidates: int,
    scored: float | int,
    choose: Choose,
    weight: Callable[[Chosen], Array] | None = None,
) -> Strategy:
    """Returns the strategy that trains on the copies that `choose` returns, with loss weights if `weight` is given."""
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
            return _weighted(chosen.batch, weight(chosen)) if weight else chosen.batch, state, chosen.metrics

        one_key, key = jax.random.split(key)
        last_losses, num_scored = lookup_losses(name, state, batch), max(1, round(scored * size))
        _, hardest = jax.lax.top_k(last_losses, num_scored)

        def augment_hardest(key: jax.Array, batch: Any) -> Any:
            # Augments the whole batch, so that mixing draws its partners from all of it.
            return jax.tree.map(lambda leaf: leaf[hardest], augment(key, batch))

        chosen = choose(key, augment_hardest, batch, num_scored, score)
        single = augment(one_key, batch)
        out = jax.tree.map(lambda leaf, new: leaf.at[hardest].set(new), single, chosen.batch)
        invalid = jnp.isnan(last_losses).any()
        metrics = {metric: jnp.where(invalid, jnp.nan, value) for metric, value in chosen.metrics.items()}
        if weight:
            out = _weighted(out, jnp.ones(size).at[hardest].set(weight(chosen)))
        return out, state, metrics

    def observe(state: Any, batch: Any, losses: Array) -> Any:
        return state if scored == 1 else update_losses(name, state, batch, losses)

    return Strategy(init, select, observe)


def _weighted(batch: Any, weight: Float[Array, " b"]) -> Any:
    """Returns the batch with the weights of its losses, multiplied with the weights that it may already have."""
    return {**batch, "weight": batch["weight"] * weight if "weight" in batch else weight}
