"""VGG: 3 x 3 convolutions, max poolings and fully connected layers."""

from collections.abc import Sequence

import flax.linen as nn
from jaxtyping import Array, Float

from jaxaug.checks import check_prob, check_size, described
from jaxaug.models.layer_factory import LayerFactory
from jaxaug.models.trunk import Layer, LayeredTrunk, layer

CHANNELS = (64, 128, 256, 512, 512)
SLOTS = frozenset({"pool", "conv"})


class ConvLayer(nn.Module):
    """A 3 x 3 convolution, BN and ReLU; without BN the convolution has a bias."""

    factory: LayerFactory
    channels: int
    batch_norm: bool

    def setup(self) -> None:
        """Makes the layers."""
        self.conv = self.factory.spatial_conv(self.channels, use_bias=not self.batch_norm)
        self.bn = self.factory.batch_norm() if self.batch_norm else None

    def __call__(self, x: Float[Array, "b h w c"], *, train: bool) -> Float[Array, "b h w c2"]:
        """Returns `[B, H, W, channels]`."""
        x = self.conv(x)
        return nn.relu(x) if self.bn is None else self.factory.activated(self.bn, x, train=train)


class PointwiseLayer(nn.Module):
    """A 1 x 1 convolution, BN and ReLU."""

    factory: LayerFactory
    channels: int

    def setup(self) -> None:
        """Makes the layers."""
        self.conv = self.factory.pointwise_conv(self.channels)
        self.bn = self.factory.batch_norm()

    def __call__(self, x: Float[Array, "b h w c"], *, train: bool) -> Float[Array, "b h w c2"]:
        """Returns `[B, H, W, channels]`."""
        return self.factory.activated(self.bn, self.conv(x), train=train)


class Pool(nn.Module):
    """A 2 x 2 max pooling."""

    factory: LayerFactory

    def setup(self) -> None:
        """Makes the layer."""
        self.pool = self.factory.max_pool(window=(2, 2), strides=(2, 2))

    def __call__(self, x: Float[Array, "b h w c"], *, train: bool) -> Float[Array, "b h2 w2 c"]:
        """Returns `[B, H // 2, W // 2, C]`."""
        return self.pool(x, deterministic=not train)


class FullyConnected(nn.Module):
    """A fully connected layer on every `side` x `side` window, ReLU and dropout.

    On a map of exactly that size this is an ordinary fully connected layer. On a larger map it returns a map, which is
    how the authors test on large images.

    References:
      Simonyan and Zisserman, "Very deep convolutional networks", ICLR 2015, section 3.2.
    """

    factory: LayerFactory
    features: int
    side: int
    dropout_rate: float | int

    def setup(self) -> None:
        """Makes the layers; the caller cannot replace this convolution."""
        self.dense = nn.Conv(
            self.features,
            (self.side, self.side),
            padding="VALID",
            dtype=self.factory.dtype,
            kernel_init=self.factory.kernel_init,
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
    factory: LayerFactory,
    *,
    blocks: tuple[int, int, int, int, int],
    head_size: int = 7,
    dropout: float | int = 0.5,
    batch_norm: bool = True,
    channels: Sequence[int] = CHANNELS,
    hidden: int = 4096,
) -> LayeredTrunk:
    """Returns the trunk of VGG: five stages of convolutions and a pooling, then two fully connected layers.

    The stages divide height and width by 32, the total stride. The first fully connected layer acts on windows of
    `head_size` x `head_size`, so a 224 x 224 image gives 1 x 1 features, and a larger one gives a map of
    H // 32 - head_size + 1 by W // 32 - head_size + 1, over which the head averages. Without BN, VGG-16 with 1000
    classes has 138,357,544 parameters, as published; BN adds 8,448 and removes the 4,224 biases of the convolutions.
    Biases start at 0 and weights from N(0, 2 / fan_in), whereas the paper starts from a trained shallower network.
    Dropout draws noise in training. A caller's pooling replaces every max pooling, and a caller's convolution the
    3 x 3 convolutions but not the fully connected layers.

    Args:
      factory: makes the layers.
      blocks: number of convolutions in each stage.
      head_size: side of the window, at least 1: 7 for images of at least 224 x 224, 1 for at least 32 x 32.
      dropout: rate in [0, 1] after each fully connected layer.
      batch_norm: whether BN follows each convolution.
      channels: number of channels in each stage.
      hidden: number of channels of the fully connected layers.

    Raises:
      ValueError: `head_size` or `dropout` is out of range, or (when called) an image is smaller than 32 `head_size`.

    References:
      Simonyan and Zisserman, "Very deep convolutional networks for large-scale image recognition", ICLR 2015, table 1.
      Ioffe and Szegedy, "Batch normalization", ICML 2015.
    """
    check_size("vgg", "head_size", head_size, 1)
    check_prob("vgg", dropout, "dropout")
    layers = (
        *_stages(blocks, channels, batch_norm),
        layer("fc6", FullyConnected, features=hidden, side=head_size, dropout_rate=dropout),
        layer("fc7", FullyConnected, features=hidden, side=1, dropout_rate=dropout),
    )
    return LayeredTrunk(factory, layers, total_stride=32, slots=SLOTS, parent=None)


def vgg_mod(
    factory: LayerFactory,
    *,
    blocks: tuple[int, int, int, int, int],
    channels: Sequence[int] = CHANNELS,
    hidden: int = 4096,
) -> LayeredTrunk:
    """Returns the trunk of VGG-mod, total stride 16: a 1 x 1 convolution of 4096 channels ends the last stage.

    The convolution, with BN and ReLU, replaces the last pooling; the global average pooling of the head replaces the
    fully connected layers. The author's code has one more fully connected layer of 4096 units with BN and ReLU between
    that pooling and the classifier; pass it as `head` to use it.

    References:
      Kobayashi, "Gaussian-based pooling for convolutional neural networks", NeurIPS 2019, section 3.
    """
    layers = (*_stages(blocks, channels, True)[:-1], layer("conv6", PointwiseLayer, channels=hidden))
    return LayeredTrunk(factory, layers, total_stride=16, slots=SLOTS, parent=None)


def _stages(blocks: Sequence[int], channels: Sequence[int], batch_norm: bool) -> list[Layer]:
    """Returns conv1_1, conv1_2, pool1, ..., pool5."""
    layers = []
    for stage, (count, width) in enumerate(zip(blocks, channels, strict=True), start=1):
        layers += [
            layer(f"conv{stage}_{i}", ConvLayer, channels=width, batch_norm=batch_norm) for i in range(1, count + 1)
        ]
        layers.append(layer(f"pool{stage}", Pool))
    return layers
