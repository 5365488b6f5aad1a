"""Augmentations of colour, on [0, 1]: a factor or a shift per image, the result clipped to [0, 1]."""

from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Key

from jaxaug.augment.geometry import where_coin
from jaxaug.checks import check_number, check_prob, checked_images, described

# Luma of ITU-R BT.601, which Pillow and the papers' code take for grey.
_LUMA = (0.299, 0.587, 0.114)


def check_rgb(function: str, images: Any) -> None:
    """Raises `ValueError` unless the images have three channels."""
    if images.shape[3] != 3:
        raise ValueError(f"{function} takes images [B, H, W, 3], red, green and blue; got {described(images)}.")


def drawn_factor(key: Key[Array, ""], batch: int, strength: ArrayLike) -> Float[Array, " b"]:
    """Returns a factor for each image, uniform on [1 - strength, 1 + strength], none below 0."""
    unit = jax.random.uniform(key, (batch,), minval=-1.0, maxval=1.0)
    return jnp.maximum(1.0 + jnp.asarray(strength, jnp.float32) * unit, 0.0)


@checked_images
def brightness(
    key: Key[Array, ""], images: Float[Array, "b h w c"], *, strength: ArrayLike = 0.4
) -> Float[Array, "b h w c"]:
    """Images made darker or brighter by a random factor.

    out = clip(f in, 0, 1), with f = max(0, U[1 - s, 1 + s]).

    Args:
      key: PRNG key, consumed.
      images: `[B, H, W, C]`, floating point, in [0, 1].
      strength: s, at least 0; 0 is the identity. May be traced.

    Returns:
      `[B, H, W, C]` in [0, 1], dtype of `images`; one factor per image.

    Raises:
      ValueError: `strength` is negative, or `images` is not a non-empty `[B, H, W, C]`.
      TypeError: `images` is not floating point, or `key` is no typed key.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> out = brightness(jax.random.key(0), jnp.full((3, 1, 1, 1), 0.5), strength=0.4)
      >>> [round(float(x), 2) for x in out.ravel()]
      [0.68, 0.69, 0.43]
    """
    check_number("brightness", "strength", strength, 0.0)
    return brightened(images, drawn_factor(key, images.shape[0], strength))


@checked_images
def contrast(
    key: Key[Array, ""], images: Float[Array, "b h w c"], *, strength: ArrayLike = 0.4
) -> Float[Array, "b h w c"]:
    """Images drawn towards their mean grey, or away from it, by a random factor.

    out = clip(m + f (in - m), 0, 1), with f = max(0, U[1 - s, 1 + s]) and m the mean over the image of its grey
    0.299 R + 0.587 G + 0.114 B; without three channels, the mean over all values.

    Args:
      key: PRNG key, consumed.
      images: `[B, H, W, C]`, floating point, in [0, 1].
      strength: s, at least 0; 0 is the identity. May be traced.

    Returns:
      `[B, H, W, C]` in [0, 1], dtype of `images`; one factor per image.

    Raises:
      ValueError: `strength` is negative, or `images` is not a non-empty `[B, H, W, C]`.
      TypeError: `images` is not floating point, or `key` is no typed key.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> out = contrast(jax.random.key(0), jnp.array([0.25, 0.75]).reshape(1, 1, 2, 1), strength=0.4)
      >>> [round(float(x), 2) for x in out.ravel()]
      [0.16, 0.84]
    """
    check_number("contrast", "strength", strength, 0.0)
    return contrasted(images, drawn_factor(key, images.shape[0], strength))


@checked_images
def saturation(
    key: Key[Array, ""], images: Float[Array, "b h w c"], *, strength: ArrayLike = 0.4
) -> Float[Array, "b h w c"]:
    """Images made greyer or more colourful by a random factor.

    out = clip(g + f (in - g), 0, 1), with f = max(0, U[1 - s, 1 + s]) and g = 0.299 R + 0.587 G + 0.114 B of the
    pixel.

    Args:
      key: PRNG key, consumed.
      images: `[B, H, W, 3]`, floating point, in [0, 1].
      strength: s, at least 0; 0 is the identity. May be traced.

    Returns:
      `[B, H, W, 3]` in [0, 1], dtype of `images`; one factor per image.

    Raises:
      ValueError: `strength` is negative, or `images` is not a non-empty `[B, H, W, 3]`.
      TypeError: `images` is not floating point, or `key` is no typed key.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> out = saturation(jax.random.key(0), jnp.array([0.25, 0.5, 0.75]).reshape(1, 1, 1, 3))
      >>> [round(float(x), 2) for x in out.ravel()]
      [0.18, 0.52, 0.86]
    """
    check_number("saturation", "strength", strength, 0.0)
    check_rgb("saturation", images)
    return saturated(images, drawn_factor(key, images.shape[0], strength))


@checked_images
def hue(key: Key[Array, ""], images: Float[Array, "b h w c"], *, strength: ArrayLike = 0.1) -> Float[Array, "b h w c"]:
    """Images with every hue turned by a random angle.

    In HSV, h becomes h + U[-s, s] turns; saturation and value stay.

    Args:
      key: PRNG key, consumed.
      images: `[B, H, W, 3]`, floating point, in [0, 1].
      strength: s in turns, in [0, 1/2]; 0 is the identity. May be traced.

    Returns:
      `[B, H, W, 3]` in [0, 1], dtype of `images`; one angle per image.

    Raises:
      ValueError: `strength` is outside [0, 1/2], or `images` is not a non-empty `[B, H, W, 3]`.
      TypeError: `images` is not floating point, or `key` is no typed key.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> out = hue(jax.random.key(0), jnp.array([0.25, 0.5, 0.75]).reshape(1, 1, 1, 3))
      >>> [round(float(x), 2) for x in out.ravel()]
      [0.27, 0.25, 0.75]
    """
    check_number("hue", "strength", strength, 0.0, 0.5)
    check_rgb("hue", images)
    turns = jax.random.uniform(key, images.shape[:1], minval=-1.0, maxval=1.0) * jnp.asarray(strength, jnp.float32)
    return hue_shifted(images, turns)


