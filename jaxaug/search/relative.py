"""One measurement relative to another: their ratio or their difference."""

import contextlib
import warnings
from typing import Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxaug.checks import check_choice

Kind = Literal["ratio", "difference"]


def check_kind(function: str, kind: str) -> None:
    """Raises `ValueError` unless the kind is known."""
    check_choice(function, "kind", kind, get_args(Kind))


def ratio_or_difference(
    function: str,
    value: Float[Array, "*shape"],
    base: Float[Array, "*shape"],
    *,
    kind: Kind,
    defined: Array,
    requirement: str,
) -> Float[Array, "*shape"]:
    """Returns value / base, or value - base if `kind` is "difference" or the ratio is not `defined`.

    Unless it is traced, an undefined ratio causes a warning that states the `requirement`.
    """
    difference = value - base
    if kind == "difference":
        return difference
    with contextlib.suppress(jax.errors.TracerArrayConversionError):
        undefined = np.asarray(base)[~np.asarray(defined)]
        if undefined.size:
            lowest = f"{undefined.min():.3g}"
            warnings.warn(f"{function} {requirement}; got {lowest} and returns the difference.", stacklevel=3)
    # Replaces undefined bases, because jax_debug_nans would stop at a division by zero.
    return jnp.where(defined, value / jnp.where(defined, base, 1.0), difference)
