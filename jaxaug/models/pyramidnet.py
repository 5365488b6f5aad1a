"""Pyramidal residual networks: every block adds a few channels, none has a ReLU at its beginning or end."""

import dataclasses
import math

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxaug.models.parts import HE_NORMAL_OUT, Parts, keep_probs
from jaxaug.models.pooling import AveragePool
from jaxaug.models.stems import ConvNormStem, NormRelu
from jaxaug.models.trunk import Layer, LayeredTrunk, stage_blocks

STEM_CHANNELS = 16
STRIDES = (1, 2, 2)


def padded_identity(x: Float[Array, "b h w c"], *, stride: int, channels: int) -> Float[Array, "b h2 w2 c2"]:
    """Returns x, at stride 2 averaged over 2 x 2 pixels (fewer at an odd border), with zeros as its new channels.

    The result is `[B, ceil(H / stride), ceil(W / stride), channels]`, as that of a padded convolution.

    References:
      Han, Kim and Kim, "Deep pyramidal residual networks", CVPR 2017, section 3.2.
    """
    _, h, w, c = x.shape
    if stride == 2:
        # A border pixel beside itself leaves the mean of such a window that of the pixels inside. (`jnp.pad` would do
        # nothing where the sides are even, and fill its gradient with zeros that cost more than the pooling.)
        x = jnp.concatenate([x, x[:, -1:]], axis=1) if h % 2 else x
        x = jnp.concatenate([x, x[:, :, -1:]], axis=2) if w % 2 else x
        x = AveragePool((2, 2), (2, 2), parent=None)(x)
    return jnp.pad(x, ((0, 0), (0, 0), (0, 0), (0, channels - c)))


class PyramidBlock(nn.Module):
    """Basic block: BN, conv, BN, ReLU, conv, BN, then the addition.

    y = identity(x) + r(F(x)), r the regularizer of the residual branch; the identity has no parameters.

    References:
      Han, Kim and Kim, "Deep pyramidal residual networks", CVPR 2017, section 3.3.
    """

    parts: Parts
    channels: int
    stride: int
    keep_prob: float | int

    def setup(self) -> None:
        """Names the layers."""
        self.bn1, self.bn2, self.bn3 = (self.parts.batch_norm() for _ in range(3))
        self.conv1 = self.parts.spatial_conv(self.channels, stride=self.stride)
        self.conv2 = self.parts.spatial_conv(self.channels)
        self.regularizer = self.parts.branch_regularizer(self.keep_prob)

    def __call__(self, x: Float[Array, "b h w c"], *, train: bool) -> Float[Array, "b h2 w2 c2"]:
        """Returns `[B, ceil(H / stride), ceil(W / stride), channels]`."""
        branch = self.conv1(self.parts.normalized(self.bn1, x, train=train))
        branch = self.conv2(self.parts.activated(self.bn2, branch, train=train))
        branch = self.parts.normalized(self.bn3, branch, train=train)
        if self.regularizer is not None:
            branch = self.regularizer(branch, deterministic=not train)
        return padded_identity(x, stride=self.stride, channels=self.channels) + branch


