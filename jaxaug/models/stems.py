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
