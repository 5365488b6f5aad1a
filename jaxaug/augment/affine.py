"""Augmentations that translate, rotate, shear and zoom images by random amounts."""

from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Key

from jaxaug.augment.resampling import Border, Fill, Interpolation, check_sampling, resampled
from jaxaug.checks import check_number, check_range, checked_images


@checked_images
def translate(
    key: Key[Array, ""],
    images: Float[Array, "b h w c"],
    *,
    fraction: ArrayLike = 0.2,
    interpolation: Interpolation = "bilinear",
    border: Border = "constant",
    fill: Fill = 0.0,
) -> Float[Array, "b h w c"]:
    """Moves images by a random distance along both axes.

    out[i, j] = in[i - dy, j - dx] with dy ~ U[-f H, f H] and dx ~ U[-f W, f W]. Fractions of pixels are interpolated.

    Args:
      key: PRNG key, consumed.
      images: `[B, H, W, C]`, floating point, any range.
      fraction: f, the largest distance as a share of the side, at least 0; may be traced.
      interpolation: "bilinear" or "nearest".
      border: how to fill pixels from outside the image: "constant" (with `fill`) or "reflect" (mirrored).
      fill: one number, or one per channel; may be traced.

    Returns:
      `[B, H, W, C]`, dtype of `images`; one (dy, dx) per image.

    Raises:
      ValueError: `fraction` is negative, `interpolation` or `border` is unknown, or `images` is not a non-empty
        `[B, H, W, C]`.
      TypeError: `images` is not floating point, or `key` is not a typed key.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> images = jnp.arange(1.0, 6.0).reshape(1, 1, 5, 1)
      >>> moved = translate(jax.random.key(1), images, fraction=0.5, border="reflect")
      >>> [round(float(x), 2) for x in moved.ravel()]
      [1.0, 1.83, 2.83, 3.83, 4.83]
    """
    check_number("translate", "fraction", fraction, 0.0)
    check_sampling("translate", interpolation, border, fill, images.shape[3])
    unit = jax.random.uniform(key, (images.shape[0], 2), minval=-1.0, maxval=1.0)
    dy, dx = (unit[:, axis] * (jnp.asarray(fraction, jnp.float32) * images.shape[1 + axis]) for axis in (0, 1))
    return translated(images, dy, dx, interpolation=interpolation, border=border, fill=fill)


@checked_images
def rotate(
    key: Key[Array, ""],
    images: Float[Array, "b h w c"],
    *,
    degrees: ArrayLike = 15.0,
    interpolation: Interpolation = "bilinear",
    border: Border = "constant",
    fill: Fill = 0.0,
) -> Float[Array, "b h w c"]:
    """Rotates images about their center by a random angle, without changing their size.

    The angle is uniform on [-d, d], with positive angles counterclockwise; 90 degrees is `np.rot90` on a square image.

    Args:
      key: PRNG key, consumed.
      images: `[B, H, W, C]`, floating point, any range.
      degrees: d, the largest angle in degrees, at least 0; may be traced.
      interpolation: "bilinear" or "nearest".
      border: how to fill pixels from outside the image: "constant" (with `fill`) or "reflect" (mirrored).
      fill: one number, or one per channel; may be traced.

    Returns:
      `[B, H, W, C]`, dtype of `images`; one angle per image.

    Raises:
      ValueError: `degrees` is negative, `interpolation` or `border` is unknown, or `images` is not a non-empty
        `[B, H, W, C]`.
      TypeError: `images` is not floating point, or `key` is not a typed key.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> images = jnp.arange(1.0, 10.0).reshape(1, 3, 3, 1)
      >>> rotate(jax.random.key(0), images, degrees=45.0)[0, 1, 1, 0].round(3)
      Array(5., dtype=float32)
    """
    check_number("rotate", "degrees", degrees, 0.0)
    check_sampling("rotate", interpolation, border, fill, images.shape[3])
    angle = jax.random.uniform(key, images.shape[:1], minval=-1.0, maxval=1.0) * jnp.asarray(degrees, jnp.float32)
    return rotated(images, angle, interpolation=interpolation, border=border, fill=fill)


