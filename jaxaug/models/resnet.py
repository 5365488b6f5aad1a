"""Residual networks: those of ImageNet, their wider forms, and those of CIFAR."""

import dataclasses
from collections.abc import Sequence

from jaxaug.models.parts import HE_NORMAL_OUT, Parts, keep_probs
from jaxaug.models.residual_block import Form, ResidualBlock
from jaxaug.models.residual_branches import BasicBranch, BottleneckBranch
from jaxaug.models.shortcuts import ZeroPadding
from jaxaug.models.stems import ConvNormStem, ImageNetStem, Relu
from jaxaug.models.trunk import Layer, LayeredTrunk, stage_blocks

IMAGENET_STEM = Layer("stem", ImageNetStem, (64,))


def residual_trunk(
    parts: Parts,
    *,
    stem: Layer,
    stem_stride: int,
    channels: Sequence[int],
    blocks: Sequence[int],
    form: Form,
    branch_options: Sequence[tuple[int, ...]] | None = None,
) -> LayeredTrunk:
    """Returns a stem and stages of residual blocks, every stage but the first at half the resolution of the last.

    Convolutions start from N(0, 2 / fan_out) and every BN with scale 1, as in fb.resnet.torch; starting the last BN
    of a branch at 0 is a later habit that is in none of the papers. Without the ReLUs after the additions, one ReLU
    ends the network, so that features are never negative.

    Args:
      parts: the layers.
      stem: the first layer.
      stem_stride: its pixels of the image per pixel of the result.
      channels: of the output of each stage's blocks.
      blocks: number of blocks in each stage.
      form: of the blocks.
      branch_options: for each stage, what its branches take beside channels and stride; None: nothing.
    """
    parts = dataclasses.replace(parts, kernel_init=HE_NORMAL_OUT)
    strides = (1, *(2 for _ in blocks[1:]))
    keep_prob = iter(keep_probs(sum(blocks)))
    options = branch_options or [() for _ in blocks]
    layers = [
        Layer(name, ResidualBlock, (channels[stage], stride, next(keep_prob), form, options[stage]))
        for name, stage, stride in stage_blocks(blocks, strides)
    ]
    ending = [] if form.final_relu else [Layer("final", Relu)]
    return LayeredTrunk(
        parts,
        (stem, *layers, *ending),
        total_stride=stem_stride * 2 ** (len(blocks) - 1),
        sites=frozenset({"regularizer", "pool", "conv"}),
        final_relu=form.final_relu,
        parent=None,
    )


def resnet(
    parts: Parts,
    *,
    blocks: tuple[int, int, int, int],
    bottleneck: bool = False,
    width: int = 1,
    final_relu: bool = True,
) -> LayeredTrunk:
    """Returns the trunk of ResNet for large images (224 x 224): four stages, total stride 32.

    Basic blocks of 64 to 512 channels, or bottlenecks of 64 to 512 inner and 256 to 2048 outer channels. Fifty layers
    and 1000 classes make 25,557,032 parameters. ResNet-10, of one block a stage, is that of work on long-tailed data.

    Args:
      parts: the layers; a caller's pooling takes five places: after the stem's convolution, which has stride 1 then,
        the stem's own, and after the first blocks of stages 2 to 4, which have stride 1 then.
      blocks: number of blocks in each stage.
      bottleneck: whether blocks are bottlenecks.
      width: factor of a bottleneck's inner channels: 2 for Wide ResNet-50-2.
      final_relu: whether a ReLU follows each addition; False is EraseReLU.

    References:
      He et al., "Deep residual learning for image recognition", CVPR 2016, table 1.
      Zagoruyko and Komodakis, "Wide residual networks", BMVC 2016, section 3 (WRN-50-2-bottleneck).
      Dong et al., "EraseReLU", arXiv 1709.07634, 2017.
    """
    narrow = (64, 128, 256, 512)
    return residual_trunk(
        parts,
        stem=IMAGENET_STEM,
        stem_stride=4,
        channels=[4 * channels for channels in narrow] if bottleneck else narrow,
        blocks=blocks,
        form=Form(BottleneckBranch if bottleneck else BasicBranch, final_relu=final_relu),
        branch_options=[(width * channels,) for channels in narrow] if bottleneck else None,
    )


def cifar_resnet(parts: Parts, *, depth: int, final_relu: bool = True) -> LayeredTrunk:
    """Returns the trunk of ResNet for small images (32 x 32): three stages of n basic blocks, total stride 4.

    n = (depth - 2) / 6 blocks of 16, 32 and 64 channels after a 3 x 3 stem of 16; where the shape changes, the
    shortcut takes every second pixel and zeros as new channels (option A). A depth of 110 and 10 classes make
    1,727,962 parameters.

    Args:
      parts: the layers; a caller's pooling takes two places: after the first blocks of stages 2 and 3, where
        convolutions and shortcut have stride 1 then.
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
    return residual_trunk(
        parts,
        stem=Layer("stem", ConvNormStem, (16,)),
        stem_stride=1,
        channels=(16, 32, 64),
        blocks=3 * ((depth - 2) // 6,),
        form=Form(BasicBranch, ZeroPadding, final_relu=final_relu),
    )
