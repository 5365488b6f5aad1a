"""MobileNet: depthwise separable convolutions."""

import flax.linen as nn
from jaxtyping import Array, Float

from jaxaug.checks import check_number
from jaxaug.models.parts import Parts
from jaxaug.models.trunk import Layer, LayeredTrunk

# Channels and stride of the stem, then of each block.
STEM = (32, 2)
BLOCKS = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *(5 * ((512, 1),)), (1024, 2), (1024, 1))


class StridedStem(nn.Module):
    """A 3 x 3 convolution with a stride, BN and ReLU."""

    parts: Parts
    channels: int
    stride: int

    def setup(self) -> None:
        """Names the layers."""
        self.conv = self.parts.spatial_conv(self.channels, stride=self.stride)
        self.bn = self.parts.batch_norm()

    def __call__(self, x: Float[Array, "b h w c"], *, train: bool) -> Float[Array, "b h2 w2 c2"]:
        """Returns `[B, ceil(H / stride), ceil(W / stride), channels]`."""
        return self.parts.activated(self.bn, self.conv(x), train=train)


class SeparableBlock(nn.Module):
    """A 3 x 3 convolution of each channel by itself, BN, ReLU, then a 1 x 1 convolution across channels, BN, ReLU.

    The first one has the stride. Where a pool is handed in, its stride is 1, and the pool follows its ReLU.

    References:
      Howard et al., "MobileNets", arXiv 1704.04861, 2017, figure 3.
    """

    parts: Parts
    inputs: int
    channels: int
    stride: int

    def setup(self) -> None:
        """Names the layers."""
        pooled = self.stride > 1 and self.parts.pool is not None
        side = (self.stride, self.stride)
        self.depthwise = self.parts.spatial_conv(self.inputs, stride=1 if pooled else self.stride, groups=self.inputs)
        self.bn1, self.bn2 = self.parts.batch_norm(), self.parts.batch_norm()
        self.pool = self.parts.max_pool(window=side, strides=side) if pooled else None
        self.pointwise = self.parts.pointwise_conv(self.channels)

    def __call__(self, x: Float[Array, "b h w c"], *, train: bool) -> Float[Array, "b h2 w2 c2"]:
        """Returns `[B, ceil(H / stride), ceil(W / stride), channels]`; a pool rounds down."""
        x = self.parts.activated(self.bn1, self.depthwise(x), train=train)
        if self.pool is not None:
            x = self.pool(x, deterministic=not train)
        return self.parts.activated(self.bn2, self.pointwise(x), train=train)


def mobilenet(parts: Parts, *, width: float | int = 1.0, total_stride: int = 32) -> LayeredTrunk:
    """Returns the trunk of MobileNet (v1): a strided stem and 13 depthwise separable blocks up to 1024 channels.

    The paper's network has strides of 2 in the stem and in the blocks 2, 4, 6 and 12. For small images a smaller
    `total_stride` leaves out the first of them, so that 8 suits 32 x 32 and 16 suits 64 x 64 (last maps of 4 x 4);
    weights do not depend on it. With 1000 classes there are 4,231,976 parameters. A `pool` takes the place of the
    strides in the blocks, not in the stem. Initialization is N(0, 2 / fan_in); the paper names none.

    Args:
      parts: the layers.
      width: the paper's multiplier alpha of all numbers of channels, at least 1/32; floor(alpha C) is taken.
      total_stride: 32, 16, 8, 4, 2 or 1.

    Raises:
      ValueError: `width` is too small, or `total_stride` is another number.

    References:
      Howard et al., "MobileNets: efficient convolutional neural networks for mobile vision applications",
      arXiv 1704.04861, 2017, table 1 and section 3.3.
    """
    check_number("mobilenet", "width", width, 1 / 32)
    if total_stride not in (1, 2, 4, 8, 16, 32):
        raise ValueError(f"mobilenet takes a total_stride of 32, 16, 8, 4, 2 or 1; got {total_stride!r}.")
    excess = 32 // total_stride
    inputs, layers = 0, []
    for i, (channels, stride) in enumerate((STEM, *BLOCKS)):
        features = int(width * channels)
        if stride > 1 and excess > 1:
            stride, excess = 1, excess // 2
        if i == 0:
            layers.append(Layer("stem", StridedStem, (features, stride)))
        else:
            layers.append(Layer(f"block{i}", SeparableBlock, (inputs, features, stride)))
        inputs = features
    sites = frozenset({"pool", "conv"})
    return LayeredTrunk(parts, tuple(layers), total_stride=total_stride, sites=sites, parent=None)
