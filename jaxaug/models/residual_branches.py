"""Residual branches that end in BN."""

import flax.linen as nn
from jaxtyping import Array, Float

from jaxaug.models.parts import Parts


class BasicBranch(nn.Module):
    """Residual branch of two 3 x 3 convolutions: conv, BN, ReLU, conv, BN.

    References:
      He et al., "Deep residual learning for image recognition", CVPR 2016, figure 5 left.
    """

    parts: Parts
    channels: int
    stride: int

    def setup(self) -> None:
        """Names the layers."""
        self.conv1 = self.parts.spatial_conv(self.channels, stride=self.stride)
        self.conv2 = self.parts.spatial_conv(self.channels)
        self.bn1, self.bn2 = self.parts.batch_norm(), self.parts.batch_norm()

    def __call__(self, x: Float[Array, "b h w c"], *, train: bool) -> Float[Array, "b h2 w2 c2"]:
        """Returns `[B, ceil(H / stride), ceil(W / stride), channels]`."""
        x = self.parts.activated(self.bn1, self.conv1(x), train=train)
        return self.parts.normalized(self.bn2, self.conv2(x), train=train)


class BottleneckBranch(nn.Module):
    """Residual branch with a bottleneck: 1 x 1, BN, ReLU, 3 x 3, BN, ReLU, 1 x 1, BN.

    The first two convolutions have `inner` channels, the 3 x 3 one in `groups` (more than 1: form C of ResNeXt). The
    stride is that of the 3 x 3 convolution, as in fb.resnet.torch and in ResNeXt; the Caffe networks of the ResNet
    paper have it in the first 1 x 1 convolution, which then drops three quarters of its input unseen.

    References:
      He et al., "Deep residual learning for image recognition", CVPR 2016, figure 5 right.
      Xie et al., "Aggregated residual transformations for deep neural networks", CVPR 2017, figure 3c.
    """

    parts: Parts
    channels: int
    stride: int
    inner: int
    groups: int = 1

    def setup(self) -> None:
        """Names the layers."""
        self.conv1 = self.parts.pointwise_conv(self.inner)
        self.conv2 = self.parts.spatial_conv(self.inner, stride=self.stride, groups=self.groups)
        self.conv3 = self.parts.pointwise_conv(self.channels)
        self.bn1, self.bn2, self.bn3 = (self.parts.batch_norm() for _ in range(3))

    def __call__(self, x: Float[Array, "b h w c"], *, train: bool) -> Float[Array, "b h2 w2 c2"]:
        """Returns `[B, ceil(H / stride), ceil(W / stride), channels]`."""
        x = self.parts.activated(self.bn1, self.conv1(x), train=train)
        x = self.parts.activated(self.bn2, self.conv2(x), train=train)
        return self.parts.normalized(self.bn3, self.conv3(x), train=train)
