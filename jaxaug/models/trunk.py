"""The trunk of a network: a stem, blocks and an ending, each a layer with a name.

A family of deep networks is a function that returns such a list of layers; `residual_trunk` builds it for the residual
families. The stems and endings that several families share are here, too.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import flax.linen as nn
import jax
from flax.core import FrozenDict
from jaxtyping import Array, Float

from jaxaug.layers import linear_decay
from jaxaug.models.layer_factory import HE_NORMAL, LayerFactory


class Trunk(nn.Module, kw_only=True):
    """Images -> features. Each family of networks makes such a module."""

    total_stride: int | None = None  # image pixels per feature pixel, along each side; None: inputs are vectors
    slots: frozenset[str] = frozenset()  # which of "regularizer", "pool" and "conv" the caller may pass in
    final_relu: bool = False  # whether a ReLU follows the additions of residual blocks

    def __call__(self, images: Array, *, train: bool) -> Array:
        """Returns the features, `[B, h, w, C]` (`[B, D]` if `total_stride` is None)."""
        raise NotImplementedError


class Layer(NamedTuple):
    """A layer before it is made: `module(factory, **fields)`, which is called as `layer(x, train=)`."""

    name: str
    module: type[nn.Module]
    fields: FrozenDict[str, Any]


def layer(name: str, module: type[nn.Module], **fields: Any) -> Layer:
    """Returns a `Layer` with the given fields of the module."""
    return Layer(name, module, FrozenDict(fields))


class LayeredTrunk(Trunk):
    """A sequence of layers from the stem to the ending, each an attribute of its name."""

    factory: LayerFactory
    layers: tuple[Layer, ...]

    def setup(self) -> None:
        """Makes the layers."""
        for name, module, fields in self.layers:
            setattr(self, name, module(self.factory, **fields))

    def __call__(self, images: Float[Array, "b h w c"], *, train: bool) -> Float[Array, "b h2 w2 c2"]:
        """Returns the features after the last layer."""

        def apply(module: nn.Module, x: Array) -> Array:
            return module(x, train=train)

        if self.factory.remat:
            apply = nn.remat(apply)
        x = images.astype(self.factory.dtype)
        for name, *_ in self.layers:
            x = apply(getattr(self, name), x)
        return x


class Block(nn.Module):
    """The fields that all residual blocks share."""

    slots: ClassVar[frozenset[str]] = frozenset({"regularizer", "conv"})

    factory: LayerFactory
    channels: int
    stride: int
    keep_prob: float | int


def residual_trunk(
    factory: LayerFactory,
    *,
    stem: Layer,
    block: type[Block],
    stages: Sequence[Sequence[Mapping[str, Any]]],
    ending: Layer | None,
    stem_stride: int = 1,
    kernel_init: nn.initializers.Initializer = HE_NORMAL,
) -> LayeredTrunk:
    """Returns a stem, stages of residual blocks and an ending; each stage but the first halves the resolution.

    The keep probabilities of the blocks decay linearly from the first block to the last.

    Args:
      factory: makes the layers.
      stem: the first layer.
      block: class of the blocks.
      stages: for each stage, the fields of each of its blocks except `factory`, `stride` and `keep_prob`.
      ending: the last layer; None for blocks that end in a ReLU and need no other.
      stem_stride: stride of the stem.
      kernel_init: initializer of the convolutions.
    """
    keep_prob = iter(keep_probs(sum(map(len, stages))))
    blocks = [
        layer(
            f"stage{stage}_block{number}",
            block,
            stride=2 if stage > 1 and number == 1 else 1,
            keep_prob=next(keep_prob),
            **fields,
        )
        for stage, stage_fields in enumerate(stages, start=1)
        for number, fields in enumerate(stage_fields, start=1)
    ]
    return LayeredTrunk(
        dataclasses.replace(factory, kernel_init=kernel_init),
        (stem, *blocks) if ending is None else (stem, *blocks, ending),
        total_stride=stem_stride * 2 ** (len(stages) - 1),
        slots=block.slots,
        final_relu=ending is None,
        parent=None,
    )


def keep_probs(num_blocks: int) -> list[float]:
    """Returns `linear_decay` as Python numbers, which stay constants when the network is traced."""
    with jax.ensure_compile_time_eval():
        return linear_decay(num_blocks).tolist()


class ConvStem(nn.Module):
    """A 3 x 3 convolution, for small images and blocks that begin with BN."""

    factory: LayerFactory
    channels: int

    def setup(self) -> None:
        """Makes the layer."""
        self.conv = self.factory.spatial_conv(self.channels)

    def __call__(self, x: Float[Array, "b h w c"], *, train: bool) -> Float[Array, "b h w c2"]:
        """Returns `[B, H, W, channels]`; `train` has no effect."""
        return self.conv(x)


class ConvNormStem(nn.Module):
    """A 3 x 3 convolution and BN, optionally followed by a ReLU, for small images."""

    factory: LayerFactory
    channels: int
    relu: bool = True

    def setup(self) -> None:
        """Makes the layers."""
        self.conv = self.factory.spatial_conv(self.channels)
        self.bn = self.factory.batch_norm()

    def __call__(self, x: Float[Array, "b h w c"], *, train: bool) -> Float[Array, "b h w c2"]:
        """Returns `[B, H, W, channels]`."""
        normalize = self.factory.activated if self.relu else self.factory.normalized
        return normalize(self.bn, self.conv(x), train=train)


class ImageNetStem(nn.Module):
    """A 7 x 7 convolution of stride 2, BN, ReLU, and a 3 x 3 max pooling of stride 2.

    A caller's pooling replaces the max pooling and also takes over the stride of the convolution, which then has
    stride 1 and a 2 x 2 pooling after its ReLU.

    References:
      He et al., "Deep residual learning for image recognition", CVPR 2016, table 1.
      Kobayashi, "Gaussian-based pooling for convolutional neural networks", NeurIPS 2019 (the author's code).
    """

    factory: LayerFactory
    channels: int

    def setup(self) -> None:
        """Makes the layers."""
        replaced = self.factory.pool is not None
        self.conv = self.factory.spatial_conv(self.channels, kernel=7, stride=1 if replaced else 2)
        self.bn = self.factory.batch_norm()
        self.pool1 = self.factory.max_pool(window=(2, 2), strides=(2, 2)) if replaced else None
        self.pool2 = self.factory.max_pool(window=(3, 3), strides=(2, 2), padding=((1, 1), (1, 1)))

    def __call__(self, x: Float[Array, "b h w c"], *, train: bool) -> Float[Array, "b h2 w2 c2"]:
        """Returns `[B, ceil(H / 4), ceil(W / 4), channels]`; a caller's 2 x 2 pooling rounds down instead."""
        x = self.factory.activated(self.bn, self.conv(x), train=train)
        if self.pool1 is not None:
            x = self.pool1(x, deterministic=not train)
        return self.pool2(x, deterministic=not train)


class NormRelu(nn.Module):
    """BN and ReLU, the ending of a network whose blocks begin with BN."""

    factory: LayerFactory

    def setup(self) -> None:
        """Makes the layer."""
        self.bn = self.factory.batch_norm()

    def __call__(self, x: Float[Array, "b h w c"], *, train: bool) -> Float[Array, "b h w c"]:
        """Returns relu(bn(x))."""
        return self.factory.activated(self.bn, x, train=train)


class Relu(nn.Module):
    """ReLU, the ending of a network whose blocks have BN but no ReLU after the addition."""

    factory: LayerFactory

    def __call__(self, x: Float[Array, "b h w c"], *, train: bool) -> Float[Array, "b h w c"]:
        """Returns relu(x)."""
        return nn.relu(x)
