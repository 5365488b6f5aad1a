"""Resampling of images at fractional coordinates, with one convention for all geometric augmentations.

The center of pixel (i, j) has the coordinates (y, x) = (i, j), with y pointing down. Matrices map points of the output
to points of the input, both relative to the center of the image, ((H - 1) / 2, (W - 1) / 2).
"""

from typing import Literal

import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from jaxaug.checks import check_choice, concrete

Interpolation = Literal["bilinear", "nearest"]
Border = Literal["constant", "reflect"]
Fill = ArrayLike | tuple[ArrayLike, ...]


def check_fill(function: str, fill: Fill, channels: int) -> None:
    """Raises unless `fill` is one number or one per channel."""
    if jnp.shape(jnp.asarray(fill)) not in ((), (1,), (channels,)):
        raise ValueError(
            f"{function} takes one number, or one for each of the {channels} channels, for fill; "
            f"got {concrete(fill) or fill!r}."
        )


def check_sampling(function: str, interpolation: str, border: str, fill: Fill, channels: int) -> None:
    """Raises unless the options that all geometric augmentations share are valid."""
    check_choice(function, "interpolation", interpolation, ("bilinear", "nearest"))
    check_choice(function, "border", border, ("constant", "reflect"))
    check_fill(function, fill, channels)


def resampled(
    images: Float[Array, "b h w c"],
    inverse: Float[Array, "b 2 3"],
    *,
    interpolation: Interpolation = "bilinear",
    border: Border = "constant",
    fill: Fill = 0.0,
) -> Float[Array, "b h w c"]:
    """Returns out[p] = in[A p + t], where `inverse` = [A | t] for each example and p = (y, x) from the center.

    Outside the border, the value is `fill` ("constant"; the outermost half pixel fades to it) or the mirrored image
    d c b a | a b c d | d c b a ("reflect", as in scipy.ndimage).
    """
    _, h, w, _ = images.shape
    i = jnp.arange(h, dtype=jnp.float32)[None, :, None] - (h - 1) / 2
    j = jnp.arange(w, dtype=jnp.float32)[None, None, :] - (w - 1) / 2
    m = inverse[:, :, :, None, None]
    y = m[:, 0, 0] * i + m[:, 0, 1] * j + m[:, 0, 2] + (h - 1) / 2
    x = m[:, 1, 0] * i + m[:, 1, 1] * j + m[:, 1, 2] + (w - 1) / 2
    # A frame of one pixel holds the values outside the border, so that no tap has to be masked.
    frame = ((0, 0), (1, 1), (1, 1), (0, 0))
    if border == "reflect":
        y, x = _folded(y, h), _folded(x, w)
        canvas = jnp.pad(images, frame, mode="edge")
    else:
        y, x = jnp.clip(y, -1.0, h), jnp.clip(x, -1.0, w)
        color = jnp.asarray(fill, images.dtype).reshape(1, 1, 1, -1)
        canvas = jnp.broadcast_to(color, (images.shape[0], h + 2, w + 2, images.shape[3]))
        canvas = canvas.at[:, 1 : h + 1, 1 : w + 1].set(images)
    return read_at(canvas, y + 1.0, x + 1.0, interpolation=interpolation)


def read_at(
    canvas: Float[Array, "b H W c"],
    y: Float[Array, "b h _w"],
    x: Float[Array, "b _h w"],
    *,
    interpolation: Interpolation,
) -> Float[Array, "b h w c"]:
    """Returns the values at the points (y, x) in [0, H - 1] x [0, W - 1]; y and x broadcast to `[b, h, w]`."""
    b, height, width, c = canvas.shape
    pixels = canvas.reshape(b * height * width, c)
    image = (jnp.arange(b, dtype=jnp.int32) * (height * width))[:, None, None]

    def pixel(row: Array, column: Array) -> Array:
        return pixels.at[row + column].get(mode="promise_in_bounds")

    # Terms that depend only on y or only on x are computed before they broadcast.
    if interpolation == "nearest":
        return pixel(image + _index(y + 0.5, height) * width, _index(x + 0.5, width))
    top, bottom, down = _taps(y, height)
    left, right, over = _taps(x, width)
    top, bottom = image + top * width, image + bottom * width

    def along_x(row: Array) -> Array:
        return (1.0 - over) * pixel(row, left).astype(jnp.float32) + over * pixel(row, right).astype(jnp.float32)

    return ((1.0 - down) * along_x(top) + down * along_x(bottom)).astype(canvas.dtype)


def _taps(v: Array, length: int) -> tuple[Array, Array, Array]:
    """Returns the two pixels next to each point and the weight `[..., 1]` of the second."""
    first = _index(v, length)
    return first, jnp.minimum(first + 1, length - 1), (v - first.astype(jnp.float32))[..., None]


def _index(v: Array, length: int) -> Array:
    """Returns floor(v), clipped to the bounds even if v is NaN."""
    return jnp.clip(jnp.floor(v).astype(jnp.int32), 0, length - 1)


def _folded(v: Array, length: int) -> Array:
    """Returns the point in [-1/2, length - 1/2] whose mirror image is v."""
    v = jnp.mod(v + 0.5, 2.0 * length)
    return jnp.minimum(v, 2.0 * length - v) - 0.5
