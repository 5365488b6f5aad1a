"""Color operations on channel planes `[B, C, N]`, in which each channel of an image is contiguous.

In the usual layout the three values of a pixel are adjacent, which prevents vectorized reads of one channel. The
transposition to planes and back costs less than a single hue or contrast operation gains. Each operation takes one
number per image and clips its result to [0, 1].
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

# Luma of ITU-R BT.601, the definition of gray in Pillow and in the code of the papers.
_LUMA = (0.299, 0.587, 0.114)

Step = Callable[[Float[Array, "b c n"], Float[Array, " b"]], Float[Array, "b c n"]]


def on_planes(
    step: Callable[[Float[Array, "b c n"]], Float[Array, "b c n"]], images: Float[Array, "b h w c"]
) -> Float[Array, "b h w c"]:
    """Returns the images after applying `step` to their channel planes, which are float32."""
    b, _, _, c = images.shape
    planes = images.astype(jnp.float32).reshape(b, -1, c).transpose(0, 2, 1)
    out = _separate_on_cpu(step(_separate_on_cpu(planes)))
    return out.transpose(0, 2, 1).reshape(images.shape).astype(images.dtype)


def _separate_on_cpu(planes: Float[Array, "b c n"]) -> Float[Array, "b c n"]:
    """Returns the planes, computed before anything that uses them on a CPU.

    Otherwise its compiler fuses the transpositions into the step, which then reads interleaved values. A GPU reads them
    at full speed, and there the transpositions would cost as much as the step.
    """
    return jax.lax.platform_dependent(planes, cpu=jax.lax.optimization_barrier, default=lambda planes: planes)


def brightened(planes: Float[Array, "b c n"], factor: Float[Array, " b"]) -> Float[Array, "b c n"]:
    """Returns clip(f in, 0, 1)."""
    return jnp.clip(_per_image(factor) * planes, 0.0, 1.0)


def contrasted(planes: Float[Array, "b c n"], factor: Float[Array, " b"]) -> Float[Array, "b c n"]:
    """Returns clip(m + f (in - m), 0, 1), where m is the mean gray of each image."""
    return _blended(planes, _per_image(mean_gray(planes)), factor)


def saturated(planes: Float[Array, "b 3 n"], factor: Float[Array, " b"]) -> Float[Array, "b 3 n"]:
    """Returns clip(g + f (in - g), 0, 1), where g is the gray of each pixel."""
    return _blended(planes, gray(planes), factor)


def hue_shifted(planes: Float[Array, "b 3 n"], turns: Float[Array, " b"]) -> Float[Array, "b 3 n"]:
    """Returns the planes with every hue shifted by `turns` of its image.

    With v the maximum and c the spread of the channels of a pixel, red, green and blue at the new hue h are
    v - c max(0, min(k, 4 - k, 1)) for k = (n + 6 h) mod 6 and n = 5, 3, 1. This needs no case distinction and no HSV
    image in memory.
    """
    planes = jnp.clip(planes, 0.0, 1.0)
    red, green, blue = planes[:, 0], planes[:, 1], planes[:, 2]
    value, least = jnp.maximum(jnp.maximum(red, green), blue), jnp.minimum(jnp.minimum(red, green), blue)
    spread = value - least
    over = 1.0 / jnp.where(spread > 0, spread, 1.0)
    sextant = jnp.where(
        value == red,
        (green - blue) * over,
        jnp.where(value == green, 2.0 + (blue - red) * over, 4.0 + (red - green) * over),
    )
    new_sextant = sextant + 6.0 * turns[:, None]
    # The barrier keeps these in memory, so that they are not recomputed for each of the three channels.
    stored = jax.lax.optimization_barrier(jnp.stack([value, spread, new_sextant], axis=1))
    value, spread, new_sextant = stored[:, 0:1], stored[:, 1:2], stored[:, 2:3]
    k = jnp.array([5.0, 3.0, 1.0])[None, :, None] + new_sextant
    k = k - 6.0 * jnp.floor(k * (1.0 / 6.0))
    shifted = value - spread * jnp.clip(jnp.minimum(k, 4.0 - k), 0.0, 1.0)
    # A shift of zero returns the image exactly, without rounding errors.
    return jnp.where(_per_image(turns) != 0, shifted, planes)


def gray(planes: Float[Array, "b 3 n"]) -> Float[Array, "b 1 n"]:
    """Returns 0.299 R + 0.587 G + 0.114 B."""
    red, green, blue = (weight * planes[:, k : k + 1] for k, weight in enumerate(_LUMA))
    return red + green + blue


def mean_gray(planes: Float[Array, "b c n"]) -> Float[Array, " b"]:
    """Returns the mean gray of each image, or the mean of its values if it does not have three channels."""
    shade = gray(planes) if planes.shape[1] == 3 else jnp.mean(planes, axis=1, keepdims=True)
    n = planes.shape[2]
    # A product with ones, because this is how XLA vectorizes the sum of a row on a CPU.
    return jnp.matmul(shade[:, 0], jnp.full((n, 1), 1.0 / n), precision=jax.lax.Precision.HIGHEST)[:, 0]


def _blended(planes: Array, toward: Array, factor: Array) -> Array:
    """Returns clip(t + f (in - t), 0, 1), which equals the image at f = 1."""
    f = _per_image(factor)
    # In this form the result is exact at f = 1, unlike t + f (in - t).
    return jnp.clip(f * planes + (1.0 - f) * toward, 0.0, 1.0)


def _per_image(factor: Array) -> Array:
    """Returns the factor as `[B, 1, 1]`."""
    return factor[:, None, None]
