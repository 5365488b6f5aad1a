"""The precision of layers that compute statistics."""

import jax.numpy as jnp
from jaxtyping import Array, Float


def widened(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """Returns x in at least float32, because sums of squares in bfloat16 would keep only two digits."""
    return x if x.dtype == jnp.float64 else x.astype(jnp.float32)
