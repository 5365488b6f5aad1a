"""Numbers that summarize how concentrated a map is."""

import math

import jax.numpy as jnp
from jax.scipy.special import xlogy
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from jaxaug.checks import check_floating, check_number
from jaxaug.explain.boxes import above


def map_entropy(maps: Float[Array, "b h w"]) -> Float[Array, "b"]:
    """Returns the normalized entropy of each map, from 0 for a single pixel to 1 for a uniform map.

    The entropy is -Σ p log p / log(h w), where p is the map clipped at 0 and divided by its sum.

    Args:
      maps: `[B, h, w]`, floating point, any range.

    Returns:
      float32 `[B]` in [0, 1]; 1 for a map without positive values, and 0 for any other map with a single pixel.

    Raises:
      ValueError: the rank is wrong, or an axis is empty.
      TypeError: `maps` is not floating point.

    Example:
      >>> import jax.numpy as jnp
      >>> map_entropy(jnp.array([[[1.0, 1.0], [1.0, 1.0]], [[3.0, 3.0], [-1.0, 0.0]], [[0.0, 2.0], [0.0, 0.0]]]))
      Array([1. , 0.5, 0. ], dtype=float32)
    """
    check_floating("map_entropy", maps, rank=3, what="maps", axes="[B, h, w]")
    evidence = jnp.maximum(maps.astype(jnp.float32), 0.0)
    largest = evidence.max(axis=(1, 2), keepdims=True)
    evidence = evidence / jnp.where(largest > 0, largest, 1.0)  # prevents underflow and overflow of the sum
    total = evidence.sum(axis=(1, 2), keepdims=True)
    shares = evidence / jnp.where(total > 0, total, 1.0)
    pixels = maps.shape[1] * maps.shape[2]
    # Clipped, because rounding errors can leave [0, 1].
    entropy = jnp.clip(-xlogy(shares, shares).sum(axis=(1, 2)) / math.log(max(pixels, 2)), 0.0, 1.0)
    return jnp.where(largest[:, 0, 0] > 0, entropy, 1.0)


def map_area(maps: Float[Array, "b h w"], *, fraction: ArrayLike = 0.2) -> Float[Array, "b"]:
    """Returns the share of the pixels of each map that are above a fraction of its maximum.

    Args:
      maps: `[B, h, w]`, floating point, any range.
      fraction: fraction of the maximum, in [0, 1); may be traced.

    Returns:
      float32 `[B]` in [0, 1]; 0 for a map without positive values.

    Raises:
      ValueError: `fraction` is outside [0, 1), the rank is wrong, or an axis is empty.
      TypeError: `maps` is not floating point.

    Example:
      >>> import jax.numpy as jnp
      >>> map_area(jnp.array([[[10.0, 2.0], [3.0, -5.0]], [[0.0, 0.0], [0.0, -1.0]]]))
      Array([0.5, 0. ], dtype=float32)
    """
    check_floating("map_area", maps, rank=3, what="maps", axes="[B, h, w]")
    check_number("map_area", "fraction", fraction, 0.0, 1.0, open_high=True)
    return above(maps, fraction).mean(axis=(1, 2), dtype=jnp.float32)
