"""Ranks of candidates, some of which may have failed."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxaug.checks import described


def candidate_numbers(function: str, names: tuple[str, str], first: Any, second: Any) -> tuple[Array, Array]:
    """Returns two numbers for each candidate as float32, or raises unless both are `[P]` with the same P >= 1."""
    arrays = jnp.asarray(first, jnp.float32), jnp.asarray(second, jnp.float32)
    if any(array.ndim != 1 for array in arrays) or arrays[0].shape != arrays[1].shape:
        given = " and ".join(map(described, arrays))
        raise ValueError(f"{function} takes {names[0]} [P] and {names[1]} [P] of the same P candidates; got {given}.")
    if arrays[0].size == 0:
        raise ValueError(f"{function} takes at least one candidate; got none.")
    return arrays


def succeeded(first: Float[Array, " p"], second: Float[Array, " p"]) -> Bool[Array, " p"]:
    """Returns which candidates have finite numbers in both arrays."""
    return jnp.isfinite(first) & jnp.isfinite(second)


def average_ranks(values: Float[Array, " p"], among: Bool[Array, " p"]) -> Float[Array, " p"]:
    """Returns the rank of each marked value, starting at 1, with average ranks for ties; NaN for all others.

    This compares all P² pairs, because sorting would need the number of marked values, which depends on data.
    """
    less = jnp.sum((values[None, :] < values[:, None]) & among[None, :], axis=1)
    equal = jnp.sum((values[None, :] == values[:, None]) & among[None, :], axis=1)
    ranks = less.astype(jnp.float32) + 0.5 * (equal.astype(jnp.float32) + 1.0)
    return jnp.where(among, ranks, jnp.nan)
