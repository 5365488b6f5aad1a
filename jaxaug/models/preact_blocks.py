"""Residual blocks with pre-activation."""

import flax.linen as nn
from jaxtyping import Array, Float

from jaxaug.models.residual_block import BranchMerge
from jaxaug.models.trunk import Block


class PreActBlock(Block):
    """Basic block with pre-activation: BN, ReLU, conv, BN, ReLU, (dropout,) conv, then the addition.

    y = s(x) + r(F(a)), a = relu(bn1(x)), where r is the regularizer of the residual branch. The shortcut s is the
    identity, or a 1 x 1 convolution of a where the stride or the number of channels changes.

    References:
      He et al., "Identity mappings in deep residual networks", ECCV 2016, figure 1b.
      Zagoruyko and Komodakis, "Wide residual networks", BMVC 2016, figure 1d and section 2.4 (dropout).
    """

    dropout_rate: float | int = 0.0

    def setup(self) -> None:
        """Makes the layers; the shortcut has parameters only if it is called."""
        self.bn1 = self.factory.batch_norm()
        self.conv1 = self.factory.spatial_conv(self.channels, stride=self.stride)
        self.bn2 = self.factory.batch_norm()
        self.dropout = nn.Dropout(self.dropout_rate)
        self.conv2 = self.factory.spatial_conv(self.channels)
        self.shortcut = self.factory.pointwise_conv(self.channels, stride=self.stride)
        self.regularizer = self.factory.branch_regularizer(self.keep_prob)
        self.merge = BranchMerge(self.regularizer)

    def __call__(self, x: Float[Array, "b h w c"], *, train: bool) -> Float[Array, "b h2 w2 c2"]:
        """Returns `[B, ceil(H / stride), ceil(W / stride), channels]`."""
        first = self.factory.activated(self.bn1, x, train=train)
        second = self.factory.activated(self.bn2, self.conv1(first), train=train)
        branch = self.conv2(self.dropout(second, deterministic=not train))
        identity = x if self.stride == 1 and x.shape[-1] == self.channels else self.shortcut(first)
        return identity + self.merge(branch, train=train)


class PreActBottleneck(Block):
    """Bottleneck with pre-activation: BN, ReLU, 1 x 1, BN, ReLU, 3 x 3, BN, ReLU, 1 x 1, then the addition.

    The 3 x 3 convolution has `channels` channels and the stride; the output has four times as many channels. The
    shortcut is the same as in `PreActBlock`.

    References:
      He et al., "Identity mappings in deep residual networks", ECCV 2016, section 3 and appendix.
    """

    def setup(self) -> None:
        """Makes the layers; the shortcut has parameters only if it is called."""
        self.bn1, self.bn2, self.bn3 = (self.factory.batch_norm() for _ in range(3))
        self.conv1 = self.factory.pointwise_conv(self.channels)
        self.conv2 = self.factory.spatial_conv(self.channels, stride=self.stride)
        self.conv3 = self.factory.pointwise_conv(4 * self.channels)
        self.shortcut = self.factory.pointwise_conv(4 * self.channels, stride=self.stride)
        self.regularizer = self.factory.branch_regularizer(self.keep_prob)
        self.merge = BranchMerge(self.regularizer)

    def __call__(self, x: Float[Array, "b h w c"], *, train: bool) -> Float[Array, "b h2 w2 c2"]:
        """Returns `[B, ceil(H / stride), ceil(W / stride), 4 channels]`."""
        first = self.factory.activated(self.bn1, x, train=train)
        second = self.factory.activated(self.bn2, self.conv1(first), train=train)
        branch = self.conv3(self.factory.activated(self.bn3, self.conv2(second), train=train))
        identity = x if self.stride == 1 and x.shape[-1] == 4 * self.channels else self.shortcut(first)
        return identity + self.merge(branch, train=train)
