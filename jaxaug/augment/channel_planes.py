"""The formulas of color, on planes `[B, C, N]`: every channel of an image in one piece.

Interleaved, the three values of a pixel lie side by side, where no processor reads reds, greens and blues at full
width; there and back costs less than one step of hue or contrast gains. Steps take a number per image, and their
results are clipped to [0, 1].
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

# Luma of ITU-R BT.601, which Pillow and the papers' code take for gray.
_LUMA = (0.299, 0.587, 0.114)

Step = Callable[[Float[Array, "b c n"], Float[Array, " b"]], Float[Array, "b c n"]]


def on_planes(
    step: Callable[[Float[Array, "b c n"]], Float[Array, "b c n"]], images: Float[Array, "b h w c"]
) -> Float[Array, "b h w c"]:
    """Returns the images after a step on their planes, which it gets in float32."""
    b, _, _, c = images.shape
    planes = images.astype(jnp.float32).reshape(b, -1, c).transpose(0, 2, 1)
    # Without the barriers the compiler merges the transpositions into the step, which then reads interleaved again.
    out = jax.lax.optimization_barrier(step(jax.lax.optimization_barrier(planes)))
    return out.transpose(0, 2, 1).reshape(images.shape).astype(images.dtype)


def brightened(planes: Float[Array, "b c n"], factor: Float[Array, " b"]) -> Float[Array, "b c n"]:
    """Returns clip(f in, 0, 1)."""
    return jnp.clip(_each(factor) * planes, 0.0, 1.0)


def contrasted(planes: Float[Array, "b c n"], factor: Float[Array, " b"]) -> Float[Array, "b c n"]:
    """Returns clip(m + f (in - m), 0, 1) with m the mean gray of each image."""
    return _blended(planes, _each(mean_gray(planes)), factor)


def saturated(planes: Float[Array, "b 3 n"], factor: Float[Array, " b"]) -> Float[Array, "b 3 n"]:
    """Returns clip(g + f (in - g), 0, 1) with g the gray of each pixel."""
    return _blended(planes, gray(planes), factor)


def hue_shifted(planes: Float[Array, "b 3 n"], turns: Float[Array, " b"]) -> Float[Array, "b 3 n"]:
    """Returns the planes with every hue moved by its image's share of a turn.

    With v the largest and c the spread of a pixel's channels, channel n is v - c max(0, min(k, 4 - k, 1)) for
    k = (n + 6 h) mod 6 and n = 5, 3, 1, at the new hue h: no case distinction, and no HSV image in memory.
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
    moved = sextant + 6.0 * turns[:, None]
    # Kept, so that the three channels do not compute them thrice.
    kept = jax.lax.optimization_barrier(jnp.stack([value, spread, moved], axis=1))
    value, spread, moved = kept[:, 0:1], kept[:, 1:2], kept[:, 2:3]
    k = jnp.array([5.0, 3.0, 1.0])[None, :, None] + moved
    k = k - 6.0 * jnp.floor(k * (1.0 / 6.0))
    turned = value - spread * jnp.clip(jnp.minimum(k, 4.0 - k), 0.0, 1.0)
    # A turn of nothing is the image itself, not the image up to rounding.
    return jnp.where(_each(turns) != 0, turned, planes)


def gray(planes: Float[Array, "b 3 n"]) -> Float[Array, "b 1 n"]:
    """Returns 0.299 R + 0.587 G + 0.114 B."""
    red, green, blue = (weight * planes[:, k : k + 1] for k, weight in enumerate(_LUMA))
    return red + green + blue


def mean_gray(planes: Float[Array, "b c n"]) -> Float[Array, " b"]:
    """Returns the mean of each image's gray (of its values, where it has not three channels)."""
    shade = gray(planes) if planes.shape[1] == 3 else jnp.mean(planes, axis=1, keepdims=True)
    n = planes.shape[2]
    # A product with ones: a CPU adds up a row at full width only so.
    return jnp.matmul(shade[:, 0], jnp.full((n, 1), 1.0 / n), precision=jax.lax.Precision.HIGHEST)[:, 0]


def _blended(planes: Array, toward: Array, factor: Array) -> Array:
    """Returns clip(t + f (in - t), 0, 1), and the image itself at f = 1."""
    f = _each(factor)
    # f in + (1 - f) t is exact at f = 1, where t + f (in - t) is not.
    return jnp.clip(f * planes + (1.0 - f) * toward, 0.0, 1.0)


def _each(factor: Array) -> Array:
    """Returns `[B, 1, 1]`."""
    return factor[:, None, None]
