"""The probability of drawing each augmented copy of an example, computed from the losses of the copies."""

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
    """Returns the probabilities of drawing each of the M copies of an example.

    q_jb = w_jb / Σ_j w_jb, where w is the loss l ("loss"), 1 - p = 1 - exp(-l) with the probability p of the true class
    ("one_minus_prob"), exp(l / T) ("softmax") or 1 ("uniform"). If all weights of an example are zero, q is uniform.
    Under "loss" and "softmax", infinite losses share the whole probability equally.

    Args:
      losses: `[M, B]`, cross entropies of M copies of B examples. Negative losses count as 0, except for "softmax".
      importance: the form of w.
      temperature: T of "softmax", above 0; near 0, q concentrates on the largest loss, and for large T it becomes
        uniform. May be traced.

    Returns:
      `[M, B]`, dtype of `losses`, at least 0, with sum 1 over M; columns with a NaN are all NaN.

    Raises:
      ValueError: `losses` is not a non-empty `[M, B]`, `temperature` is not above 0, or `importance` is unknown.
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
    # If all weights of an example are zero, or some are infinite, ties are broken uniformly.
    ties = jnp.where(logs == highest, 0.0, -jnp.inf)
    weights = jax.nn.softmax(jnp.where(jnp.isinf(highest), ties, logs), axis=0)
    return jnp.where(jnp.isnan(highest), jnp.nan, weights).astype(losses.dtype)


def log_importance(losses: Float[Array, "..."], importance: Importance, temperature: ArrayLike) -> Float[Array, "..."]:
    """Returns log w of each loss, elementwise."""
    if importance == "softmax":
        return losses / jnp.asarray(temperature, losses.dtype)
    if importance == "uniform":
        return jnp.where(jnp.isnan(losses), losses, 0.0)
    losses = jnp.where(losses < 0, 0.0, losses)
    return jnp.log(losses if importance == "loss" else -jnp.expm1(-losses))


def check_importance(function: str, importance: str, temperature: ArrayLike) -> None:
    """Raises unless `importance` is known and the temperature is above 0."""
    check_choice(function, "importance", importance, get_args(Importance))
    check_number(function, "temperature", temperature, 0.0, open_low=True)
