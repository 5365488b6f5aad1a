"""The precision in which layers with statistics compute."""

import jax.numpy as jnp
from jaxtyping import Array, Float


def widened(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """Returns x in float32 at least: sums of squares in bfloat16 would keep two digits."""
    return x if x.dtype == jnp.float64 else x.astype(jnp.float32)
