"""Random crops that are resized to a fixed size."""

import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Key

from jaxaug.augment.boxes import fitting_box
from jaxaug.augment.resampling import Interpolation, read_at
from jaxaug.checks import check_choice, check_range, check_size, checked_images


@checked_images
def resized_crop(
    key: Key[Array, ""],
    images: Float[Array, "b h w c"],
    *,
    size: int | tuple[int, int] | None = None,
    area: tuple[ArrayLike, ArrayLike] = (0.08, 1.0),
    aspect: tuple[ArrayLike, ArrayLike] = (3 / 4, 4 / 3),
    interpolation: Interpolation = "bilinear",
) -> Float[Array, "b h2 w2 c"]:
    """Crops a random box from each image and resizes it to a fixed size.

    The share of the image area is uniform on `area` and the aspect ratio (width / height, in pixels) log-uniform on
    `aspect`, rounded to whole pixels, and the position is uniform. The first of ten draws that fits inside the image is
    used; if none fits, the largest central box with the nearest allowed aspect ratio. Row i of the output is read at
    (i + 1/2) h / H' - 1/2 in a box of height h, and columns in the same way. The box is not smoothed first.

    Args:
      key: PRNG key, consumed.
      images: `[B, H, W, C]`, floating point, any range.
      size: side of the output in pixels, or (height, width); None keeps H and W. Fixes a shape, so it cannot be traced.
      area: smallest and largest share of the image area, in (0, 1]; may be traced.
      aspect: smallest and largest width / height, above 0; may be traced.
      interpolation: "bilinear" or "nearest".

    Returns:
      `[B, H', W', C]`, dtype of `images`; one box per image.

    Raises:
      ValueError: `size` is below 1, `area` is not an ascending pair in (0, 1], `aspect` is not an ascending pair above
        0, `interpolation` is unknown, or `images` is not a non-empty `[B, H, W, C]`.
      TypeError: `size` is not a Python integer, `images` is not floating point, or `key` is not a typed key.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> images = jnp.arange(1.0, 9.0).reshape(1, 1, 8, 1)
      >>> resized_crop(jax.random.key(0), images, size=(1, 4), area=(0.5, 0.5), aspect=(4.0, 4.0)).shape
      (1, 1, 4, 1)

    References:
      Szegedy et al., "Going deeper with convolutions", CVPR 2015, section 6.
    """
    b, h, w, _ = images.shape
    height, width = (h, w) if size is None else size if isinstance(size, tuple) else (size, size)
    for side in (height, width):
        check_size("resized_crop", "size", side, 1)
    check_range("resized_crop", "area", area, 0.0, 1.0, open_low=True)
    check_range("resized_crop", "aspect", aspect, 0.0, open_low=True)
    check_choice("resized_crop", "interpolation", interpolation, ("bilinear", "nearest"))
    box = fitting_box(key, (b, h, w), area=area, aspect=aspect)
    low, high = (jnp.asarray(end, jnp.float32) for end in aspect)
    nearest = jnp.clip(jnp.float32(w / h), low, high)
    central = jnp.stack([jnp.minimum(h, jnp.round(w / nearest)), jnp.minimum(w, jnp.round(h * nearest))])
    central = jnp.maximum(central, 1.0).astype(jnp.int32)[None, :]
    extent = jnp.array([[h, w]], jnp.int32)
    sides = jnp.where(box.fits[:, None], box.size, central)
    start = jnp.where(box.fits[:, None], box.start, (extent - central) // 2)
    y, x = (
        read_points(start[:, axis], sides[:, axis], length, nearest=interpolation == "nearest")
        for axis, length in enumerate((height, width))
    )
    return read_at(images, y[:, :, None], x[:, None, :], interpolation=interpolation)


def read_points(start: Array, side: Array, length: int, *, nearest: bool) -> Float[Array, "b length"]:
    """Returns the coordinates along one axis at which to read the box, clipped so that no pixel outside it is used."""
    first, step = start.astype(jnp.float32)[:, None], side.astype(jnp.float32)[:, None] / length
    within = (jnp.arange(length, dtype=jnp.float32) + 0.5)[None, :] * step
    if nearest:  # the pixel whose square holds the point
        return first + jnp.minimum(jnp.floor(within), side.astype(jnp.float32)[:, None] - 1.0)
    return first + jnp.clip(within - 0.5, 0.0, side.astype(jnp.float32)[:, None] - 1.0)
