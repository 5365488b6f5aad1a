"""MobileNet: depthwise separable convolutions."""

import flax.linen as nn
from jaxtyping import Array, Float

from jaxaug.checks import check_number
from jaxaug.models.layer_factory import LayerFactory
from jaxaug.models.trunk import LayeredTrunk, layer

# Channels and stride of the stem, then of each block.
STEM = (32, 2)
BLOCKS = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *(5 * ((512, 1),)), (1024, 2), (1024, 1))


class StridedStem(nn.Module):
    """A 3 x 3 convolution with a stride, BN and ReLU."""

    factory: LayerFactory
    channels: int
    stride: int

    def setup(self) -> None:
        """Makes the layers."""
        self.conv = self.factory.spatial_conv(self.channels, stride=self.stride)
        self.bn = self.factory.batch_norm()

    def __call__(self, x: Float[Array, "b h w c"], *, train: bool) -> Float[Array, "b h2 w2 c2"]:
        """Returns `[B, ceil(H / stride), ceil(W / stride), channels]`."""
        return self.factory.activated(self.bn, self.conv(x), train=train)


class SeparableBlock(nn.Module):
    """A 3 x 3 depthwise convolution, BN, ReLU, then a 1 x 1 convolution, BN, ReLU.

    The depthwise convolution has the stride. A caller's pooling takes the stride over and follows the first ReLU.

    References:
      Howard et al., "MobileNets", arXiv 1704.04861, 2017, figure 3.
    """

    factory: LayerFactory
    inputs: int
    channels: int
    stride: int

    def setup(self) -> None:
        """Makes the layers."""
        pooled = self.stride > 1 and self.factory.pool is not None
        window = (self.stride, self.stride)
        self.depthwise = self.factory.spatial_conv(self.inputs, stride=1 if pooled else self.stride, groups=self.inputs)
        self.bn1, self.bn2 = self.factory.batch_norm(), self.factory.batch_norm()
        self.pool = self.factory.max_pool(window=window, strides=window) if pooled else None
        self.pointwise = self.factory.pointwise_conv(self.channels)

    def __call__(self, x: Float[Array, "b h w c"], *, train: bool) -> Float[Array, "b h2 w2 c2"]:
        """Returns `[B, ceil(H / stride), ceil(W / stride), channels]`; a caller's pooling rounds down instead."""
        x = self.factory.activated(self.bn1, self.depthwise(x), train=train)
        if self.pool is not None:
            x = self.pool(x, deterministic=not train)
        return self.factory.activated(self.bn2, self.pointwise(x), train=train)


def mobilenet(factory: LayerFactory, *, width: float | int = 1.0, total_stride: int = 32) -> LayeredTrunk:
    """Returns the trunk of MobileNet (v1): a strided stem and 13 depthwise separable blocks up to 1024 channels.

    The paper's network has a stride of 2 in the stem and in blocks 2, 4, 6 and 12. For small images, a smaller
    `total_stride` sets the first of these to 1: use 8 for 32 x 32 and 16 for 64 x 64 (feature maps of 4 x 4). The
    parameters do not depend on it; with 1000 classes there are 4,231,976. A caller's pooling replaces the strides of
    the blocks, not that of the stem. Initialization is N(0, 2 / fan_in); the paper does not specify one.

    Args:
      factory: makes the layers.
      width: the paper's multiplier alpha of all numbers of channels C, at least 1/32; rounds alpha C down.
      total_stride: 32, 16, 8, 4, 2 or 1.

    Raises:
      ValueError: `width` is too small, or `total_stride` is not one of these.

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
            layers.append(layer("stem", StridedStem, channels=features, stride=stride))
        else:
            layers.append(layer(f"block{i}", SeparableBlock, inputs=inputs, channels=features, stride=stride))
        inputs = features
    slots = frozenset({"pool", "conv"})
    return LayeredTrunk(factory, tuple(layers), total_stride=total_stride, slots=slots, parent=None)
