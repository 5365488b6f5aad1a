"""Boxes around what a map points at."""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Int

from jaxaug.checks import check_floating, check_number


def bounding_box(maps: Float[Array, "b h w"], *, fraction: ArrayLike = 0.2) -> Int[Array, "b 4"]:
    """The box around the largest connected part of each map above a fraction of its maximum.

    Pixels above `fraction` · max are connected where they touch, by a side or by a corner (8-connectivity). Of parts of
    equal size the one that comes first in reading order is taken.

    Args:
      maps: `[B, h, w]`, floating point, any range; the box is in pixels of the map, so resize the map to the image
        first (as `jax.image.resize` does) for a box of the image.
      fraction: of the maximum, in [0, 1); may be traced. The paper's is 0.2.

    Returns:
      int32 `[B, 4]`: (top, left, bottom, right), the last two excluded. The empty box (0, 0, 0, 0) for a map with no
      positive value.

    Raises:
      ValueError: `fraction` outside [0, 1), a wrong rank, or an empty axis.
      TypeError: `maps` is not floating point.

    Example:
      >>> import jax.numpy as jnp
      >>> bounding_box(jnp.array([[[0.0, 5.0, 0.0, 4.0], [0.0, 0.0, 9.0, 1.0], [3.0, 0.0, 0.0, 0.0]]]))
      Array([[0, 1, 2, 4]], dtype=int32)

    References:
      Zhou et al., "Learning deep features for discriminative localization", CVPR 2016, section 3.2.
    """
    check_floating("bounding_box", maps, rank=3, what="maps", axes="[B, h, w]")
    check_number("bounding_box", "fraction", fraction, 0.0, 1.0, open_high=True)
    return jax.vmap(_box)(above(maps, fraction))


def above(maps: Float[Array, "b h w"], fraction: ArrayLike) -> Bool[Array, "b h w"]:
    """Returns which pixels are above a fraction of their map's maximum, none where that is not positive."""
    maps = jnp.maximum(maps.astype(jnp.float32), 0.0)
    return maps > jnp.asarray(fraction, jnp.float32) * maps.max(axis=(1, 2), keepdims=True)


def _box(mask: Bool[Array, "h w"]) -> Int[Array, "4"]:
    labels = _labels(mask)
    sizes = jnp.zeros(mask.size + 1, jnp.int32).at[labels.ravel()].add(1).at[mask.size].set(0)
    largest = mask & (labels == sizes.argmax())
    ends = []
    for axis in (1, 0):
        line = largest.any(axis=axis)
        ends.append((line.argmax(), jnp.where(line.any(), line.size - line[::-1].argmax(), 0)))
    (top, bottom), (left, right) = ends
    return jnp.stack([top, left, bottom, right]).astype(jnp.int32)


def _labels(mask: Bool[Array, "h w"]) -> Int[Array, "h w"]:
    """Returns for every pixel of the mask the index of the first pixel of its part, `mask.size` elsewhere."""
    nothing = mask.size
    indices = jnp.arange(nothing, dtype=jnp.int32)

    def spread(state: tuple[Array, Array]) -> tuple[Array, Array]:
        labels, _ = state
        least = jax.lax.reduce_window(labels, jnp.int32(nothing), jax.lax.min, (3, 3), (1, 1), "SAME")
        least = jnp.where(mask, least, nothing).ravel()
        # A label is the index of a pixel, whose own label may be smaller by now: long paths end in few rounds.
        least = jnp.append(least, jnp.int32(nothing))[least].reshape(mask.shape)
        return least, (least != labels).any()

    first = jnp.where(mask, indices.reshape(mask.shape), nothing)
    return jax.lax.while_loop(lambda state: state[1], spread, (first, mask.any()))[0]
