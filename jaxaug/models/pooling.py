"""Default pooling layers, with the call signature of the layers that may replace them."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Padding = tuple[tuple[int, int], tuple[int, int]]

NO_PADDING: Padding = ((0, 0), (0, 0))


class MaxPool(nn.Module):
    """The maximum of each window; padding counts as minus infinity."""

    window: tuple[int, int]
    strides: tuple[int, int]
    padding: Padding = NO_PADDING

    def __call__(self, x: Float[Array, "b h w c"], deterministic: bool = True) -> Float[Array, "b h2 w2 c"]:
        """Returns the maxima; border pixels that do not fill a window are dropped."""
        if self.window != self.strides or self.padding != NO_PADDING:
            return nn.max_pool(x, self.window, self.strides, self.padding)  # pyright: ignore[reportArgumentType]
        # The same numbers, with a gradient that needs no scatter, which is slow on a CPU.
        return _maximum(_maximum(_tiles(x, self.window), 2), 3)


class AveragePool(nn.Module):
    """The mean of each window; padding does not count."""

    window: tuple[int, int]
    strides: tuple[int, int]
    padding: Padding = NO_PADDING

    def __call__(self, x: Float[Array, "b h w c"], deterministic: bool = True) -> Float[Array, "b h2 w2 c"]:
        """Returns the means, summed in float32; border pixels that do not fill a window are dropped."""
        if self.window != self.strides or self.padding != NO_PADDING:
            wide = x.astype(jnp.float32)
            means = nn.avg_pool(
                wide,
                self.window,
                self.strides,
                self.padding,  # pyright: ignore[reportArgumentType]
                count_include_pad=False,
            )
            return means.astype(x.dtype)
        return _tiles(x, self.window).mean(axis=(2, 4), dtype=jnp.float32).astype(x.dtype)


def _tiles(x: Float[Array, "b h w c"], window: tuple[int, int]) -> Float[Array, "b h2 p w2 q c"]:
    """Returns the adjacent, non-overlapping windows."""
    (b, h, w, c), (p, q) = x.shape, window
    h, w = h // p, w // q
    return x[:, : h * p, : w * q].reshape(b, h, p, w, q, c)


def _maximum(x: Float[Array, "..."], axis: int) -> Float[Array, "..."]:
    """Returns the maximum along a short axis: the first of equal elements, and NaN if there is one.

    The gradient follows the comparisons, not an equality test with the maximum as in the gradient of `jnp.max`. If a
    compiler recomputes x for the backward pass and rounds it differently, no element equals the stored maximum, and
    the gradient of `jnp.max` vanishes.
    """
    best, *others = (jax.lax.index_in_dim(x, i, axis, keepdims=False) for i in range(x.shape[axis]))
    for other in others:
        best = jnp.where((best >= other) | jnp.isnan(best), best, other)
    return best
