"""Residual networks with pre-activation."""

from jaxaug.models.layer_factory import LayerFactory
from jaxaug.models.preact_blocks import PreActBlock, PreActBottleneck
from jaxaug.models.trunk import ConvStem, LayeredTrunk, NormRelu, layer, residual_trunk


def preact_resnet(
    factory: LayerFactory, *, blocks: tuple[int, int, int, int], bottleneck: bool = False
) -> LayeredTrunk:
    """Returns the trunk of PreActResNet for small images (32 x 32): stages of 64 to 512 channels, total stride 8.

    Widely used code omits the BN and ReLU after the last block; this trunk has them, as in the paper.
    PreActResNet-18 with 10 classes has 11,172,170 parameters.

    Args:
      factory: makes the layers.
      blocks: number of blocks in each stage.
      bottleneck: whether blocks are bottlenecks, whose output has 256 to 2048 channels.

    References:
      He et al., "Identity mappings in deep residual networks", ECCV 2016.
    """
    return residual_trunk(
        factory,
        stem=layer("stem", ConvStem, channels=64),
        block=PreActBottleneck if bottleneck else PreActBlock,
        stages=[count * [{"channels": 64 * 2**stage}] for stage, count in enumerate(blocks)],
        ending=layer("final", NormRelu),
    )
