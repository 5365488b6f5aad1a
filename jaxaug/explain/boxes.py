"""Bounding boxes of the regions that a map highlights."""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Int

from jaxaug.checks import check_floating, check_number


def bounding_box(maps: Float[Array, "b h w"], *, fraction: ArrayLike = 0.2) -> Int[Array, "b 4"]:
    """Returns the bounding box of the largest connected component of each map above a fraction of its maximum.

    Pixels above `fraction` · max are connected if they share a side or a corner (8-connectivity). Among components of
    equal size, the first in reading order is used.

    Args:
      maps: `[B, h, w]`, floating point, any range. The box is in pixels of the map; for a box in the image, resize the
        map first, for example with `jax.image.resize`.
      fraction: fraction of the maximum, in [0, 1); 0.2 in the paper. May be traced.

    Returns:
      int32 `[B, 4]`: (top, left, bottom, right), where bottom and right are exclusive. A map without positive values
      gives the empty box (0, 0, 0, 0).

    Raises:
      ValueError: `fraction` is outside [0, 1), the rank is wrong, or an axis is empty.
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
    """Returns which pixels are above a fraction of the maximum of their map (none if it is not positive)."""
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
    """Returns, for every pixel of the mask, the index of the first pixel of its component; `mask.size` elsewhere."""
    background = mask.size
    indices = jnp.arange(background, dtype=jnp.int32)

    def propagate(state: tuple[Array, Array]) -> tuple[Array, Array]:
        labels, _ = state
        new = jax.lax.reduce_window(labels, jnp.int32(background), jax.lax.min, (3, 3), (1, 1), "SAME")
        new = jnp.where(mask, new, background).ravel()
        # A label is the index of a pixel. Using that pixel's own label, which may be smaller, saves iterations.
        new = jnp.append(new, jnp.int32(background))[new].reshape(mask.shape)
        return new, (new != labels).any()

    initial = jnp.where(mask, indices.reshape(mask.shape), background)
    return jax.lax.while_loop(lambda state: state[1], propagate, (initial, mask.any()))[0]
