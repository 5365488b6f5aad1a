"""Overlays of maps on the images that they explain."""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from jaxaug.checks import check_floating, check_images, check_number, described
from jaxaug.explain.viridis import viridis


def overlay(
    images: Float[Array, "b h w c"], maps: Float[Array, "b h2 w2"], *, strength: ArrayLike = 0.5
) -> Float[Array, "b h w 3"]:
    """Returns the images with their maps overlaid in color.

    The result is (1 - s) image + s viridis(m), where m is the map, resized bilinearly to the image, clipped at 0 and
    divided by its maximum. Yellow is the maximum of the map, and dark violet is 0 or less. Images whose maps have no
    positive values stay the same.

    Args:
      images: `[B, H, W, 3]`, or `[B, H, W, 1]` for gray, in [0, 1], floating point.
      maps: `[B, h, w]`, floating point, any range, such as the result of `cam` or `grad_cam`.
      strength: s in [0, 1], from only the image to only the map; may be traced.

    Returns:
      `[B, H, W, 3]` in [0, 1], dtype of `images`; every map is scaled by its own maximum.

    Raises:
      ValueError: `strength` is outside [0, 1], images do not have 1 or 3 channels, the numbers of images and maps
        differ, a rank is wrong or an axis is empty.
      TypeError: `images` or `maps` is not floating point.

    Example:
      >>> import jax.numpy as jnp
      >>> blended = overlay(jnp.ones((1, 1, 2, 3)), jnp.array([[[-1.0, 2.0]]]), strength=0.5)
      >>> (255 * blended).round().astype(int).tolist()
      [[[[162, 128, 170], [254, 243, 146]]]]
    """
    check_images("overlay", images)
    check_floating("overlay", maps, rank=3, what="maps", axes="[B, h, w]")
    if images.shape[3] not in (1, 3) or maps.shape[0] != images.shape[0]:
        raise ValueError(
            "overlay takes images [B, H, W, 3] or [B, H, W, 1] and the same number of maps [B, h, w]; "
            f"got {described(images)} and {described(maps)}."
        )
    check_number("overlay", "strength", strength, 0.0, 1.0)
    resized = jax.image.resize(maps.astype(jnp.float32), images.shape[:3], "bilinear")
    largest = resized.max(axis=(1, 2), keepdims=True)
    has_evidence = largest > 0
    colors = viridis(jnp.maximum(resized, 0.0) / jnp.where(has_evidence, largest, 1.0))
    opacity = jnp.where(has_evidence, jnp.asarray(strength, jnp.float32), 0.0)[..., None]
    rgb = jnp.broadcast_to(images.astype(jnp.float32), colors.shape)
    return (rgb + opacity * (colors - rgb)).astype(images.dtype)
