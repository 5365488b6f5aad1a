"""Shake-Shake networks: residual networks of two branches under random weights."""

from typing import get_args

from jaxaug.checks import check_choice
from jaxaug.layers.levels import Level
from jaxaug.layers.shake_shake import Backward, Forward
from jaxaug.models.branch_merge import Joining, Shake
from jaxaug.models.parts import Parts
from jaxaug.models.residual_block import Form
from jaxaug.models.residual_branches import BasicBranch
from jaxaug.models.resnet import residual_trunk
from jaxaug.models.resnext import resnext
from jaxaug.models.shortcuts import ShiftedShortcut
from jaxaug.models.stems import ConvNormStem
from jaxaug.models.trunk import Layer, LayeredTrunk


def shake_shake(
    parts: Parts,
    *,
    depth: int,
    width: int,
    forward: Forward = "shake",
    backward: Backward = "shake",
    level: Level = "example",
    joining: Joining | None = None,
) -> LayeredTrunk:
    """Returns the trunk of Shake-Shake-depth 2 x width d, for CIFAR-10: three stages of n blocks, total stride 4.

    n = (depth - 2) / 6 blocks of `width`, 2 `width` and 4 `width` channels after a stem of 16 with BN; a branch is
    ReLU, conv, BN, ReLU, conv, BN; no ReLU follows the addition, one ends the network. Shake-Shake-26 2x96d with 10
    classes has 26,192,922 parameters.

    Args:
      parts: the layers; convolutions start with He's law of fan-out; a regularizer needs `joining`.
      depth: 6n + 2 with n at least 1: 26 in the paper.
      width: channels of the first stage, even.
      forward: "shake" or "even", as in `jaxaug.layers.shake_shake`.
      backward: "shake", "even" or "keep", likewise.
      level: what shares one draw, likewise.
      joining: instead of Shake-Shake the sum of both branches, plain without a regularizer; "A" hands the sum to it,
        "B" each branch to one of its own. These are the types A and B of three-branch ShakeDrop.

    Raises:
      ValueError: no n makes that depth, an odd width, an unknown choice, a regularizer without `joining`, or
        `joining` with other choices of Shake-Shake, which it replaces.

    References:
      Gastaldi, "Shake-shake regularization", arXiv 1705.07485, 2017, section 2.1 and table 1.
    """
    network = "shake_shake_<depth>_2x<width>d"
    if depth < 8 or depth % 6 != 2:
        raise ValueError(f"{network} takes a depth of 6n + 2 (8, 14, 20, 26, ...); got {depth}.")
    if width % 2:
        raise ValueError(f"{network} takes an even width, of which each path of a shortcut makes half; got {width}.")
    form = Form(
        BasicBranch,
        ShiftedShortcut,
        branches=2,
        joining=_joining(network, parts, Shake(forward, backward, level), Shake(), joining),
        first_relu=True,
        final_relu=False,
    )
    return residual_trunk(
        parts,
        stem=Layer("stem", ConvNormStem, (16, False)),
        stem_stride=1,
        channels=(width, 2 * width, 4 * width),
        blocks=3 * ((depth - 2) // 6,),
        form=form,
    )


def shake_shake_resnext(
    parts: Parts,
    *,
    depth: int,
    cardinality: int,
    width: int,
    forward: Forward = "shake",
    backward: Backward = "even",
    level: Level = "example",
    joining: Joining | None = None,
    final_relu: bool = True,
) -> LayeredTrunk:
    """Returns the trunk of Shake-Shake-depth 2 x cardinality x width d, for CIFAR-100: a ResNeXt of two branches.

    A stem of 64 channels with BN and ReLU, three stages of n = (depth - 2) / 9 blocks of 256, 512 and 1024 channels,
    total stride 4; a branch is a bottleneck of cardinality x width inner channels in as many groups as the
    cardinality, twice as wide in each next stage. Shake-Shake-29 2x4x64d with 10 classes has 34,437,450 parameters.

    Args:
      parts: the layers, as in `shake_shake`.
      depth: 9n + 2 with n at least 1: 29 in the paper.
      cardinality: number of groups of a branch's 3 x 3 convolutions.
      width: channels of a group in the first stage.
      forward: as in `shake_shake`.
      backward: likewise, but "even" is what the paper takes here.
      level: as in `shake_shake`.
      joining: as in `shake_shake`.
      final_relu: whether a ReLU follows each addition; without it, one ends the network.

    Raises:
      ValueError: no n makes that depth, and as in `shake_shake`.

    References:
      Gastaldi, "Shake-shake regularization", arXiv 1705.07485, 2017, section 2.2 and table 2.
      Xie et al., "Aggregated residual transformations for deep neural networks", CVPR 2017, figure 3c.
    """
    network = "shake_shake_<depth>_2x<cardinality>x<width>d"
    if depth < 11 or depth % 9 != 2:
        raise ValueError(f"{network} takes a depth of 9n + 2 (11, 20, 29, ...); got {depth}.")
    shake = Shake(forward, backward, level)
    return resnext(
        parts,
        blocks=3 * ((depth - 2) // 9,),
        cardinality=cardinality,
        width=width,
        small=True,
        branches=2,
        joining=_joining(network, parts, shake, Shake(backward="even"), joining),
        final_relu=final_relu,
    )


def _joining(network: str, parts: Parts, shake: Shake, usual: Shake, joining: Joining | None) -> Joining | Shake:
    """Returns what is to join the branches, once the choices are known ones and only one thing acts on them."""
    for name, choices in (("forward", Forward), ("backward", Backward), ("level", Level)):
        check_choice(network, name, getattr(shake, name), get_args(choices))
    if joining is None:
        if parts.regularizer is not None:
            raise ValueError(
                f"{network} takes a regularizer only in place of Shake-Shake: with joining='A', on the sum of the two "
                "branches, or joining='B', on each; got joining=None."
            )
        return shake
    check_choice(network, "joining", joining, get_args(Joining))
    if shake != usual:
        raise ValueError(
            f"{network} takes forward, backward and level of Shake-Shake without joining, which replaces it; "
            f"got joining={joining!r}."
        )
    return joining
