"""Wide residual networks for small images."""

from jaxaug.checks import check_prob
from jaxaug.models.parts import Parts
from jaxaug.models.preact_resnet import preact_trunk
from jaxaug.models.trunk import LayeredTrunk


def wide_resnet(parts: Parts, *, depth: int, width: int, dropout: float | int = 0.0) -> LayeredTrunk:
    """Returns the trunk of WRN-depth-width: a stem of 16 channels, three stages of n blocks, total stride 4.

    n = (depth - 4) / 6 blocks of 16k, 32k and 64k channels, k = `width`. WRN-28-10 with 10 classes has 36,479,194
    parameters.

    Args:
      parts: the layers.
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
    return preact_trunk(
        parts,
        stem_channels=16,
        channels=(16 * width, 32 * width, 64 * width),
        blocks=3 * ((depth - 4) // 6,),
        strides=(1, 2, 2),
        block_options=(dropout,),
    )
