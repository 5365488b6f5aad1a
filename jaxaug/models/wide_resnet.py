"""Wide residual networks for small images."""

from jaxaug.checks import check_prob
from jaxaug.models.layer_factory import LayerFactory
from jaxaug.models.preact_blocks import PreActBlock
from jaxaug.models.trunk import ConvStem, LayeredTrunk, NormRelu, layer, residual_trunk


def wide_resnet(factory: LayerFactory, *, depth: int, width: int, dropout: float | int = 0.0) -> LayeredTrunk:
    """Returns the trunk of WRN-depth-width: a stem of 16 channels, three stages of n blocks, total stride 4.

    The n = (depth - 4) / 6 blocks of each stage have 16k, 32k and 64k channels, where k = `width`. WRN-28-10 with 10
    classes has 36,479,194 parameters.

    Args:
      factory: makes the layers.
      depth: 6n + 4 with n at least 1: 10, 16, 22, 28, ...
      width: k, at least 1.
      dropout: rate in [0, 1] of the dropout between the two convolutions of a block.

    Raises:
      ValueError: `depth` is not 6n + 4, or `dropout` is outside [0, 1].

    References:
      Zagoruyko and Komodakis, "Wide residual networks", BMVC 2016, table 1.
    """
    if depth < 10 or depth % 6 != 4:
        raise ValueError(f"wrn_<depth>_<width> takes a depth of 6n + 4 (10, 16, 22, 28, 34, 40, ...); got {depth}.")
    check_prob("wrn_<depth>_<width>", dropout, "dropout")
    return residual_trunk(
        factory,
        stem=layer("stem", ConvStem, channels=16),
        block=PreActBlock,
        stages=[
            (depth - 4) // 6 * [{"channels": channels * width, "dropout_rate": dropout}] for channels in (16, 32, 64)
        ],
        ending=layer("final", NormRelu),
    )
