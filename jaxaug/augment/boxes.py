"""Random boxes by area and aspect."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Int32, Key

_TRIES = 10


class Box(NamedTuple):
    """A box in each image, in pixels."""

    start: Int32[Array, "b 2"]  # (y, x) of its first pixel
    size: Int32[Array, "b 2"]  # (height, width)
    fits: Bool[Array, " b"]  # whether one of the draws fitted; otherwise the box means nothing


def fitting_box(
    key: Key[Array, ""],
    shape: tuple[int, int, int],
    *,
    area: tuple[ArrayLike, ArrayLike],
    aspect: tuple[ArrayLike, ArrayLike],
) -> Box:
    """Returns the first of ten boxes that fits inside its image, at a uniform place.

    Its share of the area is uniform on `area`, its aspect (width / height, in pixels) log-uniform on `aspect`, its
    sides rounded to whole pixels, at least one.
    """
    b, h, w = shape
    area_key, aspect_key, place_key = jax.random.split(key, 3)
    low, high = (jnp.asarray(end, jnp.float32) for end in area)
    pixels = jax.random.uniform(area_key, (b, _TRIES), minval=low, maxval=high) * (h * w)
    low, high = (jnp.log(jnp.asarray(end, jnp.float32)) for end in aspect)
    root = jnp.exp(0.5 * jax.random.uniform(aspect_key, (b, _TRIES), minval=low, maxval=high))
    sides = jnp.round(jnp.sqrt(pixels)[:, :, None] * jnp.stack([1.0 / root, root], axis=2)).astype(jnp.int32)
    extent = jnp.array([h, w], jnp.int32)
    inside = jnp.all((sides <= extent[None, None, :]) & (sides >= 1), axis=2)
    size = jnp.take_along_axis(sides, jnp.argmax(inside, axis=1)[:, None, None], axis=1)[:, 0]
    room = jnp.maximum(extent[None, :] - size, 0)
    return Box(jax.random.randint(place_key, (b, 2), 0, room + 1), size, jnp.any(inside, axis=1))
