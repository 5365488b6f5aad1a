"""Augmentations that flip and crop images."""

from typing import Literal, get_args

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Key

from jaxaug.checks import check_choice, check_prob, check_size, checked_images

Border = Literal["constant", "edge", "reflect", "symmetric", "wrap"]


@checked_images
def flip_left_right(
    key: Key[Array, ""], images: Float[Array, "b h w c"], *, prob: ArrayLike = 0.5
) -> Float[Array, "b h w c"]:
    """Flips each image left to right with probability `prob`.

    out[i, j] = in[i, W - 1 - j] for flipped images; all other images stay the same, bit for bit.

    Args:
      key: PRNG key, consumed.
      images: `[B, H, W, C]`, floating point, any range.
      prob: probability of the flip, in [0, 1]; may be traced.

    Returns:
      `[B, H, W, C]`, dtype of `images`; drawn independently for each image.

    Raises:
      ValueError: `prob` is outside [0, 1], or `images` is not a non-empty `[B, H, W, C]`.
      TypeError: `images` is not floating point, or `key` is not a typed key.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> images = jnp.arange(3.0).reshape(1, 1, 3, 1)
      >>> flip_left_right(jax.random.key(0), images, prob=1.0).ravel()
      Array([2., 1., 0.], dtype=float32)

    References:
      Krizhevsky, Sutskever, Hinton, "ImageNet classification with deep convolutional neural networks",
      NeurIPS 2012, section 4.1.
    """
    check_prob("flip_left_right", prob)
    return where_coin(key, prob, images[:, :, ::-1], images)


@checked_images
def flip_up_down(
    key: Key[Array, ""], images: Float[Array, "b h w c"], *, prob: ArrayLike = 0.5
) -> Float[Array, "b h w c"]:
    """Flips each image upside down with probability `prob`.

    out[i, j] = in[H - 1 - i, j] for flipped images; all other images stay the same, bit for bit.

    Args:
      key: PRNG key, consumed.
      images: `[B, H, W, C]`, floating point, any range.
      prob: probability of the flip, in [0, 1]; may be traced.

    Returns:
      `[B, H, W, C]`, dtype of `images`; drawn independently for each image.

    Raises:
      ValueError: `prob` is outside [0, 1], or `images` is not a non-empty `[B, H, W, C]`.
      TypeError: `images` is not floating point, or `key` is not a typed key.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> images = jnp.arange(3.0).reshape(1, 3, 1, 1)
      >>> flip_up_down(jax.random.key(0), images, prob=1.0).ravel()
      Array([2., 1., 0.], dtype=float32)
    """
    check_prob("flip_up_down", prob)
    return where_coin(key, prob, images[:, ::-1], images)


def where_coin(
    key: Key[Array, ""], prob: ArrayLike, changed: Float[Array, "b h w c"], images: Float[Array, "b h w c"]
) -> Float[Array, "b h w c"]:
    """Returns each image changed with probability `prob`, drawn independently."""
    coin = jax.random.bernoulli(key, jnp.asarray(prob, jnp.float32), (images.shape[0], 1, 1, 1))
    return jnp.where(coin, changed, images)


@checked_images
def crop(
    key: Key[Array, ""], images: Float[Array, "b h w c"], *, padding: int = 4, mode: Border = "constant"
) -> Float[Array, "b h w c"]:
    """Pads images on all sides and crops them to their original size at a random position.

    out[i, j] = padded[y + i, x + j] with y and x uniform on {0, ..., 2 padding}, inclusive.

    Args:
      key: PRNG key, consumed.
      images: `[B, H, W, C]`, floating point, any range.
      padding: pixels added on each side, at least 0; fixes a shape, so it cannot be traced.
      mode: how to fill the border, as in `jnp.pad`: "constant" (zeros), "edge", "reflect", "symmetric" or "wrap".

    Returns:
      `[B, H, W, C]`, dtype of `images`; one offset (y, x) per image.

    Raises:
      ValueError: `padding` is negative, `mode` is unknown, or `images` is not a non-empty `[B, H, W, C]`.
      TypeError: `padding` is not a Python integer, `images` is not floating point, or `key` is not a typed key.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> images = jnp.arange(1.0, 6.0).reshape(1, 1, 5, 1)
      >>> crop(jax.random.key(0), images, padding=2, mode="edge").ravel()
      Array([1., 1., 1., 2., 3.], dtype=float32)

    References:
      He, Zhang, Ren, Sun, "Deep residual learning for image recognition", CVPR 2016, section 4.2.
    """
    check_size("crop", "padding", padding)
    check_choice("crop", "mode", mode, get_args(Border))
    b, h, w, c = images.shape
    padded = jnp.pad(images, ((0, 0), (padding, padding), (padding, padding), (0, 0)), mode=mode)
    offset = jax.random.randint(key, (b, 2), 0, 2 * padding + 1)

    def window(image: Array, yx: Array) -> Array:
        return jax.lax.dynamic_slice(image, (yx[0], yx[1], jnp.zeros_like(yx[0])), (h, w, c))

    return jax.vmap(window)(padded, offset)
