"""Augmentations that sharpen or blur images."""

import math

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Key

from jaxaug.augment.color import random_factor
from jaxaug.checks import check_number, check_size, checked_images, concrete

_TRUNCATE = 3.0  # radius of the kernel in standard deviations


@checked_images
def sharpness(
    key: Key[Array, ""], images: Float[Array, "b h w c"], *, strength: ArrayLike = 0.4
) -> Float[Array, "b h w c"]:
    """Changes the sharpness of images by a random factor.

    out = clip(d + f (in - d), 0, 1), where f = max(0, U[1 - s, 1 + s]) and d is the image smoothed by the kernel
    (1 1 1; 1 5 1; 1 1 1) / 13. The outermost pixels stay the same.

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
      >>> images = jnp.full((1, 3, 3, 1), 0.25).at[0, 1, 1, 0].set(0.5)
      >>> round(float(sharpness(jax.random.key(0), images, strength=0.4)[0, 1, 1, 0]), 3)
      0.555
    """
    check_number("sharpness", "strength", strength, 0.0)
    return sharpened(images, random_factor(key, images.shape[0], strength))


@checked_images
def gaussian_blur(
    key: Key[Array, ""], images: Float[Array, "b h w c"], *, sigma: ArrayLike = 1.0, radius: int | None = None
) -> Float[Array, "b h w c"]:
    """Blurs images with a Gaussian.

    The kernel is proportional to exp(-k^2 / (2 sigma^2)) for |k| <= min(radius, ceil(3 sigma)), with sum 1, along rows
    and columns. Outside the border the image is mirrored, d c b a | a b c d | d c b a. This is deterministic: the key
    has no effect.

    Args:
      key: PRNG key, unused.
      images: `[B, H, W, C]`, floating point, any range.
      sigma: standard deviation in pixels, at least 0; 0 is the identity. May be traced.
      radius: number of taps on each side of the center, at least 0; fixes a shape, so it cannot be traced. None means
        ceil(3 sigma), or the longer side of the image if sigma is traced; in that case, pass a radius to save time.

    Returns:
      `[B, H, W, C]`, dtype of `images`.

    Raises:
      ValueError: `sigma` or `radius` is negative, or `images` is not a non-empty `[B, H, W, C]`.
      TypeError: `radius` is not a Python integer, `images` is not floating point, or `key` is not a typed key.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> images = jnp.zeros((1, 1, 5, 1)).at[0, 0, 2, 0].set(1.0)
      >>> [round(float(x), 3) for x in gaussian_blur(jax.random.key(0), images, sigma=0.5).ravel()]
      [0.0, 0.106, 0.787, 0.106, 0.0]
    """
    check_number("gaussian_blur", "sigma", sigma, 0.0)
    if radius is None:
        known_sigma = concrete(sigma)
        radius = max(images.shape[1:3]) if known_sigma is None else math.ceil(_TRUNCATE * known_sigma)
    check_size("gaussian_blur", "radius", radius)
    return blurred(images, jnp.broadcast_to(jnp.asarray(sigma, jnp.float32), images.shape[:1]), radius)


def sharpened(images: Float[Array, "b h w c"], factor: Float[Array, " b"]) -> Float[Array, "b h w c"]:
    """Returns clip(d + f (in - d), 0, 1), where d is the smoothed image."""
    x, f = images.astype(jnp.float32), factor[:, None, None, None]
    _, h, w, _ = x.shape
    if min(h, w) < 3:
        return jnp.clip(x, 0.0, 1.0).astype(images.dtype)  # every pixel is at the border
    rows = x[:, :-2] + x[:, 1:-1] + x[:, 2:]
    smooth = (rows[:, :, :-2] + rows[:, :, 1:-1] + rows[:, :, 2:] + 4.0 * x[:, 1:-1, 1:-1]) / 13.0
    # In this form the result is exact at f = 1.
    inner = f * x[:, 1:-1, 1:-1] + (1.0 - f) * smooth
    return jnp.clip(x.at[:, 1:-1, 1:-1].set(inner), 0.0, 1.0).astype(images.dtype)


def blurred(images: Float[Array, "b h w c"], sigma: Float[Array, " b"], radius: int) -> Float[Array, "b h w c"]:
    """Returns each image blurred by a Gaussian with its own standard deviation."""
    k = jnp.arange(-radius, radius + 1, dtype=jnp.float32)[None, :]
    scale = jnp.maximum(sigma, 1e-6)[:, None]
    inside = jnp.abs(k) <= jnp.ceil(_TRUNCATE * sigma)[:, None]
    kernel = jnp.where(inside, jnp.exp(-0.5 * jnp.square(k / scale)), 0.0)
    kernel = kernel / jnp.sum(kernel, axis=1, keepdims=True)
    x = images.astype(jnp.float32)
    for axis in (1, 2):
        length = x.shape[axis]
        padding = [(radius, radius) if a == axis else (0, 0) for a in range(4)]
        padded = jnp.pad(x, padding, mode="symmetric")
        x = jnp.zeros_like(x)
        for n in range(2 * radius + 1):
            x = x + kernel[:, n, None, None, None] * jax.lax.slice_in_dim(padded, n, n + length, axis=axis)
    return x.astype(images.dtype)
