"""Pyramidal residual networks: every block adds a few channels, and no block begins or ends with a ReLU."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxaug.models.layer_factory import HE_NORMAL_OUT, LayerFactory
from jaxaug.models.pooling import AveragePool
from jaxaug.models.residual_block import BranchMerge
from jaxaug.models.trunk import Block, ConvNormStem, LayeredTrunk, NormRelu, layer, residual_trunk

STEM_CHANNELS = 16


def padded_identity(x: Float[Array, "b h w c"], *, stride: int, channels: int) -> Float[Array, "b h2 w2 c2"]:
    """Returns x, averaged over 2 x 2 pixels (fewer at an odd border) at stride 2, with channels of zeros appended.

    The result has the shape that a padded convolution gives, `[B, ceil(H / stride), ceil(W / stride), channels]`.

    References:
      Han, Kim and Kim, "Deep pyramidal residual networks", CVPR 2017, section 3.2.
    """
    _, h, w, c = x.shape
    if stride == 2:
        # Repeating the border pixels makes the mean of a border window the mean of the pixels inside the image.
        # (`jnp.pad` would have no effect on even sizes, but its gradient would cost more than the pooling.)
        x = jnp.concatenate([x, x[:, -1:]], axis=1) if h % 2 else x
        x = jnp.concatenate([x, x[:, :, -1:]], axis=2) if w % 2 else x
        x = AveragePool((2, 2), (2, 2), parent=None)(x)
    return jnp.pad(x, ((0, 0), (0, 0), (0, 0), (0, channels - c)))


class PyramidBlock(Block):
    """Basic block: BN, conv, BN, ReLU, conv, BN, then the addition.

    y = s(x) + r(F(x)), where r is the regularizer of the residual branch and the shortcut s has no parameters.

    References:
      Han, Kim and Kim, "Deep pyramidal residual networks", CVPR 2017, section 3.3.
    """

    def setup(self) -> None:
        """Makes the layers."""
        self.bn1, self.bn2, self.bn3 = (self.factory.batch_norm() for _ in range(3))
        self.conv1 = self.factory.spatial_conv(self.channels, stride=self.stride)
        self.conv2 = self.factory.spatial_conv(self.channels)
        self.regularizer = self.factory.branch_regularizer(self.keep_prob)
        self.merge = BranchMerge(self.regularizer)

    def __call__(self, x: Float[Array, "b h w c"], *, train: bool) -> Float[Array, "b h2 w2 c2"]:
        """Returns `[B, ceil(H / stride), ceil(W / stride), channels]`."""
        branch = self.conv1(self.factory.normalized(self.bn1, x, train=train))
        branch = self.conv2(self.factory.activated(self.bn2, branch, train=train))
        branch = self.factory.normalized(self.bn3, branch, train=train)
        identity = padded_identity(x, stride=self.stride, channels=self.channels)
        return identity + self.merge(branch, train=train)


class PyramidBottleneck(Block):
    """Bottleneck: BN, 1 x 1, BN, ReLU, 3 x 3, BN, ReLU, 1 x 1, BN, then the addition.

    The 3 x 3 convolution has `channels` channels and the stride; the output has four times as many channels.

    References:
      Han, Kim and Kim, "Deep pyramidal residual networks", CVPR 2017, section 4 (PyramidNet with bottlenecks).
    """

    def setup(self) -> None:
        """Makes the layers."""
        self.bn1, self.bn2, self.bn3, self.bn4 = (self.factory.batch_norm() for _ in range(4))
        self.conv1 = self.factory.pointwise_conv(self.channels)
        self.conv2 = self.factory.spatial_conv(self.channels, stride=self.stride)
        self.conv3 = self.factory.pointwise_conv(4 * self.channels)
        self.regularizer = self.factory.branch_regularizer(self.keep_prob)
        self.merge = BranchMerge(self.regularizer)

    def __call__(self, x: Float[Array, "b h w c"], *, train: bool) -> Float[Array, "b h2 w2 c2"]:
        """Returns `[B, ceil(H / stride), ceil(W / stride), 4 channels]`."""
        branch = self.conv1(self.factory.normalized(self.bn1, x, train=train))
        branch = self.conv2(self.factory.activated(self.bn2, branch, train=train))
        branch = self.conv3(self.factory.activated(self.bn3, branch, train=train))
        branch = self.factory.normalized(self.bn4, branch, train=train)
        identity = padded_identity(x, stride=self.stride, channels=4 * self.channels)
        return identity + self.merge(branch, train=train)


def pyramid_channels(num_blocks: int, alpha: int) -> list[int]:
    """Returns the channels of each block, floor(16 + alpha l / L) for l = 1, ..., L.

    Integer arithmetic has no rounding error that could push a sum below an integer, so widths and parameter counts
    match the paper's tables. Code that rounds to the nearest integer has 0.2 million parameters more.
    """
    return [STEM_CHANNELS + alpha * block // num_blocks for block in range(1, num_blocks + 1)]


def pyramidnet(factory: LayerFactory, *, depth: int, alpha: int, bottleneck: bool | None = None) -> LayeredTrunk:
    """Returns the trunk of additive PyramidNet-depth for small images: three stages of n blocks, total stride 4.

    After a stem of 16 channels with BN, block l of L = 3n has floor(16 + alpha l / L) channels (a bottleneck's output
    four times as many); BN and ReLU end the network. PyramidNet-110 with alpha 270 and 10 classes has 28,485,477
    parameters (the paper says 28.3M), PyramidNet-272 with alpha 200 26,049,562 (26.0M). Convolutions start from
    N(0, 2 / fan_out).

    Args:
      factory: makes the layers.
      depth: 6n + 2 with basic blocks, 9n + 2 with bottlenecks, n at least 1.
      alpha: number of channels that the whole network adds, at least 1.
      bottleneck: whether blocks are bottlenecks. None: bottlenecks for depths of at least 164, like the published
        networks (basic: 110; bottleneck: 164, 200, 236, 272).

    Raises:
      ValueError: no n gives that depth.

    References:
      Han, Kim and Kim, "Deep pyramidal residual networks", CVPR 2017, section 2.1 and table 4.
    """
    if bottleneck is None:
        bottleneck = depth >= 164
    layers_per_block = 3 if bottleneck else 2
    blocks_per_stage, remainder = divmod(depth - 2, 3 * layers_per_block)
    if blocks_per_stage < 1 or remainder:
        rule = (
            "9n + 2 (..., 164, 200, 236, 272) with bottlenecks" if bottleneck else "6n + 2 (..., 110) with basic blocks"
        )
        raise ValueError(f"pyramidnet<depth>_<alpha> takes a depth of {rule}; got {depth}.")
    channels = pyramid_channels(3 * blocks_per_stage, alpha)
    return residual_trunk(
        factory,
        stem=layer("stem", ConvNormStem, channels=STEM_CHANNELS, relu=False),
        block=PyramidBottleneck if bottleneck else PyramidBlock,
        stages=[
            [{"channels": c} for c in channels[start : start + blocks_per_stage]]
            for start in range(0, len(channels), blocks_per_stage)
        ],
        ending=layer("final", NormRelu),
        kernel_init=HE_NORMAL_OUT,
    )
