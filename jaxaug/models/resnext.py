"""ResNeXt: residual networks of bottlenecks with grouped convolutions, for large and for small images."""

from collections.abc import Sequence
from typing import get_args

from jaxaug.checks import check_choice
from jaxaug.models.layer_factory import HE_NORMAL_OUT, LayerFactory
from jaxaug.models.residual_block import BlockSpec, MergeType, ResidualBlock
from jaxaug.models.trunk import ConvNormStem, ImageNetStem, LayeredTrunk, Relu, layer, residual_trunk


def resnext(
    factory: LayerFactory,
    *,
    blocks: Sequence[int],
    cardinality: int,
    width: int,
    small: bool = False,
    branches: int = 1,
    branch_merge: MergeType = "A",
    final_relu: bool = True,
) -> LayeredTrunk:
    """Returns the trunk of ResNeXt: stages of 256, 512, ... channels after a stem of 64.

    The inner channels of a bottleneck number cardinality x width in the first stage and double from stage to stage;
    the number of groups is the cardinality everywhere. Networks for large images (224 x 224) have four stages and a
    total stride of 32, networks for small images (32 x 32) a 3 x 3 stem, three stages and a total stride of 4.
    ResNeXt-50 (32 x 4d) with 1000 classes has 25,028,904 parameters, ResNeXt-29 (8 x 64d) with 10 classes 34,426,698.

    According to the authors' code, the CIFAR results of the paper come from pre-activation blocks, and blocks with the
    activation after the addition, as here and in all of that code, did better.

    Args:
      factory: makes the layers; a caller's pooling is used in the same places as in ResNet.
      blocks: number of blocks in each stage.
      cardinality: number of groups of the 3 x 3 convolutions.
      width: channels per group in the first stage.
      small: whether to use the stem for small images.
      branches: residual branches per block, each a whole bottleneck: 1 or 2. With 2 and the identity, these are the
        three branches of the ShakeDrop paper.
      branch_merge: where the regularizer acts on two branches; "A": on their sum, "B": on each.
      final_relu: whether a ReLU follows each addition; False is EraseReLU.

    Raises:
      ValueError: `branches` or `branch_merge` is none of these.

    References:
      Xie et al., "Aggregated residual transformations for deep neural networks", CVPR 2017, tables 1 and 7.
      Yamada et al., "ShakeDrop regularization for deep residual learning", IEEE Access 7, 2019 (types A and B).
      Dong et al., "EraseReLU", arXiv 1709.07634, 2017.
    """
    if branches not in (1, 2):
        raise ValueError(f"resnext takes branches of 1 or 2; got {branches}.")
    check_choice("resnext", "branch_merge", branch_merge, get_args(MergeType))
    return resnext_trunk(
        factory,
        blocks=blocks,
        cardinality=cardinality,
        width=width,
        small=small,
        spec=BlockSpec(branches=branches, merge=branch_merge, final_relu=final_relu),
    )


def resnext_trunk(
    factory: LayerFactory,
    *,
    blocks: Sequence[int],
    cardinality: int,
    width: int,
    small: bool,
    spec: BlockSpec,
) -> LayeredTrunk:
    """Returns the trunk of ResNeXt with blocks of any kind."""
    fields = [
        {"channels": 256 * 2**stage, "inner": cardinality * width * 2**stage, "groups": cardinality, "spec": spec}
        for stage in range(len(blocks))
    ]
    return residual_trunk(
        factory,
        stem=layer("stem", ConvNormStem if small else ImageNetStem, channels=64),
        stem_stride=1 if small else 4,
        block=ResidualBlock,
        stages=[count * [of_stage] for count, of_stage in zip(blocks, fields, strict=True)],
        ending=None if spec.final_relu else layer("final", Relu),
        kernel_init=HE_NORMAL_OUT,
    )
