"""Self-paced augmentation: the loss of an example decides whether it is augmented."""

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
    """A threshold that follows the batch; made by `quantile`."""

    q: ArrayLike

    def of(self, losses: Float[Array, " b"]) -> Float[Array, ""]:
        """Returns the loss that qB of the losses, rounded, lie below; infinity where all do."""
        below = jnp.round(jnp.asarray(self.q, jnp.float32) * losses.shape[0]).astype(jnp.int32)
        return jnp.append(jnp.sort(losses), jnp.inf)[below]


class SelfPacedState(NamedTuple):
    """What self-paced augmentation remembers."""

    step: Array  # int32 scalar, selections made
    losses: Any  # float32 [N], last seen loss of every example, infinite where never seen; None under "current"


Threshold = ArrayLike | Callable[[Array], ArrayLike] | Quantile


def quantile(q: ArrayLike) -> Quantile:
    """A threshold for `self_paced` that lies at a quantile of the batch's losses, so that none needs tuning.

    Without ties exactly round(q B) examples of a batch lie below it: "above" augments the others, "below" these.

    Args:
      q: in [0, 1]; may be traced.

    Returns:
      What `self_paced` takes for `threshold`.

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
    """The strategy that augments the examples which are hard at this moment and leaves the easy ones clean.

    Example i is augmented where l_i >= τ ("above") or l_i < τ ("below"), with l_i the loss of the clean example; all
    others keep image, label and whatever else the batch holds bit for bit, also where `augment` mixes labels. τ = 0
    is augmentation of all, τ = ∞ of none.

    "current" takes l_i under the current weights, in inference mode: one forward pass more. "stored" takes the loss
    that training last met on the example, whatever it looked like then: no pass at all, a table of N numbers. An
    example never seen is infinitely hard.

    Args:
      augment: augmentation `(key, batch) -> batch` that keeps shapes and dtypes.
      threshold: τ, a number (may be traced), a schedule `step -> τ` as in optax, or `quantile(q)`.
      direction: "above" augments the hard examples, "below" the easy ones.
      score: "current" or "stored".

    Returns:
      A `Strategy`. Its metrics are `augmented`, the share of the batch that was augmented, and, where the batch has
      labels, `augmented_by_class` `[K]`, the share that was augmented and is of class k; their sum is `augmented`,
      and divided by the share of the class they are the rate within it. A loss that is NaN, or an index outside the
      table inside a compiled program, makes both NaN, which stops a training step.

    Raises:
      ValueError: `threshold` is NaN, an option is unknown; from `select`, the batch has no "index" under "stored", or
        one outside the table.
      TypeError: `augment` cannot be called, or `threshold` is nothing of the above.

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
    """Returns τ at this step for this batch."""
    if isinstance(threshold, Quantile):
        return threshold.of(losses)
    return threshold(step) if callable(threshold) else threshold


def _shares(
    chosen: Bool[Array, " b"], invalid: Bool[Array, ""], labels: Float[Array, "b k"] | None
) -> dict[str, jax.Array]:
    """Returns the metrics, NaN where the losses were."""
    weight = jnp.where(invalid, jnp.nan, chosen.astype(jnp.float32))
    shares = {"augmented": jnp.mean(weight)}
    if labels is not None:
        shares["augmented_by_class"] = jnp.mean(weight[:, None] * labels.astype(jnp.float32), axis=0)
    return shares
