"""Residual blocks with pre-activation."""

import flax.linen as nn
from jaxtyping import Array, Float

from jaxaug.models.parts import Parts


class PreActBlock(nn.Module):
    """Basic block with pre-activation: BN, ReLU, conv, BN, ReLU, (dropout,) conv, then the addition.

    y = shortcut(x) + r(F(a)), a = relu(bn1(x)), with r the regularizer of the residual branch. The shortcut is x
    itself, or a 1 x 1 convolution of a where the stride or the number of channels changes.

    References:
      He et al., "Identity mappings in deep residual networks", ECCV 2016, figure 1b.
      Zagoruyko and Komodakis, "Wide residual networks", BMVC 2016, figure 1d and section 2.4 (dropout).
    """

    parts: Parts
    channels: int
    stride: int
    keep_prob: float | int
    dropout_rate: float | int = 0.0

    def setup(self) -> None:
        """Names the layers; the shortcut has parameters only if it is called."""
        self.bn1 = self.parts.batch_norm()
        self.conv1 = self.parts.spatial_conv(self.channels, stride=self.stride)
        self.bn2 = self.parts.batch_norm()
        self.dropout = nn.Dropout(self.dropout_rate)
        self.conv2 = self.parts.spatial_conv(self.channels)
        self.shortcut = self.parts.pointwise_conv(self.channels, stride=self.stride)
        self.regularizer = self.parts.branch_regularizer(self.keep_prob)

    def __call__(self, x: Float[Array, "b h w c"], *, train: bool) -> Float[Array, "b h2 w2 c2"]:
        """Returns `[B, ceil(H / stride), ceil(W / stride), channels]`."""
        first = self.parts.activated(self.bn1, x, train=train)
        second = self.parts.activated(self.bn2, self.conv1(first), train=train)
        branch = self.conv2(self.dropout(second, deterministic=not train))
        if self.regularizer is not None:
            branch = self.regularizer(branch, deterministic=not train)
        identity = x if self.stride == 1 and x.shape[-1] == self.channels else self.shortcut(first)
        return identity + branch


class PreActBottleneck(nn.Module):
    """Bottleneck with pre-activation: BN, ReLU, 1 x 1, BN, ReLU, 3 x 3, BN, ReLU, 1 x 1, then the addition.

    The 3 x 3 convolution has `channels` channels and the stride, the block's output four times as many; the shortcut
    is that of `PreActBlock`.

    References:
      He et al., "Identity mappings in deep residual networks", ECCV 2016, section 3 and appendix.
    """

    parts: Parts
    channels: int
    stride: int
    keep_prob: float | int

    def setup(self) -> None:
        """Names the layers; the shortcut has parameters only if it is called."""
        self.bn1, self.bn2, self.bn3 = (self.parts.batch_norm() for _ in range(3))
        self.conv1 = self.parts.pointwise_conv(self.channels)
        self.conv2 = self.parts.spatial_conv(self.channels, stride=self.stride)
        self.conv3 = self.parts.pointwise_conv(4 * self.channels)
        self.shortcut = self.parts.pointwise_conv(4 * self.channels, stride=self.stride)
        self.regularizer = self.parts.branch_regularizer(self.keep_prob)

    def __call__(self, x: Float[Array, "b h w c"], *, train: bool) -> Float[Array, "b h2 w2 c2"]:
        """Returns `[B, ceil(H / stride), ceil(W / stride), 4 channels]`."""
        first = self.parts.activated(self.bn1, x, train=train)
        second = self.parts.activated(self.bn2, self.conv1(first), train=train)
        branch = self.conv3(self.parts.activated(self.bn3, self.conv2(second), train=train))
        if self.regularizer is not None:
            branch = self.regularizer(branch, deterministic=not train)
        identity = x if self.stride == 1 and x.shape[-1] == 4 * self.channels else self.shortcut(first)
        return identity + branch