class PyramidBottleneck(nn.Module):
    """Bottleneck: BN, 1 x 1, BN, ReLU, 3 x 3, BN, ReLU, 1 x 1, BN, then the addition.

    The 3 x 3 convolution has `channels` channels and the stride, the block's output four times as many.

    References:
      Han, Kim and Kim, "Deep pyramidal residual networks", CVPR 2017, section 4 (PyramidNet with bottlenecks).
    """

    parts: Parts
    channels: int
    stride: int
    keep_prob: float | int

    def setup(self) -> None:
        """Names the layers."""
        self.bn1, self.bn2, self.bn3, self.bn4 = (self.parts.batch_norm() for _ in range(4))
        self.conv1 = self.parts.pointwise_conv(self.channels)
        self.conv2 = self.parts.spatial_conv(self.channels, stride=self.stride)
        self.conv3 = self.parts.pointwise_conv(4 * self.channels)
        self.regularizer = self.parts.branch_regularizer(self.keep_prob)

    def __call__(self, x: Float[Array, "b h w c"], *, train: bool) -> Float[Array, "b h2 w2 c2"]:
        """Returns `[B, ceil(H / stride), ceil(W / stride), 4 channels]`."""
        branch = self.conv1(self.parts.normalized(self.bn1, x, train=train))
        branch = self.conv2(self.parts.activated(self.bn2, branch, train=train))
        branch = self.conv3(self.parts.activated(self.bn3, branch, train=train))
        branch = self.parts.normalized(self.bn4, branch, train=train)
        if self.regularizer is not None:
            branch = self.regularizer(branch, deterministic=not train)
        return padded_identity(x, stride=self.stride, channels=4 * self.channels) + branch


def pyramid_channels(num_blocks: int, alpha: int) -> list[int]:
    """Returns the channels of each block, floor(16 + alpha l / L) for l = 1, ..., L.

    In whole numbers, the sum has no error to fall below a border with; so the last widths are those of the paper's
    tables, and the parameters those it counts. Code that rounds to the nearest has 0.2 million more.
    """
    return [STEM_CHANNELS + alpha * block // num_blocks for block in range(1, num_blocks + 1)]


def pyramidnet(parts: Parts, *, depth: int, alpha: int, bottleneck: bool | None = None) -> LayeredTrunk:
    """Returns the trunk of additive PyramidNet-depth for small images: three stages of n blocks, total stride 4.

    A stem of 16 channels with BN; block l of L = 3n has floor(16 + alpha l / L) channels (four times that behind a
    bottleneck); BN and ReLU end it. PyramidNet-110 with alpha 270 and 10 classes has 28,485,477 parameters (the paper
    says 28.3M), PyramidNet-272 with alpha 200 26,049,562 (26.0M).

    Args:
      parts: the layers; convolutions start with He's law of fan-out.
      depth: 6n + 2 with basic blocks, 9n + 2 with bottlenecks, n at least 1.
      alpha: how many channels the whole network adds, at least 1.
      bottleneck: the kind of block. None: bottlenecks from depth 164 on, as the published networks have them
        (basic: 110; bottleneck: 164, 200, 236, 272).

    Raises:
      ValueError: no n makes that depth.

    References:
      Han, Kim and Kim, "Deep pyramidal residual networks", CVPR 2017, section 2.1 and table 4.
    """
    deep = depth >= 164 if bottleneck is None else bottleneck
    layers_per_block = 3 if deep else 2
    stage_length, rest = divmod(depth - 2, 3 * layers_per_block)
    if stage_length < 1 or rest:
        kinds = ("bottlenecks", "9n + 2 (..., 164, 200, 236, 272)") if deep else ("basic blocks", "6n + 2 (..., 110)")
        raise ValueError(f"pyramidnet<depth>_<alpha> takes a depth of {kinds[1]} with {kinds[0]}; got {depth}.")
    num_blocks = 3 * stage_length
    block = PyramidBottleneck if deep else PyramidBlock
    parts = dataclasses.replace(parts, kernel_init=HE_NORMAL_OUT)
    places = stage_blocks(3 * (stage_length,), STRIDES)
    sizes = zip(places, pyramid_channels(num_blocks, alpha), keep_probs(num_blocks), strict=True)
    layers = [Layer(name, block, (channels, stride, keep)) for (name, _, stride), channels, keep in sizes]
    stem, ending = Layer("stem", ConvNormStem, (STEM_CHANNELS, False)), Layer("final", NormRelu)
    sites = frozenset({"regularizer", "conv"})
    return LayeredTrunk(parts, (stem, *layers, ending), total_stride=math.prod(STRIDES), sites=sites, parent=None)
