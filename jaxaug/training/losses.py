"""Losses and accuracies against soft labels, one number per example."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def cross_entropy(logits: Float[Array, "b k"], labels: Float[Array, "b k"]) -> Float[Array, " b"]:
    """Returns -Σ_k c_k log softmax(z)_k of each example; for a mixed label, this equals Σ_j W_j CE(z, c_j)."""
    return -jnp.sum(labels * jax.nn.log_softmax(logits, axis=-1), axis=-1)


def smoothed(labels: Float[Array, "b k"], amount: float | int) -> Float[Array, "b k"]:
    """Returns (1 - ε) c + ε / K."""
    return (1.0 - amount) * labels + amount / labels.shape[-1]


def soft_accuracy(logits: Float[Array, "b k"], labels: Float[Array, "b k"]) -> Float[Array, " b"]:
    """Returns the label mass at the arg max: Σ_j W_j acc(c_j) for a mixed label, 0 or 1 for a hard one."""
    return jnp.take_along_axis(labels, jnp.argmax(logits, axis=-1)[:, None], axis=-1)[:, 0]


def soft_top_accuracy(logits: Float[Array, "b k"], labels: Float[Array, "b k"], top: int = 5) -> Float[Array, " b"]:
    """Returns the label mass at the `top` largest logits: all of it if there are no more classes than `top`."""
    _, best = jax.lax.top_k(logits, min(top, logits.shape[-1]))
    return jnp.sum(jnp.take_along_axis(labels, best, axis=-1), axis=-1)
