"""Color augmentations for images in [0, 1], by a random factor or shift per image."""

from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Key

from jaxaug.augment.channel_planes import brightened, contrasted, gray, hue_shifted, on_planes, saturated
from jaxaug.augment.geometry import where_coin
from jaxaug.checks import check_number, check_prob, checked_images, described


def check_rgb(function: str, images: Any) -> None:
    """Raises `ValueError` unless the images have three channels."""
    if images.shape[3] != 3:
        raise ValueError(f"{function} takes RGB images [B, H, W, 3]; got {described(images)}.")


def random_factor(key: Key[Array, ""], batch: int, strength: ArrayLike) -> Float[Array, " b"]:
    """Returns a factor for each image, uniform on [1 - strength, 1 + strength] and clipped at 0."""
    unit = jax.random.uniform(key, (batch,), minval=-1.0, maxval=1.0)
    return jnp.maximum(1.0 + jnp.asarray(strength, jnp.float32) * unit, 0.0)


@checked_images
def brightness(
    key: Key[Array, ""], images: Float[Array, "b h w c"], *, strength: ArrayLike = 0.4
) -> Float[Array, "b h w c"]:
    """Changes the brightness of images by a random factor.

    out = clip(f in, 0, 1), with f = max(0, U[1 - s, 1 + s]).

    Args:
      key: PRNG key, consumed.
      images: `[B, H, W, C]`, floating point, in [0, 1].
      strength: s, at least 0; 0 is the identity. May be traced.

    Returns:
      `[B, H, W, C]` in [0, 1], dtype of `images`; one factor per image.

    Raises:
      ValueError: `strength` is negative, or `images` is not a non-empty `[B, H, W, C]`.
      TypeError: `images` is not floating point, or `key` is not a typed key.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> out = brightness(jax.random.key(0), jnp.full((3, 1, 1, 1), 0.5), strength=0.4)
      >>> [round(float(x), 2) for x in out.ravel()]
      [0.68, 0.69, 0.43]
    """
    check_number("brightness", "strength", strength, 0.0)
    factor = random_factor(key, images.shape[0], strength)
    return on_planes(lambda planes: brightened(planes, factor), images)


@checked_images
def contrast(
    key: Key[Array, ""], images: Float[Array, "b h w c"], *, strength: ArrayLike = 0.4
) -> Float[Array, "b h w c"]:
    """Changes the contrast of images by a random factor.

    out = clip(m + f (in - m), 0, 1), where f = max(0, U[1 - s, 1 + s]) and m is the mean of the gray values
    0.299 R + 0.587 G + 0.114 B of the image, or of all its values if it does not have three channels.

    Args:
      key: PRNG key, consumed.
      images: `[B, H, W, C]`, floating point, in [0, 1].
      strength: s, at least 0; 0 is the identity. May be traced.

    Returns:
      `[B, H, W, C]` in [0, 1], dtype of `images`; one factor per image.

    Raises:
      ValueError: `strength` is negative, or `images` is not a non-empty `[B, H, W, C]`.
      TypeError: `images` is not floating point, or `key` is not a typed key.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> out = contrast(jax.random.key(0), jnp.array([0.25, 0.75]).reshape(1, 1, 2, 1), strength=0.4)
      >>> [round(float(x), 2) for x in out.ravel()]
      [0.16, 0.84]
    """
    check_number("contrast", "strength", strength, 0.0)
    factor = random_factor(key, images.shape[0], strength)
    return on_planes(lambda planes: contrasted(planes, factor), images)


@checked_images
def saturation(
    key: Key[Array, ""], images: Float[Array, "b h w c"], *, strength: ArrayLike = 0.4
) -> Float[Array, "b h w c"]:
    """Changes the color saturation of images by a random factor.

    out = clip(g + f (in - g), 0, 1), where f = max(0, U[1 - s, 1 + s]) and g = 0.299 R + 0.587 G + 0.114 B for each
    pixel.

    Args:
      key: PRNG key, consumed.
      images: `[B, H, W, 3]`, floating point, in [0, 1].
      strength: s, at least 0; 0 is the identity. May be traced.

    Returns:
      `[B, H, W, 3]` in [0, 1], dtype of `images`; one factor per image.

    Raises:
      ValueError: `strength` is negative, or `images` is not a non-empty `[B, H, W, 3]`.
      TypeError: `images` is not floating point, or `key` is not a typed key.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> out = saturation(jax.random.key(0), jnp.array([0.25, 0.5, 0.75]).reshape(1, 1, 1, 3))
      >>> [round(float(x), 2) for x in out.ravel()]
      [0.18, 0.52, 0.86]
    """
    check_number("saturation", "strength", strength, 0.0)
    check_rgb("saturation", images)
    factor = random_factor(key, images.shape[0], strength)
    return on_planes(lambda planes: saturated(planes, factor), images)


@checked_images
def hue(key: Key[Array, ""], images: Float[Array, "b h w c"], *, strength: ArrayLike = 0.1) -> Float[Array, "b h w c"]:
    """Shifts the hue of images by a random angle.

    In HSV, h becomes h + U[-s, s] turns; saturation and value stay the same.

    Args:
      key: PRNG key, consumed.
      images: `[B, H, W, 3]`, floating point, in [0, 1].
      strength: s in turns, in [0, 1/2]; 0 is the identity. May be traced.

    Returns:
      `[B, H, W, 3]` in [0, 1], dtype of `images`; one angle per image.

    Raises:
      ValueError: `strength` is outside [0, 1/2], or `images` is not a non-empty `[B, H, W, 3]`.
      TypeError: `images` is not floating point, or `key` is not a typed key.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> out = hue(jax.random.key(0), jnp.array([0.25, 0.5, 0.75]).reshape(1, 1, 1, 3))
      >>> [round(float(x), 2) for x in out.ravel()]
      [0.27, 0.25, 0.75]
    """
    check_number("hue", "strength", strength, 0.0, 0.5)
    check_rgb("hue", images)
    turns = jax.random.uniform(key, images.shape[:1], minval=-1.0, maxval=1.0) * jnp.asarray(strength, jnp.float32)
    return on_planes(lambda planes: hue_shifted(planes, turns), images)


@checked_images
def grayscale(
    key: Key[Array, ""], images: Float[Array, "b h w c"], *, prob: ArrayLike = 0.1
) -> Float[Array, "b h w c"]:
    """Converts each image to gray with probability `prob`.

    All three channels become 0.299 R + 0.587 G + 0.114 B.

    Args:
      key: PRNG key, consumed.
      images: `[B, H, W, 3]`, floating point, any range.
      prob: probability in [0, 1]; may be traced.

    Returns:
      `[B, H, W, 3]`, dtype of `images`; drawn independently for each image.

    Raises:
      ValueError: `prob` is outside [0, 1], or `images` is not a non-empty `[B, H, W, 3]`.
      TypeError: `images` is not floating point, or `key` is not a typed key.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> out = grayscale(jax.random.key(0), jnp.array([0.0, 1.0, 0.5]).reshape(1, 1, 1, 3), prob=1.0)
      >>> [round(float(x), 3) for x in out.ravel()]
      [0.644, 0.644, 0.644]
    """
    check_prob("grayscale", prob)
    check_rgb("grayscale", images)
    grayed = on_planes(lambda planes: jnp.broadcast_to(gray(planes), planes.shape), images)
    return where_coin(key, prob, grayed, images)
