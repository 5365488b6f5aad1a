"""Brightness, contrast, saturation and hue together."""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int32, Key

from jaxaug.augment.colour import (
    brightened,
    check_rgb,
    contrasted,
    drawn_factor,
    hue_shifted,
    saturated,
)
from jaxaug.augment.dispatch import applied_by_choice
from jaxaug.checks import check_number, checked_images

_STEPS = (brightened, contrasted, saturated, hue_shifted)


@checked_images
def color_jitter(
    key: Key[Array, ""],
    images: Float[Array, "b h w c"],
    *,
    brightness: ArrayLike = 0.4,
    contrast: ArrayLike = 0.4,
    saturation: ArrayLike = 0.4,
    hue: ArrayLike = 0.1,
) -> Float[Array, "b h w c"]:
    """Images with brightness, contrast, saturation and hue changed by random amounts, in a random order.

    Each step is that of the function of its name, its factor or angle drawn for each image, its result clipped to
    [0, 1]; the order is one of the 24, uniform, for each image alone.

    Args:
      key: PRNG key, consumed.
      images: `[B, H, W, 3]`, floating point, in [0, 1].
      brightness: strength of `brightness`, at least 0; 0 leaves the step out. May be traced, as all four.
      contrast: strength of `contrast`, at least 0.
      saturation: strength of `saturation`, at least 0.
      hue: strength of `hue` in turns, in [0, 1/2].

    Returns:
      `[B, H, W, 3]` in [0, 1], dtype of `images`; four amounts and one order per image.

    Raises:
      ValueError: a strength is out of its range, or `images` is not a non-empty `[B, H, W, 3]`.
      TypeError: `images` is not floating point, or `key` is no typed key.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> images = jnp.array([0.25, 0.5, 0.75]).reshape(1, 1, 1, 3)
      >>> color_jitter(jax.random.key(0), images).shape
      (1, 1, 1, 3)

    References:
      Howard, "Some improvements on deep convolutional neural network based image classification", arXiv 1312.5402,
      2013.
    """
    for name, value in (("brightness", brightness), ("contrast", contrast), ("saturation", saturation)):
        check_number("color_jitter", name, value, 0.0)
    check_number("color_jitter", "hue", hue, 0.0, 0.5)
    check_rgb("color_jitter", images)
    b = images.shape[0]
    *factor_keys, hue_key, order_key = jax.random.split(key, 5)
    amounts = [
        drawn_factor(k, b, strength)
        for k, strength in zip(factor_keys, (brightness, contrast, saturation), strict=True)
    ]
    amounts.append(jax.random.uniform(hue_key, (b,), minval=-1.0, maxval=1.0) * jnp.asarray(hue, jnp.float32))
    # The ranks of four random numbers are a random order.
    order = jnp.argsort(jax.random.uniform(order_key, (b, len(_STEPS))), axis=1).astype(jnp.int32)
    return jittered(images, jnp.stack(amounts, axis=1), order)


def jittered(
    images: Float[Array, "b h w 3"], amounts: Float[Array, "b 4"], order: Int32[Array, "b 4"]
) -> Float[Array, "b h w 3"]:
    """Returns the images after four steps; `order` holds the step, and so the column of `amounts`, that comes first."""
    steps = [lambda x, a, k=k, step=step: step(x, a[:, k]) for k, step in enumerate(_STEPS)]

    def stepped(images: Array, choice: Array) -> tuple[Array, None]:
        return applied_by_choice(steps, choice, images, amounts), None

    return jax.lax.scan(stepped, images, order.T)[0]
