"""Policies that draw operations for each image: RandAugment and TrivialAugment."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int32, Key

from jaxaug.augment.channel_planes import Step, brightened, contrasted, on_planes, saturated
from jaxaug.augment.dispatch import applied_by_choice
from jaxaug.augment.filtering import sharpened
from jaxaug.augment.resampling import Fill, check_fill, resampled
from jaxaug.augment.tone import autocontrasted, equalized, posterized, solarized
from jaxaug.checks import check_number, check_size, checked_images

# The operations of both papers. The geometric ones share one resampling; all others have their own functions.
OPERATIONS = (
    "identity", "shear_x", "shear_y", "translate_x", "translate_y", "rotate",
    "brightness", "saturation", "contrast", "sharpness", "posterize", "solarize", "autocontrast", "equalize",
)  # fmt: skip
_GEOMETRIC = OPERATIONS[1:6]


class Reach(NamedTuple):
    """The magnitude of each operation at strength 1; at strength 0 all magnitudes are 0."""

    degrees: float  # angle of rotations
    shear: float  # tangent of the shear angle
    translation: tuple[float, float]  # (y, x), in pixels
    factor: float  # brightness, saturation, contrast and sharpness use a factor of 1 ± this
    bits: float  # number of bits that posterize removes from 8


@checked_images
def rand_augment(
    key: Key[Array, ""],
    images: Float[Array, "b h w c"],
    *,
    num_ops: int = 2,
    magnitude: ArrayLike = 9.0,
    fill: Fill = 0.0,
) -> Float[Array, "b h w c"]:
    """Applies `num_ops` random operations at a fixed magnitude to each image.

    Each operation is uniform over the 14 of the paper: identity, shear and translation along x or y, rotation,
    brightness, saturation (called color in the paper), contrast, sharpness, posterize, solarize, autocontrast and
    equalize. Magnitude m is a share m / 10 of AutoAugment's ranges: a shear of 0.3, a translation of 150 / 331 of the
    side, 30 degrees, a factor of 1 ± 0.9, and 4 of 8 bits; the threshold of solarize is 1 - m / 10. Both signs are
    equally likely. With m = 0, only autocontrast and equalize, which have no magnitude, change the image.

    Args:
      key: PRNG key, consumed.
      images: `[B, H, W, C]`, floating point, in [0, 1]. Saturation has no effect unless C is 3.
      num_ops: number of operations per image, at least 1; fixes the length of a loop, so it cannot be traced.
      magnitude: magnitude on the scale of the paper, at least 0. 10 is AutoAugment's largest; the ranges continue above
        it (factors and thresholds stop at 0, posterize at 1 bit). May be traced.
      fill: value outside the image, one number or one per channel; may be traced.

    Returns:
      `[B, H, W, C]` in [0, 1], dtype of `images`; operations and signs are drawn independently for each image.

    Raises:
      ValueError: `num_ops` is below 1, `magnitude` is negative, or `images` is not a non-empty `[B, H, W, C]`.
      TypeError: `num_ops` is not a Python integer, `images` is not floating point, or `key` is not a typed key.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> images = jnp.linspace(0.0, 1.0, 4 * 8 * 8).reshape(4, 8, 8, 1)
      >>> out = rand_augment(jax.random.key(3), images)
      >>> (jnp.abs(out - images) > 0.01).any((1, 2, 3)).tolist()  # which images have visibly changed
      [True, True, False, True]

    References:
      Cubuk, Zoph, Shlens, Le, "RandAugment: Practical automated data augmentation with a reduced search space",
      NeurIPS 2020, section 3.
    """
    check_size("rand_augment", "num_ops", num_ops, 1)
    check_number("rand_augment", "magnitude", magnitude, 0.0)
    check_fill("rand_augment", fill, images.shape[3])
    b, h, w, _ = images.shape
    reach = Reach(degrees=30.0, shear=0.3, translation=(150 / 331 * h, 150 / 331 * w), factor=0.9, bits=4.0)
    choice_key, sign_key = jax.random.split(key)
    choice = jax.random.randint(choice_key, (num_ops, b), 0, len(OPERATIONS))
    sign = jax.random.rademacher(sign_key, (num_ops, b), jnp.float32)
    strength = jnp.broadcast_to(jnp.asarray(magnitude, jnp.float32) / 10.0, (b,))

    def body(images: Array, draws: tuple[Array, Array]) -> tuple[Array, None]:
        return _after_operations(images, *draws, strength, reach, fill), None

    return jax.lax.scan(body, images, (choice, sign))[0]


@checked_images
def trivial_augment(
    key: Key[Array, ""], images: Float[Array, "b h w c"], *, fill: Fill = 0.0
) -> Float[Array, "b h w c"]:
    """Applies one random operation of random strength to each image.

    The operations are those of `rand_augment`. The strength is uniform on {0, 1/30, ..., 1}, as a share of the wide
    ranges of the paper: a shear of 0.99, 32 pixels, 135 degrees, a factor of 1 ± 0.99, and 6 of 8 bits; the threshold
    of solarize is 1 - strength.

    Args:
      key: PRNG key, consumed.
      images: `[B, H, W, C]`, floating point, in [0, 1]. Saturation has no effect unless C is 3.
      fill: value outside the image, one number or one per channel; may be traced.

    Returns:
      `[B, H, W, C]` in [0, 1], dtype of `images`; operation, strength and sign are drawn independently for each image.

    Raises:
      ValueError: `images` is not a non-empty `[B, H, W, C]`.
      TypeError: `images` is not floating point, or `key` is not a typed key.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> images = jnp.linspace(0.0, 1.0, 4 * 8 * 8).reshape(4, 8, 8, 1)
      >>> out = trivial_augment(jax.random.key(0), images)
      >>> (jnp.abs(out - images) > 0.01).any((1, 2, 3)).tolist()  # which images have visibly changed
      [True, False, False, True]

    References:
      Müller, Hutter, "TrivialAugment: Tuning-free yet state-of-the-art data augmentation", ICCV 2021, section 3.
    """
    check_fill("trivial_augment", fill, images.shape[3])
    b = images.shape[0]
    reach = Reach(degrees=135.0, shear=0.99, translation=(32.0, 32.0), factor=0.99, bits=6.0)
    choice_key, strength_key, sign_key = jax.random.split(key, 3)
    choice = jax.random.randint(choice_key, (b,), 0, len(OPERATIONS))
    strength = jax.random.randint(strength_key, (b,), 0, 31).astype(jnp.float32) / 30.0
    sign = jax.random.rademacher(sign_key, (b,), jnp.float32)
    return _after_operations(images, choice, sign, strength, reach, fill)


def _after_operations(
    images: Float[Array, "b h w c"],
    choice: Int32[Array, " b"],
    sign: Float[Array, " b"],
    strength: Float[Array, " b"],
    reach: Reach,
    fill: Fill,
) -> Float[Array, "b h w c"]:
    """Returns each image after its operation."""

    def where_chosen(name: str, value: Array, otherwise: Array) -> Array:
        return jnp.where(choice == OPERATIONS.index(name), value, otherwise)

    def or_zero(name: str, value: Array) -> Array:
        return where_chosen(name, value, jnp.zeros_like(value))

    signed = sign * strength
    angle = or_zero("rotate", jnp.deg2rad(reach.degrees * signed))
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    dy, dx = (or_zero(f"translate_{axis}", signed * most) for axis, most in zip("yx", reach.translation, strict=True))
    along_x, along_y = (or_zero(f"shear_{axis}", signed * reach.shear) for axis in "xy")
    inverse = [cos, along_y + sin, dy, along_x - sin, cos, dx]

    amount = jnp.maximum(1.0 + signed * reach.factor, 0.0)
    amount = where_chosen("posterize", jnp.maximum(8.0 - jnp.round(strength * reach.bits), 1.0), amount)
    amount = where_chosen("solarize", jnp.maximum(1.0 - strength, 0.0), amount)

    def by_factor(step: Step) -> Callable[[Array, Array], Array]:
        return lambda x, p: on_planes(lambda planes: step(planes, p[:, 6]), x)

    functions = {
        "geometric": lambda x, p: resampled(x, p[:, :6].reshape(-1, 2, 3), fill=fill),
        "identity": lambda x, p: x,
        "brightness": by_factor(brightened),
        "saturation": by_factor(saturated) if images.shape[3] == 3 else lambda x, p: x,
        "contrast": by_factor(contrasted),
        "sharpness": lambda x, p: sharpened(x, p[:, 6]),
        "posterize": lambda x, p: posterized(x, p[:, 6]),
        "solarize": lambda x, p: solarized(x, p[:, 6]),
        "autocontrast": lambda x, p: autocontrasted(x),
        "equalize": lambda x, p: equalized(x),
    }
    kinds = list(functions)
    kind_of = [kinds.index("geometric" if name in _GEOMETRIC else name) for name in OPERATIONS]
    kind = jnp.array(kind_of, jnp.int32)[choice]
    return applied_by_choice(list(functions.values()), kind, images, jnp.stack([*inverse, amount], axis=1))
