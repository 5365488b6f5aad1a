"""Several augmented copies of each example: one drawn by its loss, the hardest one, or all of them."""

from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int, Shaped

from jaxaug.batches import batch_size, selected
from jaxaug.checks import check_key, check_size
from jaxaug.compose import Augmentation
from jaxaug.sampling.importance import Importance, check_importance, importance_weights, log_importance
from jaxaug.sampling.strategy import Score, Strategy, check_augment

Selection = tuple[Any, Any, dict[str, jax.Array]]


def importance_sampled(
    augment: Augmentation,
    *,
    num_candidates: int = 4,
    importance: Importance = "loss",
    temperature: ArrayLike = 1.0,
    unbiased: bool = False,
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
      scan: score the copies one after another, in the memory of one; else in one pass over all M B copies.

    Returns:
      A stateless `Strategy`. Its metrics are `augmented` (1), `candidate_loss`, the mean loss of the copies, and
      `drawn_loss`, that of the drawn ones; both NaN where a loss is, which stops a training step.

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

    def weighed(batch: Any, losses: Array, choice: Array) -> Any:
        if not unbiased:
            return batch
        q = importance_weights(losses, importance=importance, temperature=temperature)
        weight = 1.0 / (num_candidates * _picked(q, choice).astype(jnp.float32))
        return {**batch, "weight": batch["weight"] * weight if "weight" in batch else weight}

    def select(key: jax.Array, state: Any, batch: Any, score: Score) -> Selection:
        check_key("importance_sampled", key)
        noise_key, key = jax.random.split(key)
        # The largest of log w_j + Gumbel noise is copy j with probability w_j / Σ w, without the sum.
        noise = jax.random.gumbel(noise_key, (num_candidates, batch_size("importance_sampled", batch)))
        drawn, losses, choice = _best_copy(
            augment, key, batch, score, lambda losses: log_importance(losses, importance, temperature), noise, scan
        )
        return weighed(drawn, losses, choice), state, _loss_metrics(losses, choice)

    return _stateless("importance_sampled", augment, "num_candidates", num_candidates, select)


def max_loss(augment: Augmentation, *, num_candidates: int = 4, scan: bool = False) -> Strategy:
    """The strategy that makes M copies of each example and trains on the hardest one (MaxUp).

    min_θ E_x max_j l(x'_j), with the losses taken under the current weights in inference mode; of equal losses the
    first copy's.

    Args:
      augment: augmentation `(key, batch) -> batch`; the batch may be any pytree.
      num_candidates: M, at least 1; fixes a shape.
      scan: score the copies one after another, in the memory of one.

    Returns:
      A stateless `Strategy`, with the metrics of `importance_sampled`.

    Raises:
      ValueError: `num_candidates` is below 1.
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

    def select(key: jax.Array, state: Any, batch: Any, score: Score) -> Selection:
        check_key("max_loss", key)
        noise = jnp.zeros((num_candidates, batch_size("max_loss", batch)))
        drawn, losses, choice = _best_copy(augment, key, batch, score, lambda losses: losses, noise, scan)
        return drawn, state, _loss_metrics(losses, choice)

    return _stateless("max_loss", augment, "num_candidates", num_candidates, select)


def batch_augmented(augment: Augmentation, *, copies: int = 2) -> Strategy:
    """The strategy that trains on several augmented copies of each example at once (batch augmentation).

    The batch of M B examples that comes back holds the copies one after another on axis 0, labels, indices and all
    other leaves with them; its mean loss is the mean over copies and examples. A step costs M times as much.

    Args:
      augment: augmentation `(key, batch) -> batch`; the batch may be any pytree.
      copies: M, at least 1; fixes a shape.

    Returns:
      A stateless `Strategy`; its metric `augmented` is 1.

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

    def select(key: jax.Array, state: Any, batch: Any, score: Any) -> Selection:
        check_key("batch_augmented", key)
        augmented = [augment(copy_key, batch) for copy_key in jax.random.split(key, copies)]
        return _joined(augmented), state, {"augmented": jnp.ones(())}

    return _stateless("batch_augmented", augment, "copies", copies, select)


def _stateless(name: str, augment: Augmentation, option: str, value: int, select: Any) -> Strategy:
    check_augment(name, augment)
    check_size(name, option, value, 1)
    return Strategy(init=lambda num_examples: (), select=select, observe=lambda state, batch, losses: state)


def _best_copy(
    augment: Augmentation, key: jax.Array, batch: Any, score: Score, worth: Any, noise: Array, scan: bool
) -> tuple[Any, Float[Array, "m b"], Array]:
    """Returns the copy of the largest worth + noise of every example, the losses of all, and which it is `[B]`.

    Of equal sums, as of infinite ones, the larger noise decides.
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
            best_copy, choice, best = carry
            j, copy_key, copy_noise = inputs
            copy = augment(copy_key, batch)
            losses = scored(copy)
            wins, best = better(losses, copy_noise, best)
            return (selected("importance_sampled", wins, copy, best_copy), jnp.where(wins, j, choice), best), losses

        blank = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), jax.eval_shape(augment, key, batch))
        start = (blank, jnp.zeros(noise.shape[1:], jnp.int32), (least, least))
        inputs = (jnp.arange(noise.shape[0], dtype=jnp.int32), keys, noise)
        (copy, choice, _), losses = jax.lax.scan(body, start, inputs)
        return copy, losses, choice

    copies = [augment(copy_key, batch) for copy_key in keys]
    losses = scored(_joined(copies)).reshape(noise.shape)
    choice, best = jnp.zeros(noise.shape[1:], jnp.int32), (least, least)
    for j in range(noise.shape[0]):
        wins, best = better(losses[j], noise[j], best)
        choice = jnp.where(wins, j, choice)
    return jax.tree.map(lambda *leaves: _picked(jnp.stack(leaves), choice), *copies), losses, choice


def _joined(copies: list[Any]) -> Any:
    """Returns one batch of the copies, one after another on axis 0."""
    return jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *copies)


def _picked(stacked: Shaped[Array, "m b *rest"], choice: Int[Array, " b"]) -> Shaped[Array, "b *rest"]:
    """Returns row `choice[i]` of column i."""
    return stacked[choice, jnp.arange(choice.shape[0])]


def _loss_metrics(losses: Float[Array, "m b"], choice: Array) -> dict[str, jax.Array]:
    losses = losses.astype(jnp.float32)
    drawn = jnp.mean(_picked(losses, choice))
    mean = jnp.mean(losses)
    return {
        "augmented": jnp.ones(()),
        "candidate_loss": mean,
        "drawn_loss": jnp.where(jnp.isnan(mean), jnp.nan, drawn),
    }
