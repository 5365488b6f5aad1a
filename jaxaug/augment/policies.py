"""Policies that draw an operation for each example: RandAugment and TrivialAugment."""

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

# The operations of both papers. The geometric ones share one resampling, the others have a function each.
OPERATIONS = (
    "identity", "shear_x", "shear_y", "translate_x", "translate_y", "rotate",
    "brightness", "saturation", "contrast", "sharpness", "posterize", "solarize", "autocontrast", "equalize",
)  # fmt: skip
_GEOMETRIC = OPERATIONS[1:6]


class Reach(NamedTuple):
    """What each operation does at strength 1; at 0 it does nothing."""

    degrees: float  # rotation
    shear: float  # tangent
    translation: tuple[float, float]  # (y, x), in pixels
    factor: float  # brightness, saturation, contrast and sharpness multiply by 1 ± this
    bits: float  # that posterize takes away of 8


@checked_images
def rand_augment(
    key: Key[Array, ""],
    images: Float[Array, "b h w c"],
    *,
    num_ops: int = 2,
    magnitude: ArrayLike = 9.0,
    fill: Fill = 0.0,
) -> Float[Array, "b h w c"]:
    """Images through `num_ops` operations each, drawn for every image alone, all at one magnitude.

    Each operation is uniform on the 14 of the paper: identity, shear and translation along x or y, rotation,
    brightness, saturation (which it calls color), contrast, sharpness, posterize, solarize, autocontrast, equalize. At
    magnitude m they reach m / 10 of AutoAugment's ranges: a shear of 0.3, a translation of 150 / 331 of the side, 30
    degrees, a factor of 1 ± 0.9, 4 bits of 8, a threshold of 1 - m / 10. Directions and signs are drawn with equal
    chances. m = 0 changes nothing but by autocontrast and equalize, which have no magnitude.

    Args:
      key: PRNG key, consumed.
      images: `[B, H, W, C]`, floating point, in [0, 1]. Saturation does nothing where C is not 3.
      num_ops: operations in a row, at least 1; fixes the length of a loop, so it cannot be traced.
      magnitude: on the paper's scale, at least 0; 10 is AutoAugment's largest, and beyond it the ranges go on (factors
        and thresholds stop at 0, posterize at 1 bit). May be traced.
      fill: what comes in from outside the image, one number or one per channel; may be traced.

    Returns:
      `[B, H, W, C]` in [0, 1], dtype of `images`; operations, signs and order are drawn per image.

    Raises:
      ValueError: `num_ops` is below 1, `magnitude` is negative, or `images` is not a non-empty `[B, H, W, C]`.
      TypeError: `num_ops` is no Python integer, `images` is not floating point, or `key` is not a typed key.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> images = jnp.linspace(0.0, 1.0, 4 * 8 * 8).reshape(4, 8, 8, 1)
      >>> out = rand_augment(jax.random.key(3), images)
      >>> (jnp.abs(out - images) > 0.01).any((1, 2, 3)).tolist()  # each image went its own way
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

    def operated(images: Array, draws: tuple[Array, Array]) -> tuple[Array, None]:
        return _operated(images, *draws, strength, reach, fill), None

    return jax.lax.scan(operated, images, (choice, sign))[0]


@checked_images
def trivial_augment(
    key: Key[Array, ""], images: Float[Array, "b h w c"], *, fill: Fill = 0.0
) -> Float[Array, "b h w c"]:
    """Images through one operation each, the operation and its strength drawn for every image alone.

    The operations are those of `rand_augment`, the strength is uniform on {0, 1/30, ..., 1} of the paper's wide
    ranges: a shear of 0.99, 32 pixels, 135 degrees, a factor of 1 ± 0.99, 6 bits of 8, a threshold of 1 - strength.

    Args:
      key: PRNG key, consumed.
      images: `[B, H, W, C]`, floating point, in [0, 1]. Saturation does nothing where C is not 3.
      fill: what comes in from outside the image, one number or one per channel; may be traced.

    Returns:
      `[B, H, W, C]` in [0, 1], dtype of `images`; operation, strength and sign are drawn per image.

    Raises:
      ValueError: `images` is not a non-empty `[B, H, W, C]`.
      TypeError: `images` is not floating point, or `key` is not a typed key.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> images = jnp.linspace(0.0, 1.0, 4 * 8 * 8).reshape(4, 8, 8, 1)
      >>> out = trivial_augment(jax.random.key(0), images)
      >>> (jnp.abs(out - images) > 0.01).any((1, 2, 3)).tolist()  # each image went its own way
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
    return _operated(images, choice, sign, strength, reach, fill)


def _operated(
    images: Float[Array, "b h w c"],
    choice: Int32[Array, " b"],
    sign: Float[Array, " b"],
    strength: Float[Array, " b"],
    reach: Reach,
    fill: Fill,
) -> Float[Array, "b h w c"]:
    """Returns each image after the operation that it has drawn."""

    def where(names: tuple[str, ...], value: Array, otherwise: Array) -> Array:
        drawn = jnp.isin(choice, jnp.array([OPERATIONS.index(name) for name in names], jnp.int32))
        return jnp.where(drawn, value, otherwise)

    def only(name: str, value: Array) -> Array:
        return where((name,), value, jnp.zeros_like(value))

    signed = sign * strength
    angle = only("rotate", jnp.deg2rad(reach.degrees * signed))
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    dy, dx = (only(f"translate_{axis}", signed * most) for axis, most in zip("yx", reach.translation, strict=True))
    along_x, along_y = (only(f"shear_{axis}", signed * reach.shear) for axis in "xy")
    inverse = [cos, along_y + sin, dy, along_x - sin, cos, dx]

    amount = jnp.maximum(1.0 + signed * reach.factor, 0.0)
    amount = where(("posterize",), jnp.maximum(8.0 - jnp.round(strength * reach.bits), 1.0), amount)
    amount = where(("solarize",), jnp.maximum(1.0 - strength, 0.0), amount)

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
