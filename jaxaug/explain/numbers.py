"""Numbers to print beside a map: how spread out it is."""

import math

import jax.numpy as jnp
from jax.scipy.special import xlogy
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from jaxaug.checks import check_floating, check_number
from jaxaug.explain.boxes import above


def map_entropy(maps: Float[Array, "b h w"]) -> Float[Array, "b"]:
    """The entropy of each map, from 0 for a single pixel to 1 for a uniform map.

    -Σ p log p / log(h w), with p the map clipped at 0 and divided by its sum.

    Args:
      maps: `[B, h, w]`, floating point, any range.

    Returns:
      float32 `[B]` in [0, 1]; 1 for a map with no positive value, which singles out no pixel, and 0 for any other map
      of one pixel.

    Raises:
      ValueError: a wrong rank, or an empty axis.
      TypeError: `maps` is not floating point.

    Example:
      >>> import jax.numpy as jnp
      >>> map_entropy(jnp.array([[[1.0, 1.0], [1.0, 1.0]], [[3.0, 3.0], [-1.0, 0.0]], [[0.0, 2.0], [0.0, 0.0]]]))
      Array([1. , 0.5, 0. ], dtype=float32)
    """
    check_floating("map_entropy", maps, rank=3, what="maps", axes="[B, h, w]")
    evidence = jnp.maximum(maps.astype(jnp.float32), 0.0)
    largest = evidence.max(axis=(1, 2), keepdims=True)
    evidence = evidence / jnp.where(largest > 0, largest, 1.0)  # so that no sum is too small or too large
    total = evidence.sum(axis=(1, 2), keepdims=True)
    shares = evidence / jnp.where(total > 0, total, 1.0)
    pixels = maps.shape[1] * maps.shape[2]
    # Clipped, since rounding can leave [0, 1] by a little.
    entropy = jnp.clip(-xlogy(shares, shares).sum(axis=(1, 2)) / math.log(max(pixels, 2)), 0.0, 1.0)
    return jnp.where(largest[:, 0, 0] > 0, entropy, 1.0)


def map_area(maps: Float[Array, "b h w"], *, fraction: ArrayLike = 0.2) -> Float[Array, "b"]:
    """The share of each map's pixels that are above a fraction of its maximum.

    Args:
      maps: `[B, h, w]`, floating point, any range.
      fraction: of the maximum, in [0, 1); may be traced.

    Returns:
      float32 `[B]` in [0, 1]; 0 for a map with no positive value.

    Raises:
      ValueError: `fraction` outside [0, 1), a wrong rank, or an empty axis.
      TypeError: `maps` is not floating point.

    Example:
      >>> import jax.numpy as jnp
      >>> map_area(jnp.array([[[10.0, 2.0], [3.0, -5.0]], [[0.0, 0.0], [0.0, -1.0]]]))
      Array([0.5, 0. ], dtype=float32)
    """
    check_floating("map_area", maps, rank=3, what="maps", axes="[B, h, w]")
    check_number("map_area", "fraction", fraction, 0.0, 1.0, open_high=True)
    return above(maps, fraction).mean(axis=(1, 2), dtype=jnp.float32)
