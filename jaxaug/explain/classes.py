"""Helpers for the class to explain: one integer per example."""

import contextlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Integer

from jaxaug.checks import check_floating, described


def check_classes(function: str, classes: Any, batch: int, num_classes: int) -> None:
    """Raises unless `classes` is an integer `[B]` with `batch` entries, in range unless they are traced."""
    dtype = getattr(classes, "dtype", None)
    if dtype is None or not jnp.issubdtype(dtype, jnp.integer):
        raise TypeError(
            f"{function} takes one class per example, an integer [B]; got {described(classes)}. "
            "For soft labels, choose a class, for example with labels.argmax(axis=-1)."
        )
    if classes.shape != (batch,):
        raise ValueError(f"{function} takes one class per example, an integer [{batch}]; got {described(classes)}.")
    with contextlib.suppress(jax.errors.TracerArrayConversionError):
        numbers = np.asarray(classes)
        outside = numbers[(numbers < 0) | (numbers >= num_classes)]
        if outside.size:
            raise ValueError(f"{function} takes classes in [0, {num_classes - 1}]; got {outside[0]}.")


def chosen_logits(function: str, logits: Any, classes: Any, batch: int) -> Float[Array, "b"]:
    """Returns the logit of the class of each example, float32; 0 without a gradient if it is out of range."""
    check_floating(function, logits, rank=2, what="a network with logits", axes="[B, K]")
    if logits.shape[0] != batch:
        raise ValueError(
            f"{function} takes a network with one row of logits per example; got {batch} examples and logits "
            f"{described(logits)}."
        )
    check_classes(function, classes, batch, logits.shape[1])
    return (logits.astype(jnp.float32) * one_hot(classes, logits.shape[1])).sum(axis=-1)


def one_hot(classes: Integer[Array, "b"], num_classes: int) -> Float[Array, "b k"]:
    """Returns one-hot rows, with zeros for a class out of range."""
    return (classes[:, None] == jnp.arange(num_classes, dtype=classes.dtype)[None, :]).astype(jnp.float32)
