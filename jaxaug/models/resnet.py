"""Residual networks for ImageNet, with wider variants, and for CIFAR."""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxaug.models.layer_factory import HE_NORMAL_OUT, LayerFactory
from jaxaug.models.residual_block import BlockSpec, ResidualBlock
from jaxaug.models.trunk import ConvNormStem, ImageNetStem, LayeredTrunk, Relu, layer, residual_trunk


class ZeroPadding(nn.Module):
    """Shortcut without parameters: takes every `stride`-th pixel and appends channels of zeros.

    Option A of He et al., CVPR 2016, with the new channels last as in fb.resnet.torch.
    """

    factory: LayerFactory
    channels: int
    stride: int

    def __call__(self, x: Float[Array, "b h w c"], *, train: bool) -> Float[Array, "b h2 w2 c2"]:
        """Returns `[B, ceil(H / stride), ceil(W / stride), channels]`."""
        strided = x[:, :: self.stride, :: self.stride]
        return jnp.pad(strided, ((0, 0), (0, 0), (0, 0), (0, self.channels - x.shape[-1])))


def resnet(
    factory: LayerFactory,
    *,
    blocks: tuple[int, int, int, int],
    bottleneck: bool = False,
    width: int = 1,
    final_relu: bool = True,
) -> LayeredTrunk:
    """Returns the trunk of ResNet for large images (224 x 224): four stages, total stride 32.

    Basic blocks have 64 to 512 channels, bottlenecks 64 to 512 inner and 256 to 2048 outer channels. ResNet-50 with
    1000 classes has 25,557,032 parameters. ResNet-10, with one block per stage, is common in work on long-tailed data.

    Convolutions start from N(0, 2 / fan_out) and every BN from scale 1, as in fb.resnet.torch. Starting the last BN of
    a branch from scale 0 is a later practice that none of the papers uses.

    Args:
      factory: makes the layers. A caller's pooling is used in five places: after the convolution of the stem, in place
        of the max pooling of the stem, and after the first block of stages 2 to 4. The convolutions before it have
        stride 1.
      blocks: number of blocks in each stage.
      bottleneck: whether blocks are bottlenecks.
      width: factor of the inner channels of bottlenecks: 2 for Wide ResNet-50-2.
      final_relu: whether a ReLU follows each addition. Without it (EraseReLU), one ReLU ends the network, so that
        features are never negative.

    References:
      He et al., "Deep residual learning for image recognition", CVPR 2016, table 1.
      Zagoruyko and Komodakis, "Wide residual networks", BMVC 2016, section 3 (WRN-50-2-bottleneck).
      Dong et al., "EraseReLU", arXiv 1709.07634, 2017.
    """
    spec = BlockSpec(final_relu=final_relu)
    stages = []
    for stage, count in enumerate(blocks):
        base = 64 * 2**stage
        fields = {"channels": 4 * base, "inner": width * base} if bottleneck else {"channels": base}
        stages.append(count * [{**fields, "spec": spec}])
    return residual_trunk(
        factory,
        stem=layer("stem", ImageNetStem, channels=64),
        stem_stride=4,
        block=ResidualBlock,
        stages=stages,
        ending=None if final_relu else layer("final", Relu),
        kernel_init=HE_NORMAL_OUT,
    )


def cifar_resnet(factory: LayerFactory, *, depth: int, final_relu: bool = True) -> LayeredTrunk:
    """Returns the trunk of ResNet for small images (32 x 32): three stages of n basic blocks, total stride 4.

    The n = (depth - 2) / 6 blocks of each stage have 16, 32 and 64 channels, after a 3 x 3 stem with 16 channels.
    Where the shape changes, the shortcut takes every second pixel and pads the channels with zeros (option A).
    ResNet-110 with 10 classes has 1,727,962 parameters.

    Args:
      factory: makes the layers. A caller's pooling is used in two places: after the first block of stages 2 and 3,
        whose convolutions and shortcut then have stride 1.
      depth: 6n + 2 with n at least 1: 8, 14, 20, ...
      final_relu: whether a ReLU follows each addition; False is EraseReLU.

    Raises:
      ValueError: `depth` is not 6n + 2.

    References:
      He et al., "Deep residual learning for image recognition", CVPR 2016, section 4.2.
      Dong et al., "EraseReLU", arXiv 1709.07634, 2017.
    """
    if depth < 8 or depth % 6 != 2:
        raise ValueError(f"resnet<depth> for small images takes a depth of 6n + 2 (8, 14, 20, ...); got {depth}.")
    spec = BlockSpec(shortcut=ZeroPadding, final_relu=final_relu)
    return residual_trunk(
        factory,
        stem=layer("stem", ConvNormStem, channels=16),
        block=ResidualBlock,
        stages=[(depth - 2) // 6 * [{"channels": channels, "spec": spec}] for channels in (16, 32, 64)],
        ending=None if final_relu else layer("final", Relu),
        kernel_init=HE_NORMAL_OUT,
    )
