"""Self-paced augmentation: the loss of an example decides whether to augment it."""

import math
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Int

from jaxaug.batches import selected
from jaxaug.checks import check_choice, check_prob, concrete
from jaxaug.compose import Augmentation
from jaxaug.sampling.loss_table import init_losses, lookup_losses, update_losses
from jaxaug.sampling.strategy import Score, Strategy, check_augment

Direction = Literal["above", "below"]
ScoreKind = Literal["current", "stored"]


class Quantile(NamedTuple):
    """A threshold at a quantile of the losses of the batch; see `quantile`."""

    q: ArrayLike

    def of(self, losses: Float[Array, " b"]) -> Float[Array, ""]:
        """Returns the loss that round(qB) of the losses are below, or infinity if that is all of them."""
        below = jnp.round(jnp.asarray(self.q, jnp.float32) * losses.shape[0]).astype(jnp.int32)
        return jnp.append(jnp.sort(losses), jnp.inf)[below]


class SelfPacedState(NamedTuple):
    """The state of self-paced augmentation."""

    step: Array  # int32 scalar, number of selections so far
    losses: Any  # float32 [N], last observed loss of every example, infinite before the first; None under "current"


Threshold = ArrayLike | Callable[[Array], ArrayLike] | Quantile


def quantile(q: ArrayLike) -> Quantile:
    """Returns a threshold for `self_paced` at a quantile of the losses of each batch, which needs no tuning.

    Without ties, exactly round(q B) examples of a batch are below it. "below" augments these, "above" all others.

    Args:
      q: quantile in [0, 1]; may be traced.

    Returns:
      A value for the `threshold` of `self_paced`.

    Raises:
      ValueError: `q` is outside [0, 1].

    Example:
      >>> import jax.numpy as jnp
      >>> float(quantile(0.5).of(jnp.array([3.0, 1.0, 2.0, 4.0])))
      3.0
    """
    check_prob("quantile", q, "q")
    return Quantile(q)


def self_paced(
    augment: Augmentation,
    *,
    threshold: Threshold,
    direction: Direction = "above",
    score: ScoreKind = "current",
) -> Strategy:
    """Returns the strategy that augments the examples that are currently hard and leaves the easy ones clean.

    Example i is augmented if l_i >= τ ("above") or l_i < τ ("below"), where l_i is the loss of the clean example. All
    other examples keep their image, their label and every other leaf bit for bit, even if `augment` mixes labels. With
    "above", τ = 0 augments all examples and τ = ∞ none.

    Under "current", l_i is the loss under the current weights in inference mode, which costs one more forward pass.
    Under "stored", l_i is the last loss that training observed on the example, augmented or not, which costs no pass
    but a table of N numbers. The loss of an example that was never seen counts as infinite.

    Args:
      augment: augmentation `(key, batch) -> batch` that keeps shapes and dtypes.
      threshold: τ, a number (may be traced), a schedule `step -> τ` as in optax, or `quantile(q)`.
      direction: "above" augments the hard examples, "below" the easy ones.
      score: "current" or "stored".

    Returns:
      A `Strategy`. Its metrics are `augmented`, the share of the batch that was augmented, and, if the batch has
      labels, `augmented_by_class` `[K]`, the share that was augmented and belongs to class k. The latter sum to
      `augmented`; divide them by the share of each class for the rate within the class. Both are NaN if a loss is NaN
      or, in a compiled program, if an index is outside the table, which stops a training step.

    Raises:
      ValueError: `threshold` is NaN, or an option is unknown; from `select` under "stored": an index is outside the
        table.
      TypeError: `augment` cannot be called, or `threshold` is none of these; from `select` under "stored": the batch
        has no "index".

    Example:
      >>> import jax, jax.numpy as jnp
      >>> strategy = self_paced(lambda key, batch: {"image": batch["image"] + 10}, threshold=2.0)
      >>> score = lambda batch: batch["image"]
      >>> batch, state, metrics = strategy.select(
      ...     jax.random.key(0), strategy.init(4), {"image": jnp.array([1.0, 2.0, 3.0, 0.0])}, score)
      >>> batch["image"], float(metrics["augmented"])
      (Array([ 1., 12., 13.,  0.], dtype=float32), 0.5)

    References:
      Takase, Karakida, Asoh, "Self-paced data augmentation for training neural networks", Neurocomputing 442, 2021.
    """
    check_augment("self_paced", augment)
    check_choice("self_paced", "direction", direction, get_args(Direction))
    check_choice("self_paced", "score", score, get_args(ScoreKind))
    _check_threshold(threshold)
    stored = score == "stored"

    def init(num_examples: int) -> SelfPacedState:
        return SelfPacedState(jnp.zeros((), jnp.int32), init_losses(num_examples) if stored else None)

    def select(
        key: jax.Array, state: SelfPacedState, batch: dict[str, Any], score: Score
    ) -> tuple[dict[str, Any], SelfPacedState, dict[str, jax.Array]]:
        losses = lookup_losses("self_paced", state.losses, batch) if stored else jax.lax.stop_gradient(score(batch))
        limit = _limit(threshold, state.step, losses)
        chosen = losses >= limit if direction == "above" else losses < limit
        batch_out = selected("self_paced", chosen, augment(key, batch), batch)
        metrics = _shares(chosen, jnp.any(jnp.isnan(losses)), batch.get("label"))
        return batch_out, state._replace(step=state.step + 1), metrics

    def observe(state: SelfPacedState, batch: dict[str, Any], losses: jax.Array) -> SelfPacedState:
        if not stored:
            return state
        return state._replace(losses=update_losses("self_paced", state.losses, batch, losses))

    return Strategy(init, select, observe)


def _check_threshold(threshold: Any) -> None:
    if callable(threshold) or isinstance(threshold, Quantile):
        return
    if isinstance(threshold, bool) or not (isinstance(threshold, (int, float)) or hasattr(threshold, "dtype")):
        raise TypeError(
            f"self_paced takes a number, a schedule step -> number or quantile(q) for threshold; got {threshold!r}."
        )
    number = concrete(threshold)
    if number is not None and math.isnan(number):
        raise ValueError("self_paced takes a number that is not NaN for threshold; got nan.")


def _limit(threshold: Threshold, step: Int[Array, ""], losses: Float[Array, " b"]) -> ArrayLike:
    """Returns the threshold τ for this step and batch."""
    if isinstance(threshold, Quantile):
        return threshold.of(losses)
    return threshold(step) if callable(threshold) else threshold


def _shares(
    chosen: Bool[Array, " b"], invalid: Bool[Array, ""], labels: Float[Array, "b k"] | None
) -> dict[str, jax.Array]:
    """Returns the metrics, NaN if a loss is invalid."""
    weight = jnp.where(invalid, jnp.nan, chosen.astype(jnp.float32))
    shares = {"augmented": jnp.mean(weight)}
    if labels is not None:
        shares["augmented_by_class"] = jnp.mean(weight[:, None] * labels.astype(jnp.float32), axis=0)
    return shares
