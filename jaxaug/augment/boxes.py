"""Random boxes with a given range of areas and aspect ratios."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Int32, Key

_TRIES = 10


class Box(NamedTuple):
    """A box in each image, in pixels."""

    start: Int32[Array, "b 2"]  # (y, x) of the first pixel
    size: Int32[Array, "b 2"]  # (height, width)
    fits: Bool[Array, " b"]  # whether one of the draws fits inside the image; otherwise the box is meaningless


def fitting_box(
    key: Key[Array, ""],
    shape: tuple[int, int, int],
    *,
    area: tuple[ArrayLike, ArrayLike],
    aspect: tuple[ArrayLike, ArrayLike],
) -> Box:
    """Returns the first of ten random boxes that fits inside each image, at a uniform position.

    The share of the image area is uniform on `area`, and the aspect ratio (width / height, in pixels) is log-uniform on
    `aspect`. Sides are rounded to whole pixels, and are at least one.
    """
    b, h, w = shape
    area_key, aspect_key, position_key = jax.random.split(key, 3)
    low, high = (jnp.asarray(end, jnp.float32) for end in area)
    pixels = jax.random.uniform(area_key, (b, _TRIES), minval=low, maxval=high) * (h * w)
    low, high = (jnp.log(jnp.asarray(end, jnp.float32)) for end in aspect)
    root = jnp.exp(0.5 * jax.random.uniform(aspect_key, (b, _TRIES), minval=low, maxval=high))
    sides = jnp.round(jnp.sqrt(pixels)[:, :, None] * jnp.stack([1.0 / root, root], axis=2)).astype(jnp.int32)
    extent = jnp.array([h, w], jnp.int32)
    inside = jnp.all((sides <= extent[None, None, :]) & (sides >= 1), axis=2)
    size = jnp.take_along_axis(sides, jnp.argmax(inside, axis=1)[:, None, None], axis=1)[:, 0]
    room = jnp.maximum(extent[None, :] - size, 0)
    return Box(jax.random.randint(position_key, (b, 2), 0, room + 1), size, jnp.any(inside, axis=1))
