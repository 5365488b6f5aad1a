"""One measurement relative to another: their ratio, or their difference."""

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
    otherwise: str,
) -> Float[Array, "*shape"]:
    """Returns value / base, or value - base for that kind and wherever the ratio is not `defined`.

    The latter gives a warning, `otherwise` in words, where the numbers are known: not while jax traces.
    """
    difference = value - base
    if kind == "difference":
        return difference
    with contextlib.suppress(jax.errors.TracerArrayConversionError):
        undefined = np.asarray(base)[~np.asarray(defined)]
        if undefined.size:
            lowest = f"{undefined.min():.3g}"
            warnings.warn(f"{function} {otherwise}; got {lowest}, so it returns the difference.", stacklevel=3)
    # The base is replaced so that no division by zero is ever made, which jax_debug_nans would stop at.
    return jnp.where(defined, value / jnp.where(defined, base, 1.0), difference)
