"""How probable each augmented copy of an example is to be drawn, from the losses of the copies."""

from typing import Literal, get_args

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from jaxaug.checks import check_choice, check_floating, check_number

Importance = Literal["loss", "one_minus_prob", "softmax", "uniform"]


def importance_weights(
    losses: Float[Array, "m b"], *, importance: Importance = "loss", temperature: ArrayLike = 1.0
) -> Float[Array, "m b"]:
    """The probabilities with which one of M copies of each example is drawn.

    q_jb = w_jb / Σ_j w_jb with w the loss l ("loss"), 1 - p = 1 - exp(-l), p the probability of the true class
    ("one_minus_prob"), exp(l / T) ("softmax") or 1 ("uniform"). Where all w are 0, q is uniform. Infinite losses share
    the whole probability under "loss" and "softmax".

    Args:
      losses: `[M, B]`, cross entropies of M copies of B examples, at least 0 (below counts as 0 but for "softmax").
      importance: the form of w.
      temperature: T > 0 of "softmax": towards 0 the copy of the largest loss, towards infinity uniform. May be traced.

    Returns:
      `[M, B]`, dtype of `losses`, at least 0, of sum 1 over M; NaN in a column that holds a NaN.

    Raises:
      ValueError: `losses` is no non-empty `[M, B]`, `temperature` is not above 0, `importance` is unknown.
      TypeError: `losses` is not floating point.

    Example:
      >>> import jax.numpy as jnp
      >>> importance_weights(jnp.array([[1.0, 0.0], [3.0, 0.0]])).round(4)
      Array([[0.25, 0.5 ],
             [0.75, 0.5 ]], dtype=float32)

    References:
      Okadome and Ide, importance-sampled augmentation (WO2021100818A1).
      Wu, Zhang, Valiant, Ré, "On the generalization effects of linear transformations in data augmentation", ICML 2020.
    """
    check_floating("importance_weights", losses, rank=2, what="losses", axes="[M, B]")
    check_importance("importance_weights", importance, temperature)
    logs = log_importance(losses.astype(jnp.float32), importance, temperature)
    highest = jnp.max(logs, axis=0, keepdims=True)
    # Of what is infinitely important, or nothing at all, every copy is as important as another.
    ties = jnp.where(logs == highest, 0.0, -jnp.inf)
    weights = jax.nn.softmax(jnp.where(jnp.isinf(highest), ties, logs), axis=0)
    return jnp.where(jnp.isnan(highest), jnp.nan, weights).astype(losses.dtype)


def log_importance(losses: Float[Array, "..."], importance: Importance, temperature: ArrayLike) -> Float[Array, "..."]:
    """Returns log w of each loss, which depends on no other."""
    if importance == "softmax":
        return losses / jnp.asarray(temperature, losses.dtype)
    if importance == "uniform":
        return jnp.where(jnp.isnan(losses), losses, 0.0)
    losses = jnp.where(losses < 0, 0.0, losses)
    return jnp.log(losses if importance == "loss" else -jnp.expm1(-losses))


def check_importance(function: str, importance: str, temperature: ArrayLike) -> None:
    """Raises unless the form of the weights is known and the temperature above 0."""
    check_choice(function, "importance", importance, get_args(Importance))
    check_number(function, "temperature", temperature, 0.0, open_low=True)
