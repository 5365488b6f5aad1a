"""Usual pooling layers, called as those are that a caller may put in their place."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Pads = tuple[tuple[int, int], tuple[int, int]]

NO_PADS: Pads = ((0, 0), (0, 0))


class MaxPool(nn.Module):
    """The maximum of each window; padding never wins."""

    window: tuple[int, int]
    strides: tuple[int, int]
    padding: Pads = NO_PADS

    def __call__(self, x: Float[Array, "b h w c"], deterministic: bool = True) -> Float[Array, "b h2 w2 c"]:
        """Returns the maxima; a border that fills no window is dropped."""
        if self.window != self.strides or self.padding != NO_PADS:
            return nn.max_pool(x, self.window, self.strides, self.padding)  # pyright: ignore[reportArgumentType]
        # The same numbers; their gradient needs no scatter, which is slow on a CPU.
        return _largest(_largest(_tiles(x, self.window), 2), 3)


class AveragePool(nn.Module):
    """The mean of each window; padding does not count."""

    window: tuple[int, int]
    strides: tuple[int, int]
    padding: Pads = NO_PADS

    def __call__(self, x: Float[Array, "b h w c"], deterministic: bool = True) -> Float[Array, "b h2 w2 c"]:
        """Returns the means, added up in float32; a border that fills no window is dropped."""
        if self.window != self.strides or self.padding != NO_PADS:
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
    """Returns the windows that lie side by side."""
    (b, h, w, c), (p, q) = x.shape, window
    h, w = h // p, w // q
    return x[:, : h * p, : w * q].reshape(b, h, p, w, q, c)


def _largest(x: Float[Array, "..."], axis: int) -> Float[Array, "..."]:
    """Returns the maximum along a short axis, of equal ones the first; NaN where there is one.

    A comparison decides, not equality with the maximum as in the gradient of `jnp.max`: should a compiler compute x
    anew for the backward pass, and round it otherwise, no element would equal the maximum, and the gradient vanish.
    """
    best, *others = (jax.lax.index_in_dim(x, i, axis, keepdims=False) for i in range(x.shape[axis]))
    for other in others:
        best = jnp.where((best >= other) | jnp.isnan(best), best, other)
    return best
