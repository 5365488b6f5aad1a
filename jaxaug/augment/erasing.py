"""Augmentations that erase part of an image."""

from typing import Literal

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Key

from jaxaug.augment.boxes import fitting_box
from jaxaug.augment.resampling import Fill, check_fill
from jaxaug.checks import check_choice, check_number, check_prob, check_range, checked_images


@checked_images
def cutout(
    key: Key[Array, ""],
    images: Float[Array, "b h w c"],
    *,
    size: ArrayLike | tuple[ArrayLike, ArrayLike] = 16,
    fill: Fill = 0.0,
    prob: ArrayLike = 1.0,
) -> Float[Array, "b h w c"]:
    """Overwrites a rectangle at a random position in each image with a constant.

    The rectangle covers rows [y - h // 2, y - h // 2 + h) and the corresponding columns, with a center (y, x) that is
    uniform over all pixels. It is clipped at the border, so that only a quarter of it may be left in a corner.

    Args:
      key: PRNG key, consumed.
      images: `[B, H, W, C]`, floating point, any range.
      size: side of the square in pixels, or (height, width), at least 0; may exceed the image, and may be traced.
      fill: value to write, one number or one per channel; may be traced. The paper uses the mean color, which is 0 on
        normalized images.
      prob: probability of changing an image, in [0, 1]; may be traced.

    Returns:
      `[B, H, W, C]`, dtype of `images`; drawn independently for each image.

    Raises:
      ValueError: `size` is negative, `prob` is outside [0, 1], `fill` is neither one number nor one per channel, or
        `images` is not a non-empty `[B, H, W, C]`.
      TypeError: `images` is not floating point, or `key` is not a typed key.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> cutout(jax.random.key(0), jnp.ones((1, 1, 8, 1)), size=3).ravel()
      Array([1., 1., 0., 0., 0., 1., 1., 1.], dtype=float32)

    References:
      DeVries, Taylor, "Improved regularization of convolutional neural networks with cutout", arXiv 1708.04552, 2017.
    """
    b, h, w, c = images.shape
    height, width = size if isinstance(size, tuple) else (size, size)
    for side in (height, width):
        check_number("cutout", "size", side, 0.0)
    check_prob("cutout", prob)
    check_fill("cutout", fill, c)

    coin_key, row_key, column_key = jax.random.split(key, 3)
    coin = jax.random.bernoulli(coin_key, jnp.asarray(prob, jnp.float32), (b,))
    rows, columns = (
        _segment_around_uniform_center(k, b, length, side)
        for k, length, side in ((row_key, h, height), (column_key, w, width))
    )
    return _erased(images, rows & coin[:, None], columns, jnp.asarray(fill, images.dtype).reshape(1, 1, 1, -1))


@checked_images
def random_erasing(
    key: Key[Array, ""],
    images: Float[Array, "b h w c"],
    *,
    prob: ArrayLike = 0.5,
    area: tuple[ArrayLike, ArrayLike] = (0.02, 0.4),
    aspect: tuple[ArrayLike, ArrayLike] = (0.3, 1 / 0.3),
    fill: Fill | Literal["noise"] = 0.0,
) -> Float[Array, "b h w c"]:
    """Overwrites a box of random size, shape and position in each image with probability `prob`.

    The share of the image area is uniform on `area` and the aspect ratio log-uniform on `aspect`, rounded to whole
    pixels, so that tall and wide boxes are equally likely. The position is uniform inside the image. The first of ten
    draws that fits is used; if none fits, the image stays the same.

    Args:
      key: PRNG key, consumed.
      images: `[B, H, W, C]`, floating point, any range.
      prob: probability of changing an image, in [0, 1]; may be traced.
      area: smallest and largest share of the image area, in (0, 1]; may be traced.
      aspect: smallest and largest width / height in pixels, above 0; may be traced.
      fill: value to write, one number or one per channel, which may be traced; or "noise" for independent draws from
        N(0, 1).

    Returns:
      `[B, H, W, C]`, dtype of `images`; drawn independently for each image.

    Raises:
      ValueError: `prob` is outside [0, 1], `area` is not an ascending pair in (0, 1], `aspect` is not an ascending pair
        above 0, `fill` is neither one number nor one per channel, or `images` is not a non-empty `[B, H, W, C]`.
      TypeError: `images` is not floating point, or `key` is not a typed key.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> images = jnp.ones((1, 10, 10, 1))
      >>> float(random_erasing(jax.random.key(0), images, prob=1.0, area=(0.25, 0.25), aspect=(1.0, 1.0)).mean())
      0.75

    References:
      Zhong, Zheng, Kang, Li, Yang, "Random erasing data augmentation", AAAI 2020, algorithm 1.
    """
    b, h, w, c = images.shape
    check_prob("random_erasing", prob)
    check_range("random_erasing", "area", area, 0.0, 1.0, open_low=True)
    check_range("random_erasing", "aspect", aspect, 0.0, open_low=True)
    coin_key, box_key, noise_key = jax.random.split(key, 3)
    if isinstance(fill, str):
        check_choice("random_erasing", "fill", fill, ("noise",))
        values = jax.random.normal(noise_key, images.shape, jnp.float32).astype(images.dtype)
    else:
        check_fill("random_erasing", fill, c)
        values = jnp.asarray(fill, images.dtype).reshape(1, 1, 1, -1)
    box = fitting_box(box_key, (b, h, w), area=area, aspect=aspect)
    coin = jax.random.bernoulli(coin_key, jnp.asarray(prob, jnp.float32), (b,)) & box.fits
    rows, columns = (_segment(box.start[:, axis], box.size[:, axis], length) for axis, length in enumerate((h, w)))
    return _erased(images, rows & coin[:, None], columns, values)


def _erased(images: Array, rows: Array, columns: Array, values: Array) -> Array:
    """Returns the images with the values written where both the row `[B, H]` and the column `[B, W]` are true."""
    return jnp.where(rows[:, :, None, None] & columns[:, None, :, None], values, images)


def _segment_around_uniform_center(key: Array, batch: int, length: int, side: ArrayLike) -> Array:
    """Returns `[batch, length]`, true on `side` pixels around a uniform center."""
    center = jax.random.randint(key, (batch,), 0, length)
    side = jnp.asarray(side, jnp.int32)
    return _segment(center - side // 2, side, length)


def _segment(start: Array, side: Array, length: int) -> Array:
    """Returns `[batch, length]`, true on [start, start + side)."""
    offset = jnp.arange(length, dtype=jnp.int32)[None, :] - start[:, None]
    return (offset >= 0) & (offset < jnp.broadcast_to(side, start.shape)[:, None])
