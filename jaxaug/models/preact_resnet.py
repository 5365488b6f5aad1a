"""Residual networks with pre-activation."""

import math
from collections.abc import Sequence

from jaxaug.models.parts import Parts, keep_probs
from jaxaug.models.preact_blocks import PreActBlock, PreActBottleneck
from jaxaug.models.stems import ConvStem, NormRelu
from jaxaug.models.trunk import Layer, LayeredTrunk, stage_blocks


def preact_trunk(
    parts: Parts,
    *,
    stem_channels: int,
    channels: Sequence[int],
    blocks: Sequence[int],
    strides: Sequence[int],
    block: type[PreActBlock] | type[PreActBottleneck] = PreActBlock,
    block_options: tuple[float | int, ...] = (),
) -> LayeredTrunk:
    """Returns a 3 x 3 stem, stages of pre-activation blocks, and a last BN and ReLU."""
    keep_prob = iter(keep_probs(sum(blocks)))
    layers = [
        Layer(name, block, (channels[stage], stride, next(keep_prob), *block_options))
        for name, stage, stride in stage_blocks(blocks, strides)
    ]
    stem, ending = Layer("stem", ConvStem, (stem_channels,)), Layer("final", NormRelu)
    sites = frozenset({"regularizer", "conv"})
    return LayeredTrunk(parts, (stem, *layers, ending), total_stride=math.prod(strides), sites=sites, parent=None)


def preact_resnet(parts: Parts, *, blocks: tuple[int, int, int, int], bottleneck: bool = False) -> LayeredTrunk:
    """Returns the trunk of PreActResNet for small images (32 x 32): stages of 64 to 512 channels, total stride 8.

    Widely used code leaves out the BN and ReLU after the last block; they are here, as in the paper. Eighteen layers
    and 10 classes make 11,172,170 parameters.

    References:
      He et al., "Identity mappings in deep residual networks", ECCV 2016.
    """
    return preact_trunk(
        parts,
        stem_channels=64,
        channels=(64, 128, 256, 512),
        blocks=blocks,
        strides=(1, 2, 2, 2),
        block=PreActBottleneck if bottleneck else PreActBlock,
    )
