"""Densely connected networks with bottlenecks and compression, DenseNet-BC."""

import dataclasses
from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxaug.models.layer_factory import HE_NORMAL_OUT, LayerFactory
from jaxaug.models.trunk import ConvStem, ImageNetStem, LayeredTrunk, NormRelu, layer


class DenseLayer(nn.Module):
    """BN, ReLU, 1 x 1 to 4k channels, BN, ReLU, 3 x 3 to k channels, appended to the input: y = [x, H(x)].

    References:
      Huang et al., "Densely connected convolutional networks", CVPR 2017, equation 2 and section 3, bottleneck layers.
    """

    factory: LayerFactory
    growth: int

    def setup(self) -> None:
        """Makes the layers."""
        self.bn1, self.bn2 = self.factory.batch_norm(), self.factory.batch_norm()
        self.conv1 = self.factory.pointwise_conv(4 * self.growth)
        self.conv2 = self.factory.spatial_conv(self.growth)

    def __call__(self, x: Float[Array, "b h w c"], *, train: bool) -> Float[Array, "b h w c2"]:
        """Returns `[B, H, W, C + k]`."""
        narrow = self.conv1(self.factory.activated(self.bn1, x, train=train))
        new = self.conv2(self.factory.activated(self.bn2, narrow, train=train))
        return jnp.concatenate([x, new], axis=-1)


class Transition(nn.Module):
    """BN, ReLU, 1 x 1 convolution and 2 x 2 average pooling between two dense blocks."""

    factory: LayerFactory
    channels: int

    def setup(self) -> None:
        """Makes the layers."""
        self.bn = self.factory.batch_norm()
        self.conv = self.factory.pointwise_conv(self.channels)
        self.pool = self.factory.average_pool(window=(2, 2), strides=(2, 2))

    def __call__(self, x: Float[Array, "b h w c"], *, train: bool) -> Float[Array, "b h2 w2 c2"]:
        """Returns `[B, H // 2, W // 2, channels]`."""
        return self.pool(self.conv(self.factory.activated(self.bn, x, train=train)), deterministic=not train)


def dense_trunk(
    factory: LayerFactory, *, stem: type[nn.Module], growth: int, blocks: Sequence[int], total_stride: int
) -> LayeredTrunk:
    """Returns a stem of 2k channels, dense blocks with transitions between them, and a final BN and ReLU.

    Each layer adds k = `growth` channels; a transition maps C channels to floor(C / 2). Initialization is
    N(0, 2 / fan_out), as in the authors' code.
    """
    channels = 2 * growth
    layers = [layer("stem", stem, channels=channels)]
    for block, count in enumerate(blocks, start=1):
        if block > 1:
            channels //= 2
            layers.append(layer(f"transition{block - 1}", Transition, channels=channels))
        layers += [layer(f"block{block}_layer{i}", DenseLayer, growth=growth) for i in range(1, count + 1)]
        channels += count * growth
    return LayeredTrunk(
        dataclasses.replace(factory, kernel_init=HE_NORMAL_OUT),
        (*layers, layer("final", NormRelu)),
        total_stride=total_stride,
        slots=frozenset({"pool", "conv"}),
        parent=None,
    )


def densenet_bc(factory: LayerFactory, *, depth: int, growth: int) -> LayeredTrunk:
    """Returns the trunk of DenseNet-BC for small images: three dense blocks of n layers, total stride 4.

    n = (depth - 4) / 6. With 10 classes, depth 100 and k = 12 give 769,162 parameters, depth 190 and k = 40 give
    25,624,430. The dropout that the authors use for images without augmentation is omitted. A caller's pooling
    replaces the average poolings.

    Args:
      factory: makes the layers.
      depth: 6n + 4 with n at least 1: 10, 16, ..., 100, ...
      growth: k, at least 1.

    Raises:
      ValueError: `depth` is not 6n + 4.

    References:
      Huang et al., "Densely connected convolutional networks", CVPR 2017, section 3 and table 2.
    """
    if depth < 10 or depth % 6 != 4:
        raise ValueError(
            f"densenet_bc_<depth>_<growth> takes a depth of 6n + 4 (10, 16, 22, ..., 100, ...); got {depth}."
        )
    return dense_trunk(factory, stem=ConvStem, growth=growth, blocks=3 * ((depth - 4) // 6,), total_stride=4)


def densenet(factory: LayerFactory, *, blocks: tuple[int, int, int, int]) -> LayeredTrunk:
    """Returns the trunk of DenseNet-BC for large images (224 x 224): four dense blocks, k = 32, total stride 32.

    With 1000 classes, DenseNet-121 has 7,978,856 parameters and DenseNet-169 14,149,480. A caller's pooling
    replaces the average poolings and the max pooling of the stem, where it also takes over the stride of the 7 x 7
    convolution.

    References:
      Huang et al., "Densely connected convolutional networks", CVPR 2017, table 1.
    """
    return dense_trunk(factory, stem=ImageNetStem, growth=32, blocks=blocks, total_stride=32)
