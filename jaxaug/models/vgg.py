"""VGG: 3 x 3 convolutions, max poolings and fully connected layers."""

from collections.abc import Sequence

import flax.linen as nn
from jaxtyping import Array, Float

from jaxaug.checks import check_prob, check_size, described
from jaxaug.models.parts import Parts
from jaxaug.models.trunk import Layer, LayeredTrunk

CHANNELS = (64, 128, 256, 512, 512)
SITES = frozenset({"pool", "conv"})


class ConvLayer(nn.Module):
    """A 3 x 3 convolution, BN and ReLU; without BN the convolution has biases instead."""

    parts: Parts
    channels: int
    batch_norm: bool

    def setup(self) -> None:
        """Names the layers."""
        self.conv = self.parts.spatial_conv(self.channels, use_bias=not self.batch_norm)
        self.bn = self.parts.batch_norm() if self.batch_norm else None

    def __call__(self, x: Float[Array, "b h w c"], *, train: bool) -> Float[Array, "b h w c2"]:
        """Returns `[B, H, W, channels]`."""
        x = self.conv(x)
        return nn.relu(x) if self.bn is None else self.parts.activated(self.bn, x, train=train)


class PointwiseLayer(nn.Module):
    """A 1 x 1 convolution, BN and ReLU."""

    parts: Parts
    channels: int

    def setup(self) -> None:
        """Names the layers."""
        self.conv = self.parts.pointwise_conv(self.channels)
        self.bn = self.parts.batch_norm()

    def __call__(self, x: Float[Array, "b h w c"], *, train: bool) -> Float[Array, "b h w c2"]:
        """Returns `[B, H, W, channels]`."""
        return self.parts.activated(self.bn, self.conv(x), train=train)


class Pool(nn.Module):
    """A 2 x 2 max pooling."""

    parts: Parts

    def setup(self) -> None:
        """Names the layer."""
        self.pool = self.parts.max_pool(window=(2, 2), strides=(2, 2))

    def __call__(self, x: Float[Array, "b h w c"], *, train: bool) -> Float[Array, "b h2 w2 c"]:
        """Returns `[B, H // 2, W // 2, C]`."""
        return self.pool(x, deterministic=not train)


class FullyConnected(nn.Module):
    """A fully connected layer of every `side` x `side` window, ReLU and dropout.

    Of a map of just that size it is the fully connected layer itself; from a larger map it makes a map, as the authors
    test on large images.

    References:
      Simonyan and Zisserman, "Very deep convolutional networks", ICLR 2015, section 3.2.
    """

    parts: Parts
    features: int
    side: int
    dropout_rate: float | int

    def setup(self) -> None:
        """Names the layers; this convolution is not one that a caller may replace."""
        self.dense = nn.Conv(
            self.features,
            (self.side, self.side),
            padding="VALID",
            dtype=self.parts.dtype,
            kernel_init=self.parts.kernel_init,
        )
        self.dropout = nn.Dropout(self.dropout_rate)

    def __call__(self, x: Float[Array, "b h w c"], *, train: bool) -> Float[Array, "b h2 w2 c2"]:
        """Returns `[B, H - side + 1, W - side + 1, features]`."""
        if min(x.shape[1:3]) < self.side:
            raise ValueError(
                f"vgg with head_size={self.side} takes images of at least {32 * self.side} x {32 * self.side} pixels "
                f"(head_size=1: 32 x 32); its last feature map is {described(x)}."
            )
        return self.dropout(nn.relu(self.dense(x)), deterministic=not train)


def vgg(
    parts: Parts,
    *,
    blocks: tuple[int, int, int, int, int],
    head_size: int = 7,
    dropout: float | int = 0.5,
    batch_norm: bool = True,
    channels: Sequence[int] = CHANNELS,
    hidden: int = 4096,
) -> LayeredTrunk:
    """Returns the trunk of VGG: five stages of convolutions and a pooling, then two fully connected layers of 4096.

    The stages divide height and width by 32, the total stride; the first fully connected layer acts on windows of
    `head_size` x `head_size`, so that an image of 224 x 224 makes 1 x 1 features and a larger one a map of
    H // 32 - head_size + 1 by W // 32 - head_size + 1, over which logits are averaged. Without BN, VGG-16 with 1000
    classes has 138,357,544 parameters as published; BN adds 8,448 and makes 4,224 biases of convolutions needless.
    Biases start at 0 and weights as N(0, 2 / fan_in): the paper's way, from a trained shallower network, needs one.
    Training with dropout draws noise. A `pool` takes the place of every max pooling; a `conv` that of the
    3 x 3 convolutions, not of the fully connected layers.

    Args:
      parts: the layers.
      blocks: convolutions in each stage.
      head_size: side of the window, at least 1: 7 for images of at least 224 x 224, 1 for at least 32 x 32.
      dropout: rate in [0, 1] after each fully connected layer.
      batch_norm: whether BN follows each convolution.
      channels: of each stage.
      hidden: channels of the fully connected layers.

    Raises:
      ValueError: `head_size` or `dropout` is out of range; when called, an image is smaller than 32 `head_size`.

    References:
      Simonyan and Zisserman, "Very deep convolutional networks for large-scale image recognition", ICLR 2015, table 1.
      Ioffe and Szegedy, "Batch normalization", ICML 2015.
    """
    check_size("vgg", "head_size", head_size, 1)
    check_prob("vgg", dropout, "dropout")
    layers = (
        *_stages(blocks, channels, batch_norm),
        Layer("fc6", FullyConnected, (hidden, head_size, dropout)),
        Layer("fc7", FullyConnected, (hidden, 1, dropout)),
    )
    return LayeredTrunk(parts, layers, total_stride=32, sites=SITES, parent=None)


def vgg_mod(
    parts: Parts,
    *,
    blocks: tuple[int, int, int, int, int],
    channels: Sequence[int] = CHANNELS,
    hidden: int = 4096,
) -> LayeredTrunk:
    """Returns the trunk of VGG-mod, total stride 16: a 1 x 1 convolution of 4096 channels ends the last stage.

    It is followed by BN and ReLU and takes the place of the last pooling; the global average pooling of the head takes
    that of the fully connected layers. The author's code has one more fully connected layer of 4096, BN and ReLU
    between that pooling and the classifier, which can be handed in as `head`.

    References:
      Kobayashi, "Gaussian-based pooling for convolutional neural networks", NeurIPS 2019, section 3.
    """
    layers = (*_stages(blocks, channels, True)[:-1], Layer("conv6", PointwiseLayer, (hidden,)))
    return LayeredTrunk(parts, layers, total_stride=16, sites=SITES, parent=None)


def _stages(blocks: Sequence[int], channels: Sequence[int], batch_norm: bool) -> list[Layer]:
    """Returns conv1_1, conv1_2, pool1, ..., pool5."""
    layers = []
    for stage, (count, width) in enumerate(zip(blocks, channels, strict=True), start=1):
        layers += [Layer(f"conv{stage}_{i}", ConvLayer, (width, batch_norm)) for i in range(1, count + 1)]
        layers.append(Layer(f"pool{stage}", Pool))
    return layers
