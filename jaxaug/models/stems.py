"""What networks begin and end with."""

import flax.linen as nn
from jaxtyping import Array, Float

from jaxaug.models.parts import Parts


class ConvStem(nn.Module):
    """A 3 x 3 convolution, as networks of small images begin, by itself: the blocks after it begin with BN."""

    parts: Parts
    channels: int

    def setup(self) -> None:
        """Names the layer."""
        self.conv = self.parts.spatial_conv(self.channels)

    def __call__(self, x: Float[Array, "b h w c"], *, train: bool) -> Float[Array, "b h w c2"]:
        """Returns `[B, H, W, channels]`; `train` changes nothing."""
        return self.conv(x)


class ConvNormStem(nn.Module):
    """A 3 x 3 convolution and BN, with a ReLU after them or not."""

    parts: Parts
    channels: int
    relu: bool = True

    def setup(self) -> None:
        """Names the layers."""
        self.conv = self.parts.spatial_conv(self.channels)
        self.bn = self.parts.batch_norm()

    def __call__(self, x: Float[Array, "b h w c"], *, train: bool) -> Float[Array, "b h w c2"]:
        """Returns `[B, H, W, channels]`."""
        ending = self.parts.activated if self.relu else self.parts.normalized
        return ending(self.bn, self.conv(x), train=train)


class ImageNetStem(nn.Module):
    """A 7 x 7 convolution of stride 2, BN, ReLU, and a 3 x 3 max pooling of stride 2.

    A caller's pooling stands in place of the max pooling, and takes over the stride of the convolution too: that has
    stride 1 then, and a 2 x 2 pooling follows its ReLU.

    References:
      He et al., "Deep residual learning for image recognition", CVPR 2016, table 1.
      Kobayashi, "Gaussian-based pooling for convolutional neural networks", NeurIPS 2019 (the author's code).
    """

    parts: Parts
    channels: int

    def setup(self) -> None:
        """Names the layers."""
        pooled = self.parts.pool is not None
        self.conv = self.parts.spatial_conv(self.channels, kernel=7, stride=1 if pooled else 2)
        self.bn = self.parts.batch_norm()
        self.pool1 = self.parts.max_pool(window=(2, 2), strides=(2, 2)) if pooled else None
        self.pool2 = self.parts.max_pool(window=(3, 3), strides=(2, 2), padding=((1, 1), (1, 1)))

    def __call__(self, x: Float[Array, "b h w c"], *, train: bool) -> Float[Array, "b h2 w2 c2"]:
        """Returns `[B, ceil(H / 4), ceil(W / 4), channels]`; a 2 x 2 pooling drops an odd border."""
        x = self.parts.activated(self.bn, self.conv(x), train=train)
        if self.pool1 is not None:
            x = self.pool1(x, deterministic=not train)
        return self.pool2(x, deterministic=not train)


class NormRelu(nn.Module):
    """BN and ReLU, the ending of a network whose blocks end in an addition."""

    parts: Parts

    def setup(self) -> None:
        """Names the layer."""
        self.bn = self.parts.batch_norm()

    def __call__(self, x: Float[Array, "b h w c"], *, train: bool) -> Float[Array, "b h w c"]:
        """Returns relu(bn(x))."""
        return self.parts.activated(self.bn, x, train=train)


class Relu(nn.Module):
    """ReLU, the ending of a network whose blocks end in BN and addition."""

    parts: Parts

    def __call__(self, x: Float[Array, "b h w c"], *, train: bool) -> Float[Array, "b h w c"]:
        """Returns relu(x)."""
        return nn.relu(x)
