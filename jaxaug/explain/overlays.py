"""Maps laid over the pictures that they explain."""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from jaxaug.checks import check_floating, check_images, check_number, described
from jaxaug.explain.viridis import viridis


def overlay(
    images: Float[Array, "b h w c"], maps: Float[Array, "b h2 w2"], *, strength: ArrayLike = 0.5
) -> Float[Array, "b h w 3"]:
    """The images with their maps laid over them in color.

    (1 - s) image + s viridis(m), m = max(map, 0) / max of the map, resized bilinearly to the image before. A map with
    no positive value says nothing, and leaves its image as it is. Yellow is the map's maximum, dark violet 0 or less.

    Args:
      images: `[B, H, W, 3]`, or `[B, H, W, 1]` for gray, in [0, 1], floating point.
      maps: `[B, h, w]`, floating point, any range, as of `cam` or `grad_cam`.
      strength: s in [0, 1], from the image alone to the map alone; may be traced.

    Returns:
      `[B, H, W, 3]`, dtype of `images`, in [0, 1]; every map scaled by its own maximum.

    Raises:
      ValueError: `strength` outside [0, 1], images of other than 1 or 3 channels, as many maps as images are not given,
        a wrong rank or an empty axis.
      TypeError: `images` or `maps` is not floating point.

    Example:
      >>> import jax.numpy as jnp
      >>> seen = overlay(jnp.ones((1, 1, 2, 3)), jnp.array([[[-1.0, 2.0]]]), strength=0.5)
      >>> (255 * seen).round().astype(int).tolist()
      [[[[162, 128, 170], [254, 243, 146]]]]
    """
    check_images("overlay", images)
    check_floating("overlay", maps, rank=3, what="maps", axes="[B, h, w]")
    if images.shape[3] not in (1, 3) or maps.shape[0] != images.shape[0]:
        raise ValueError(
            "overlay takes images [B, H, W, 3] or [B, H, W, 1] and as many maps [B, h, w]; "
            f"got {described(images)} and {described(maps)}."
        )
    check_number("overlay", "strength", strength, 0.0, 1.0)
    shares = jax.image.resize(maps.astype(jnp.float32), images.shape[:3], "bilinear")
    largest = shares.max(axis=(1, 2), keepdims=True)
    says_something = largest > 0
    colors = viridis(jnp.maximum(shares, 0.0) / jnp.where(says_something, largest, 1.0))
    share = jnp.where(says_something, jnp.asarray(strength, jnp.float32), 0.0)[..., None]
    pictures = jnp.broadcast_to(images.astype(jnp.float32), colors.shape)
    return (pictures + share * (colors - pictures)).astype(images.dtype)
