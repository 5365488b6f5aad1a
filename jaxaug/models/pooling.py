"""Usual pooling layers, called as those are that a caller may put in their place."""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

Pads = tuple[tuple[int, int], tuple[int, int]]


class MaxPool(nn.Module):
    """The maximum of each window; padding never wins."""

    window: tuple[int, int]
    strides: tuple[int, int]
    padding: Pads = ((0, 0), (0, 0))

    def __call__(self, x: Float[Array, "b h w c"], deterministic: bool = True) -> Float[Array, "b h2 w2 c"]:
        """Returns the maxima; a border that fills no window is dropped."""
        if self.window != self.strides or self.padding != ((0, 0), (0, 0)):
            return nn.max_pool(x, self.window, self.strides, self.padding)
        # The same numbers; the gradient, shared among equal maxima, needs no scatter, which is slow on a CPU.
        return _tiles(x, self.window).max(axis=(2, 4))


class AveragePool(nn.Module):
    """The mean of each window, without padding, the strides being its sides."""

    window: tuple[int, int]
    strides: tuple[int, int]

    def __call__(self, x: Float[Array, "b h w c"], deterministic: bool = True) -> Float[Array, "b h2 w2 c"]:
        """Returns the means, added up in float32; a border that fills no window is dropped."""
        return _tiles(x, self.window).mean(axis=(2, 4), dtype=jnp.float32).astype(x.dtype)


def _tiles(x: Float[Array, "b h w c"], window: tuple[int, int]) -> Float[Array, "b h2 p w2 q c"]:
    """Returns the windows that lie side by side."""
    (b, h, w, c), (p, q) = x.shape, window
    h, w = h // p, w // q
    return x[:, : h * p, : w * q].reshape(b, h, p, w, q, c)
