"""Augmentations that erase a part of an image."""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Key

from jaxaug.checks import check_number, check_prob, checked_images, concrete


@checked_images
def cutout(
    key: Key[Array, ""],
    images: Float[Array, "b h w c"],
    *,
    size: ArrayLike | tuple[ArrayLike, ArrayLike] = 16,
    fill: ArrayLike | tuple[ArrayLike, ...] = 0.0,
    prob: ArrayLike = 1.0,
) -> Float[Array, "b h w c"]:
    """Images with one rectangle each overwritten by a constant.

    The rectangle covers rows [y - h // 2, y - h // 2 + h) and columns likewise, its centre (y, x) uniform over all
    pixels, and is clipped at the border: away from it exactly `size` pixels are erased on each side, in a corner a
    quarter of them.

    Args:
      key: PRNG key, consumed.
      images: `[B, H, W, C]`, floating point, any range.
      size: side of the square in pixels, or (height, width), at least 0; larger than the image is clipped. May be
        traced.
      fill: the value written, one number or one per channel; may be traced. The paper's is the mean colour, which
        is 0 on normalised images.
      prob: probability that an image is cut at all, in [0, 1]; may be traced.

    Returns:
      `[B, H, W, C]`, dtype of `images`; one coin and one centre per image.

    Raises:
      ValueError: a negative `size`, a `prob` outside [0, 1], a `fill` that is neither one number nor one per channel,
        or `images` is not a non-empty `[B, H, W, C]`.
      TypeError: `images` is not floating point, or `key` is no typed key.

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
    colour = jnp.asarray(fill, images.dtype)
    if colour.shape not in ((), (1,), (c,)):
        raise ValueError(f"cutout takes one fill, or one per channel of {c}; got {concrete(fill) or fill!r}.")

    coin_key, row_key, column_key = jax.random.split(key, 3)
    coin = jax.random.bernoulli(coin_key, jnp.asarray(prob, jnp.float32), (b, 1))
    rows = _covered(row_key, b, h, height) & coin
    columns = _covered(column_key, b, w, width)
    hole = rows[:, :, None, None] & columns[:, None, :, None]
    return jnp.where(hole, colour.reshape(1, 1, 1, -1), images)


def _covered(key: Array, batch: int, length: int, side: ArrayLike) -> Array:
    """Returns `[batch, length]`, true where a segment of `side` pixels around a uniform centre lies."""
    centre = jax.random.randint(key, (batch, 1), 0, length)
    side = jnp.asarray(side, jnp.int32)
    start = centre - side // 2
    position = jnp.arange(length)[None, :]
    return (position >= start) & (position < start + side)
