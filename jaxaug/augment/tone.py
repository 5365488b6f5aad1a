"""Augmentations that map pixel values in [0, 1] to new values by a tone curve."""

import functools

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int32, Key

from jaxaug.augment.geometry import where_coin
from jaxaug.checks import check_number, check_prob, checked_images

_LEVELS = 256


@checked_images
def invert(key: Key[Array, ""], images: Float[Array, "b h w c"], *, prob: ArrayLike = 0.5) -> Float[Array, "b h w c"]:
    """Inverts each image with probability `prob`: out = 1 - in.

    Args:
      key: PRNG key, consumed.
      images: `[B, H, W, C]`, floating point, in [0, 1].
      prob: probability in [0, 1]; may be traced.

    Returns:
      `[B, H, W, C]`, dtype of `images`; drawn independently for each image.

    Raises:
      ValueError: `prob` is outside [0, 1], or `images` is not a non-empty `[B, H, W, C]`.
      TypeError: `images` is not floating point, or `key` is not a typed key.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> invert(jax.random.key(0), jnp.array([0.0, 0.25]).reshape(1, 1, 2, 1), prob=1.0).ravel()
      Array([1.  , 0.75], dtype=float32)
    """
    check_prob("invert", prob)
    return where_coin(key, prob, inverted(images), images)


@checked_images
def solarize(
    key: Key[Array, ""], images: Float[Array, "b h w c"], *, threshold: ArrayLike = 0.5
) -> Float[Array, "b h w c"]:
    """Inverts the bright values of images.

    out = in if in < t, and 1 - in otherwise. This is deterministic: the key has no effect.

    Args:
      key: PRNG key, unused.
      images: `[B, H, W, C]`, floating point, in [0, 1].
      threshold: t; above 1 it has no effect. May be traced.

    Returns:
      `[B, H, W, C]`, dtype of `images`.

    Raises:
      ValueError: `threshold` is not finite, or `images` is not a non-empty `[B, H, W, C]`.
      TypeError: `images` is not floating point, or `key` is not a typed key.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> solarize(jax.random.key(0), jnp.array([0.25, 0.5, 1.0]).reshape(1, 1, 3, 1), threshold=0.5).ravel()
      Array([0.25, 0.5 , 0.  ], dtype=float32)
    """
    check_number("solarize", "threshold", threshold)
    return solarized(images, jnp.broadcast_to(jnp.asarray(threshold, jnp.float32), images.shape[:1]))


@checked_images
def posterize(key: Key[Array, ""], images: Float[Array, "b h w c"], *, bits: ArrayLike = 4) -> Float[Array, "b h w c"]:
    """Keeps the highest `bits` of the 8 bits per value.

    out = 2^(8-b) floor(round(255 in) / 2^(8-b)) / 255, with `in` clipped to [0, 1]. This is deterministic: the key has
    no effect.

    Args:
      key: PRNG key, unused.
      images: `[B, H, W, C]`, floating point, in [0, 1].
      bits: b, an integer from 1 to 8; 8 rounds to the nearest level. May be traced.

    Returns:
      `[B, H, W, C]` in [0, 1], dtype of `images`.

    Raises:
      ValueError: `bits` is outside [1, 8], or `images` is not a non-empty `[B, H, W, C]`.
      TypeError: `images` is not floating point, or `key` is not a typed key.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> out = posterize(jax.random.key(0), jnp.array([100.0, 200.0]).reshape(1, 1, 2, 1) / 255, bits=2)
      >>> [round(255 * float(x)) for x in out.ravel()]
      [64, 192]
    """
    check_number("posterize", "bits", bits, 1, 8)
    return posterized(images, jnp.broadcast_to(jnp.asarray(bits, jnp.float32), images.shape[:1]))


@checked_images
def autocontrast(
    key: Key[Array, ""], images: Float[Array, "b h w c"], *, prob: ArrayLike = 0.5
) -> Float[Array, "b h w c"]:
    """Stretches every channel of each image to the full range with probability `prob`.

    out = (in - min) / (max - min) over the pixels of a channel. Constant channels stay the same.

    Args:
      key: PRNG key, consumed.
      images: `[B, H, W, C]`, floating point, any range.
      prob: probability in [0, 1]; may be traced.

    Returns:
      `[B, H, W, C]`, dtype of `images`, with stretched channels in [0, 1]; drawn independently for each image.

    Raises:
      ValueError: `prob` is outside [0, 1], or `images` is not a non-empty `[B, H, W, C]`.
      TypeError: `images` is not floating point, or `key` is not a typed key.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> autocontrast(jax.random.key(0), jnp.array([0.25, 0.5, 0.75]).reshape(1, 1, 3, 1), prob=1.0).ravel()
      Array([0. , 0.5, 1. ], dtype=float32)
    """
    check_prob("autocontrast", prob)
    return where_coin(key, prob, autocontrasted(images), images)