@checked_images
def shear(
    key: Key[Array, ""],
    images: Float[Array, "b h w c"],
    *,
    degrees: ArrayLike = 15.0,
    interpolation: Interpolation = "bilinear",
    border: Border = "constant",
    fill: Fill = 0.0,
) -> Float[Array, "b h w c"]:
    """Shears images along both axes by random angles.

    out(y, x) = in(y + x tan b, x + y tan a), relative to the center, with independent a, b ~ U[-d, d].

    Args:
      key: PRNG key, consumed.
      images: `[B, H, W, C]`, floating point, any range.
      degrees: d, the largest angle in degrees, at least 0 and below 90; may be traced.
      interpolation: "bilinear" or "nearest".
      border: how to fill pixels from outside the image: "constant" (with `fill`) or "reflect" (mirrored).
      fill: one number, or one per channel; may be traced.

    Returns:
      `[B, H, W, C]`, dtype of `images`; one pair of angles per image.

    Raises:
      ValueError: `degrees` is outside [0, 90), `interpolation` or `border` is unknown, or `images` is not a non-empty
        `[B, H, W, C]`.
      TypeError: `images` is not floating point, or `key` is not a typed key.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> images = jnp.arange(1.0, 10.0).reshape(1, 3, 3, 1)
      >>> shear(jax.random.key(0), images, degrees=30.0)[0, 1, 1, 0].round(3)
      Array(5., dtype=float32)
    """
    check_number("shear", "degrees", degrees, 0.0, 90.0, open_high=True)
    check_sampling("shear", interpolation, border, fill, images.shape[3])
    angle = jax.random.uniform(key, (images.shape[0], 2), minval=-1.0, maxval=1.0) * jnp.asarray(degrees, jnp.float32)
    slope = jnp.tan(jnp.deg2rad(angle))
    return sheared(images, slope[:, 0], slope[:, 1], interpolation=interpolation, border=border, fill=fill)


@checked_images
def zoom(
    key: Key[Array, ""],
    images: Float[Array, "b h w c"],
    *,
    factor: tuple[ArrayLike, ArrayLike] = (0.8, 1.25),
    interpolation: Interpolation = "bilinear",
    border: Border = "constant",
    fill: Fill = 0.0,
) -> Float[Array, "b h w c"]:
    """Enlarges or shrinks the content of images about their center by a random factor, without changing their size.

    out(y, x) = in(y / z, x / z), relative to the center, with log z ~ U[log low, log high], so that 1/2 and 2 are
    equally likely. Images are not smoothed before shrinking.

    Args:
      key: PRNG key, consumed.
      images: `[B, H, W, C]`, floating point, any range.
      factor: (low, high), both above 0; above 1 enlarges. May be traced.
      interpolation: "bilinear" or "nearest".
      border: how to fill pixels from outside the image: "constant" (with `fill`) or "reflect" (mirrored).
      fill: one number, or one per channel; may be traced.

    Returns:
      `[B, H, W, C]`, dtype of `images`; one factor per image.

    Raises:
      ValueError: `factor` is not an ascending pair above 0, `interpolation` or `border` is unknown, or `images` is not
        a non-empty `[B, H, W, C]`.
      TypeError: `images` is not floating point, or `key` is not a typed key.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> images = jnp.arange(1.0, 6.0).reshape(1, 1, 5, 1)
      >>> zoom(jax.random.key(0), images, factor=(2.0, 2.0)).ravel()
      Array([2. , 2.5, 3. , 3.5, 4. ], dtype=float32)
    """
    check_range("zoom", "factor", factor, 0.0, open_low=True)
    check_sampling("zoom", interpolation, border, fill, images.shape[3])
    low, high = (jnp.log(jnp.asarray(end, jnp.float32)) for end in factor)
    factors = jnp.exp(jax.random.uniform(key, images.shape[:1], minval=low, maxval=high))
    return zoomed(images, factors, interpolation=interpolation, border=border, fill=fill)


def translated(
    images: Float[Array, "b h w c"], dy: Float[Array, " b"], dx: Float[Array, " b"], **sampling: Any
) -> Float[Array, "b h w c"]:
    """Returns each image moved down by dy pixels and right by dx pixels."""
    one, zero = jnp.ones_like(dy), jnp.zeros_like(dy)
    return resampled(images, matrices((one, zero, -dy), (zero, one, -dx)), **sampling)


def rotated(images: Float[Array, "b h w c"], degrees: Float[Array, " b"], **sampling: Any) -> Float[Array, "b h w c"]:
    """Returns each image rotated counterclockwise by its angle."""
    angle = jnp.deg2rad(degrees)
    cos, sin, zero = jnp.cos(angle), jnp.sin(angle), jnp.zeros_like(angle)
    return resampled(images, matrices((cos, sin, zero), (-sin, cos, zero)), **sampling)


def sheared(
    images: Float[Array, "b h w c"], horizontal: Float[Array, " b"], vertical: Float[Array, " b"], **sampling: Any
) -> Float[Array, "b h w c"]:
    """Returns each image sheared along x and y by the given tangents."""
    one, zero = jnp.ones_like(horizontal), jnp.zeros_like(horizontal)
    return resampled(images, matrices((one, vertical, zero), (horizontal, one, zero)), **sampling)


def zoomed(images: Float[Array, "b h w c"], factor: Float[Array, " b"], **sampling: Any) -> Float[Array, "b h w c"]:
    """Returns each image enlarged about its center by its factor."""
    scale, zero = 1.0 / factor, jnp.zeros_like(factor)
    return resampled(images, matrices((scale, zero, zero), (zero, scale, zero)), **sampling)


def matrices(y: tuple[Array, Array, Array], x: tuple[Array, Array, Array]) -> Float[Array, "b 2 3"]:
    """Returns the matrices with the rows y and x, whose entries are `[B]`."""
    return jnp.stack([jnp.stack(y, axis=1), jnp.stack(x, axis=1)], axis=1)