@checked_images
def grayscale(
    key: Key[Array, ""], images: Float[Array, "b h w c"], *, prob: ArrayLike = 0.1
) -> Float[Array, "b h w c"]:
    """Images turned grey, each with probability `prob`.

    All three channels become 0.299 R + 0.587 G + 0.114 B where the image's own coin, Bernoulli(prob), says so.

    Args:
      key: PRNG key, consumed.
      images: `[B, H, W, 3]`, floating point, any range.
      prob: probability in [0, 1]; may be traced.

    Returns:
      `[B, H, W, 3]`, dtype of `images`; one coin per image.

    Raises:
      ValueError: `prob` is outside [0, 1], or `images` is not a non-empty `[B, H, W, 3]`.
      TypeError: `images` is not floating point, or `key` is no typed key.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> out = grayscale(jax.random.key(0), jnp.array([0.0, 1.0, 0.5]).reshape(1, 1, 1, 3), prob=1.0)
      >>> [round(float(x), 3) for x in out.ravel()]
      [0.644, 0.644, 0.644]
    """
    check_prob("grayscale", prob)
    check_rgb("grayscale", images)
    return where_coin(key, prob, greyed(images), images)


def brightened(images: Float[Array, "b h w c"], factor: Float[Array, " b"]) -> Float[Array, "b h w c"]:
    """Returns clip(f in, 0, 1)."""
    return _clipped(_each(factor) * images.astype(jnp.float32), images)


def contrasted(images: Float[Array, "b h w c"], factor: Float[Array, " b"]) -> Float[Array, "b h w c"]:
    """Returns clip(m + f (in - m), 0, 1) with m the mean grey of each image."""
    return _blended(images, _each(mean_grey(images)), factor)


def saturated(images: Float[Array, "b h w 3"], factor: Float[Array, " b"]) -> Float[Array, "b h w 3"]:
    """Returns clip(g + f (in - g), 0, 1) with g the grey of each pixel."""
    return _blended(images, grey(images), factor)


def greyed(images: Float[Array, "b h w 3"]) -> Float[Array, "b h w 3"]:
    """Returns the grey of each pixel in all three channels."""
    return jnp.broadcast_to(grey(images), images.shape).astype(images.dtype)


def hue_shifted(images: Float[Array, "b h w 3"], turns: Float[Array, " b"]) -> Float[Array, "b h w 3"]:
    """Returns the images with every hue moved by its image's share of a turn.

    With v the largest and c the spread of a pixel's channels, channel n is v - c max(0, min(k, 4 - k, 1)) for
    k = (n + 6 h) mod 6 and n = 5, 3, 1, at the new hue h: no case distinction, and no HSV image in memory.
    """
    x = jnp.clip(images.astype(jnp.float32), 0.0, 1.0)
    red, green, blue = x[..., 0], x[..., 1], x[..., 2]
    value, least = jnp.maximum(jnp.maximum(red, green), blue), jnp.minimum(jnp.minimum(red, green), blue)
    spread = value - least
    over = 1.0 / jnp.where(spread > 0, spread, 1.0)
    sextant = jnp.where(
        value == red,
        (green - blue) * over,
        jnp.where(value == green, 2.0 + (blue - red) * over, 4.0 + (red - green) * over),
    )
    # In (-1 - 3, 5 + 3): two turns up, every k below is positive.
    moved = sextant + 6.0 * turns[:, None, None]
    channels = []
    for n in (5.0, 3.0, 1.0):
        k = n + moved
        k = k - 6.0 * jnp.floor(k * (1.0 / 6.0))
        channels.append(value - spread * jnp.clip(jnp.minimum(k, 4.0 - k), 0.0, 1.0))
    # A turn of nothing is the image itself, not the image up to rounding.
    moved_at_all = (turns != 0)[:, None, None, None]
    return jnp.where(moved_at_all, jnp.stack(channels, axis=-1), x).astype(images.dtype)


def grey(images: Float[Array, "b h w 3"]) -> Float[Array, "b h w 1"]:
    """Returns 0.299 R + 0.587 G + 0.114 B in float32."""
    x = images.astype(jnp.float32)
    red, green, blue = (weight * x[..., k : k + 1] for k, weight in enumerate(_LUMA))
    return red + green + blue


def mean_grey(images: Float[Array, "b h w c"]) -> Float[Array, " b"]:
    """Returns the mean of each image's grey (of its values, where it has not three channels), in float32."""
    mean = jnp.mean(images.astype(jnp.float32), axis=(1, 2))
    if images.shape[3] != 3:
        return jnp.mean(mean, axis=1)
    return jnp.sum(mean * jnp.array([_LUMA], jnp.float32), axis=1)


def _blended(images: Array, towards: Array, factor: Array) -> Array:
    """Returns clip(t + f (in - t), 0, 1), and the image itself at f = 1."""
    x = images.astype(jnp.float32)
    f = _each(factor)
    # f in + (1 - f) t is exact at f = 1, where t + f (in - t) is not.
    return _clipped(f * x + (1.0 - f) * towards, images)


def _clipped(x: Array, images: Array) -> Array:
    return jnp.clip(x, 0.0, 1.0).astype(images.dtype)


def _each(factor: Array) -> Array:
    """Returns `[B, 1, 1, 1]`."""
    return factor[:, None, None, None]
