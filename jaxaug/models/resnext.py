"""ResNeXt: residual networks of bottlenecks with grouped convolutions, for large and for small images."""

from collections.abc import Sequence

from jaxaug.checks import check_choice
from jaxaug.models.branch_merge import Joining, Shake
from jaxaug.models.parts import Parts
from jaxaug.models.residual_block import Form
from jaxaug.models.residual_branches import BottleneckBranch
from jaxaug.models.resnet import IMAGENET_STEM, residual_trunk
from jaxaug.models.stems import ConvNormStem
from jaxaug.models.trunk import Layer, LayeredTrunk


def resnext(
    parts: Parts,
    *,
    blocks: Sequence[int],
    cardinality: int,
    width: int,
    small: bool = False,
    branches: int = 1,
    joining: Joining | Shake = "A",
    final_relu: bool = True,
) -> LayeredTrunk:
    """Returns the trunk of ResNeXt: stages of 256, 512, ... channels after a stem of 64.

    The inner channels of a bottleneck are cardinality x width in the first stage, twice as many in each next one, in
    as many groups as the cardinality everywhere. The networks of large images (224 x 224) have four stages and total
    stride 32, those of small ones (32 x 32) a 3 x 3 stem, three stages and total stride 4. ResNeXt-50 (32 x 4d) with
    1000 classes has 25,028,904 parameters, ResNeXt-29 (8 x 64d) with 10 classes 34,426,698.

    The authors' code says that the paper's CIFAR results were made with pre-activation, and that blocks with the
    activation after the addition, as here and as everywhere in that code, did better.

    Args:
      parts: the layers; a caller's pooling takes the places that it has in ResNet.
      blocks: number of blocks in each stage.
      cardinality: number of groups of the 3 x 3 convolutions.
      width: channels of a group in the first stage.
      small: whether the stem is that of small images.
      branches: residual branches of a block, each a whole bottleneck: 1 or 2, which with the identity are the three
        branches of the ShakeDrop paper.
      joining: where the regularizer of two branches sits; "A": on their sum, "B": one on each. Shake-Shake networks
        come with a `Shake`, which takes its place.
      final_relu: whether a ReLU follows each addition; False is EraseReLU.

    Raises:
      ValueError: `branches` or `joining` is none of these.

    References:
      Xie et al., "Aggregated residual transformations for deep neural networks", CVPR 2017, tables 1 and 7.
      Yamada et al., "ShakeDrop regularization for deep residual learning", IEEE Access 7, 2019 (types A and B).
      Dong et al., "EraseReLU", arXiv 1709.07634, 2017.
    """
    if branches not in (1, 2):
        raise ValueError(f"resnext takes branches of 1 or 2; got {branches}.")
    if not isinstance(joining, Shake):
        check_choice("resnext", "joining", joining, ("A", "B"))
    stages = range(len(blocks))
    return residual_trunk(
        parts,
        stem=Layer("stem", ConvNormStem, (64,)) if small else IMAGENET_STEM,
        stem_stride=1 if small else 4,
        channels=[256 * 2**stage for stage in stages],
        blocks=blocks,
        form=Form(BottleneckBranch, branches=branches, joining=joining, final_relu=final_relu),
        branch_options=[(cardinality * width * 2**stage, cardinality) for stage in stages],
    )
