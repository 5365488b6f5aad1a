"""Color jitter: brightness, contrast, saturation and hue together."""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int32, Key

from jaxaug.augment.channel_planes import brightened, contrasted, hue_shifted, on_planes, saturated
from jaxaug.augment.color import check_rgb, random_factor
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
    random_order: bool = False,
) -> Float[Array, "b h w c"]:
    """Changes the brightness, contrast, saturation and hue of images by random amounts.

    Each step equals the function of the same name, with amounts drawn independently for each image. The steps follow
    the order of the options or, with `random_order`, a uniformly random order for each image, which takes about twice
    as long.

    Args:
      key: PRNG key, consumed.
      images: `[B, H, W, 3]`, floating point, in [0, 1].
      brightness: strength of `brightness`, at least 0; 0 skips the step. May be traced, like the other strengths.
      contrast: strength of `contrast`, at least 0.
      saturation: strength of `saturation`, at least 0.
      hue: strength of `hue` in turns, in [0, 1/2].
      random_order: whether to draw the order of the steps for each image.

    Returns:
      `[B, H, W, 3]` in [0, 1], dtype of `images`; drawn independently for each image.

    Raises:
      ValueError: a strength is out of range, or `images` is not a non-empty `[B, H, W, 3]`.
      TypeError: `images` is not floating point, or `key` is not a typed key.

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
    factors = (
        random_factor(k, b, strength)
        for k, strength in zip(factor_keys, (brightness, contrast, saturation), strict=True)
    )
    turns = jax.random.uniform(hue_key, (b,), minval=-1.0, maxval=1.0) * jnp.asarray(hue, jnp.float32)
    amounts = jnp.stack([*factors, turns], axis=1)
    if not random_order:
        return on_planes(lambda planes: jittered(planes, amounts), images)
    # The ranks of four random numbers form a random permutation.
    order = jnp.argsort(jax.random.uniform(order_key, (b, len(_STEPS))), axis=1).astype(jnp.int32)
    return on_planes(lambda planes: jittered_in_order(planes, amounts, order), images)


def jittered(planes: Float[Array, "b 3 n"], amounts: Float[Array, "b 4"]) -> Float[Array, "b 3 n"]:
    """Returns the planes after the four steps, each with its column of `amounts`."""
    for k, step in enumerate(_STEPS):
        planes = step(planes, amounts[:, k])
    return planes


def jittered_in_order(
    planes: Float[Array, "b 3 n"], amounts: Float[Array, "b 4"], order: Int32[Array, "b 4"]
) -> Float[Array, "b 3 n"]:
    """Returns the planes after the four steps, which each image takes in its own order."""
    steps = [lambda x, a, k=k, step=step: step(x, a[:, k]) for k, step in enumerate(_STEPS)]

    def body(planes: Array, choice: Array) -> tuple[Array, None]:
        return applied_by_choice(steps, choice, planes, amounts), None

    return jax.lax.scan(body, planes, order.T)[0]
