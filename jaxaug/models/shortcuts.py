"""What leads around residual branches where stride or channels change."""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxaug.models.parts import Parts


class Projection(nn.Module):
    """Shortcut by a 1 x 1 convolution and BN: option B of He et al., CVPR 2016, where the shape changes."""

    parts: Parts
    channels: int
    stride: int

    def setup(self) -> None:
        """Names the layers."""
        self.conv = self.parts.pointwise_conv(self.channels, stride=self.stride)
        self.bn = self.parts.batch_norm()

    def __call__(self, x: Float[Array, "b h w c"], *, train: bool) -> Float[Array, "b h2 w2 c2"]:
        """Returns bn(conv(x))."""
        return self.parts.normalized(self.bn, self.conv(x), train=train)


class ZeroPadding(nn.Module):
    """Shortcut without parameters: every `stride`-th pixel, and zeros as the new channels, which come last.

    Option A of He et al., CVPR 2016, with the order of the channels that fb.resnet.torch has.
    """

    parts: Parts
    channels: int
    stride: int

    def __call__(self, x: Float[Array, "b h w c"], *, train: bool) -> Float[Array, "b h2 w2 c2"]:
        """Returns `[B, ceil(H / stride), ceil(W / stride), channels]`."""
        kept = x[:, :: self.stride, :: self.stride]
        return jnp.pad(kept, ((0, 0), (0, 0), (0, 0), (0, self.channels - x.shape[-1])))


class ShiftedShortcut(nn.Module):
    """Shortcut of two paths that see different pixels: 1 x 1 convolutions to half of the channels each, then BN.

    The first path takes every `stride`-th pixel from the first on; the second does so after x has moved one pixel
    right and down, zeros coming in, so at stride 2 it sees the odd pixels. The author's code moves it so; some
    later code takes the next pixels instead.

    References:
      Gastaldi, "Shake-shake regularization", arXiv 1705.07485, 2017, section 2.1.
    """

    parts: Parts
    channels: int
    stride: int

    def setup(self) -> None:
        """Names the layers."""
        half = self.channels // 2
        self.conv1, self.conv2 = (self.parts.pointwise_conv(half, stride=self.stride) for _ in range(2))
        self.bn = self.parts.batch_norm()

    def __call__(self, x: Float[Array, "b h w c"], *, train: bool) -> Float[Array, "b h2 w2 c2"]:
        """Returns `[B, ceil(H / stride), ceil(W / stride), channels]`."""
        shifted = jnp.pad(x, ((0, 0), (1, 0), (1, 0), (0, 0)))[:, :-1, :-1]
        halves = self.conv1(x), self.conv2(shifted)
        return self.parts.normalized(self.bn, jnp.concatenate(halves, axis=-1), train=train)
