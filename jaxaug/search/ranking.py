"""Numbers of several candidates, some of which failed, and their ranks."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxaug.checks import described


def candidate_numbers(function: str, names: tuple[str, str], first: Any, second: Any) -> tuple[Array, Array]:
    """Returns two numbers of each candidate as float32, or raises unless both are of the same `[P]`, P >= 1."""
    arrays = jnp.asarray(first, jnp.float32), jnp.asarray(second, jnp.float32)
    if any(array.ndim != 1 for array in arrays) or arrays[0].shape != arrays[1].shape:
        given = " and ".join(map(described, arrays))
        raise ValueError(f"{function} takes {names[0]} and {names[1]} of the same P candidates, both [P]; got {given}.")
    if arrays[0].size == 0:
        raise ValueError(f"{function} takes at least one candidate; got none.")
    return arrays


def succeeded(first: Float[Array, " p"], second: Float[Array, " p"]) -> Bool[Array, " p"]:
    """Returns which candidates have two finite numbers."""
    return jnp.isfinite(first) & jnp.isfinite(second)


def average_ranks(values: Float[Array, " p"], among: Bool[Array, " p"]) -> Float[Array, " p"]:
    """Returns the rank of each among those marked, 1 the lowest, ties the mean of theirs; NaN of those not marked.

    All P² comparisons are made: sorting would need the number of those marked, which depends on data.
    """
    less = jnp.sum((values[None, :] < values[:, None]) & among[None, :], axis=1)
    equal = jnp.sum((values[None, :] == values[:, None]) & among[None, :], axis=1)
    ranks = less.astype(jnp.float32) + 0.5 * (equal.astype(jnp.float32) + 1.0)
    return jnp.where(among, ranks, jnp.nan)