@checked_images
def equalize(key: Key[Array, ""], images: Float[Array, "b h w c"], *, prob: ArrayLike = 0.5) -> Float[Array, "b h w c"]:
    """Equalizes the histogram of every channel of each image with probability `prob`.

    As in Pillow, this uses the 256 levels v = round(255 in). With n(v) pixels of level v, N(v) pixels below it, and
    s = (pixels - n(v_max)) div 255, level v becomes min((s div 2 + N(v)) div s, 255). If s is 0, levels stay the same.
    Images that are not drawn keep their values.

    Args:
      key: PRNG key, consumed.
      images: `[B, H, W, C]`, floating point, in [0, 1].
      prob: probability in [0, 1]; may be traced.

    Returns:
      `[B, H, W, C]` in [0, 1], dtype of `images`; drawn independently for each image.

    Raises:
      ValueError: `prob` is outside [0, 1], or `images` is not a non-empty `[B, H, W, C]`.
      TypeError: `images` is not floating point, or `key` is not a typed key.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> images = (jnp.arange(1024.0) // 8 / 255).reshape(1, 32, 32, 1)  # the lower half of the range
      >>> float(equalize(jax.random.key(0), images, prob=1.0).max())
      1.0
    """
    check_prob("equalize", prob)
    return where_coin(key, prob, equalized(images), images)


def inverted(images: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
    """Returns 1 - in."""
    return jnp.ones((), images.dtype) - images


def solarized(images: Float[Array, "b h w c"], threshold: Float[Array, " b"]) -> Float[Array, "b h w c"]:
    """Returns the images with values at or above the threshold inverted."""
    return jnp.where(images.astype(jnp.float32) < threshold[:, None, None, None], images, inverted(images))


def posterized(images: Float[Array, "b h w c"], bits: Float[Array, " b"]) -> Float[Array, "b h w c"]:
    """Returns the images with the given number of 8 bits kept."""
    step = jnp.exp2(8.0 - bits)[:, None, None, None]
    return (jnp.floor(_levels(images) / step) * step / 255.0).astype(images.dtype)


def autocontrasted(images: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
    """Returns the images with every channel stretched to [0, 1]."""
    x = images.astype(jnp.float32)
    low, high = jnp.min(x, axis=(1, 2), keepdims=True), jnp.max(x, axis=(1, 2), keepdims=True)
    return jnp.where(high > low, (x - low) / jnp.where(high > low, high - low, 1.0), x).astype(images.dtype)


def histograms(level: Int32[Array, "b h w c"], *, parts: int) -> Int32[Array, "bc 256"]:
    """Returns the counts of the levels in each channel of each image, as the sum over `parts` of its pixels."""
    b, h, w, c = level.shape
    channel = jnp.arange(b * c, dtype=jnp.int32).reshape(b, 1, 1, c)
    part = (jnp.arange(h * w, dtype=jnp.int32) % parts).reshape(1, h, w, 1)
    bin_index = (((channel * parts) + part) * _LEVELS + level).ravel()
    count = jnp.zeros(b * c * parts * _LEVELS, jnp.int32).at[bin_index].add(1, mode="promise_in_bounds")
    return jnp.sum(count.reshape(b * c, parts, _LEVELS), axis=1, dtype=jnp.int32)


def equalized(images: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
    """Returns the images with an even histogram in every channel."""
    b, h, w, c = images.shape
    level = _levels(images).astype(jnp.int32)
    channel = jnp.arange(b * c, dtype=jnp.int32).reshape(b, 1, 1, c)
    bin_index = (channel * _LEVELS + level).ravel()  # each channel of each image has its own histogram
    # The threads of a GPU wait for each other to count in the same bin: several histograms of parts of a large image
    # take a third of the time at 224 x 224, and twice the time at 32 x 32.
    parts = 16 if h * w >= 2**14 else 1
    count = jax.lax.platform_dependent(
        level, cpu=functools.partial(histograms, parts=1), default=functools.partial(histograms, parts=parts)
    )
    below = jnp.cumsum(count, axis=1) - count
    largest = jnp.max(level, axis=(1, 2)).reshape(b * c, 1)
    step = (h * w - jnp.take_along_axis(count, largest, axis=1)) // 255
    curve = jnp.minimum((step // 2 + below) // jnp.maximum(step, 1), 255)
    curve = jnp.where(step > 0, curve, jnp.arange(_LEVELS, dtype=jnp.int32)[None, :])
    new = curve.ravel().at[bin_index].get(mode="promise_in_bounds").reshape(images.shape)
    return (new.astype(jnp.float32) / 255.0).astype(images.dtype)


def _levels(images: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
    """Returns round(255 in) for `in` clipped to [0, 1], float32."""
    return jnp.round(jnp.clip(images.astype(jnp.float32), 0.0, 1.0) * 255.0)
