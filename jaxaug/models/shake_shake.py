"""Shake-Shake networks: residual networks with two randomly weighted branches."""

from typing import get_args

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxaug.checks import check_choice
from jaxaug.layers._shake_shake import Backward, Forward
from jaxaug.layers.levels import Level
from jaxaug.models.layer_factory import HE_NORMAL_OUT, LayerFactory
from jaxaug.models.residual_block import BlockSpec, MergeType, ResidualBlock, Shake
from jaxaug.models.resnext import resnext_trunk
from jaxaug.models.trunk import ConvNormStem, LayeredTrunk, Relu, layer, residual_trunk


class ShiftedShortcut(nn.Module):
    """Shortcut with two paths that see different pixels: two 1 x 1 convolutions, each to half the channels, then BN.

    The first path takes every `stride`-th pixel starting at the first. The second path does the same after shifting x
    by one pixel to the right and down, filling with zeros, so at stride 2 it sees the odd pixels. The shift follows
    the author's code; some later code takes the next pixels instead.

    References:
      Gastaldi, "Shake-shake regularization", arXiv 1705.07485, 2017, section 2.1.
    """

    factory: LayerFactory
    channels: int
    stride: int

    def setup(self) -> None:
        """Makes the layers."""
        half = self.channels // 2
        self.conv1, self.conv2 = (self.factory.pointwise_conv(half, stride=self.stride) for _ in range(2))
        self.bn = self.factory.batch_norm()

    def __call__(self, x: Float[Array, "b h w c"], *, train: bool) -> Float[Array, "b h2 w2 c2"]:
        """Returns `[B, ceil(H / stride), ceil(W / stride), channels]`."""
        shifted = jnp.pad(x, ((0, 0), (1, 0), (1, 0), (0, 0)))[:, :-1, :-1]
        halves = self.conv1(x), self.conv2(shifted)
        return self.factory.normalized(self.bn, jnp.concatenate(halves, axis=-1), train=train)


def shake_shake(
    factory: LayerFactory,
    *,
    depth: int,
    width: int,
    forward: Forward = "shake",
    backward: Backward = "shake",
    level: Level = "example",
    branch_merge: MergeType | None = None,
) -> LayeredTrunk:
    """Returns the trunk of Shake-Shake-depth 2 x width d for CIFAR-10: three stages of n blocks, total stride 4.

    The n = (depth - 2) / 6 blocks of each stage have `width`, 2 `width` and 4 `width` channels, after a stem of 16
    channels with BN. A branch is ReLU, conv, BN, ReLU, conv, BN. No ReLU follows the additions; one ReLU ends the
    network. Shake-Shake-26 2x96d with 10 classes has 26,192,922 parameters.

    Args:
      factory: makes the layers; a regularizer needs `branch_merge`.
      depth: 6n + 2 with n at least 1: 26 in the paper.
      width: channels of the first stage, even.
      forward: "shake" or "even", as in `jaxaug.layers.shake_shake`.
      backward: "shake", "even" or "keep", as in `jaxaug.layers.shake_shake`.
      level: which elements share one draw, as in `jaxaug.layers.shake_shake`.
      branch_merge: None for Shake-Shake. "A" and "B" replace it by a plain sum of the branches, regularized as a whole
        ("A") or branch by branch ("B"): types A and B of three-branch ShakeDrop.

    Raises:
      ValueError: no n gives that depth, `width` is odd, a choice is unknown, a regularizer comes without
        `branch_merge`, or `branch_merge` comes with options of Shake-Shake, which it replaces.

    References:
      Gastaldi, "Shake-shake regularization", arXiv 1705.07485, 2017, section 2.1 and table 1.
    """
    network = "shake_shake_<depth>_2x<width>d"
    if depth < 8 or depth % 6 != 2:
        raise ValueError(f"{network} takes a depth of 6n + 2 (8, 14, 20, 26, ...); got {depth}.")
    if width % 2:
        raise ValueError(f"{network} takes an even width, which the two paths of a shortcut share; got {width}.")
    spec = BlockSpec(
        shortcut=ShiftedShortcut,
        branches=2,
        merge=_merge(network, factory, Shake(forward, backward, level), Shake(), branch_merge),
        first_relu=True,
        final_relu=False,
    )
    return residual_trunk(
        factory,
        stem=layer("stem", ConvNormStem, channels=16, relu=False),
        block=ResidualBlock,
        stages=[(depth - 2) // 6 * [{"channels": factor * width, "spec": spec}] for factor in (1, 2, 4)],
        ending=layer("final", Relu),
        kernel_init=HE_NORMAL_OUT,
    )


def shake_shake_resnext(
    factory: LayerFactory,
    *,
    depth: int,
    cardinality: int,
    width: int,
    forward: Forward = "shake",
    backward: Backward = "even",
    level: Level = "example",
    branch_merge: MergeType | None = None,
    final_relu: bool = True,
) -> LayeredTrunk:
    """Returns the trunk of Shake-Shake-depth 2 x cardinality x width d for CIFAR-100: a ResNeXt with two branches.

    A stem of 64 channels with BN and ReLU, then three stages of n = (depth - 2) / 9 blocks with 256, 512 and 1024
    channels, total stride 4. A branch is a bottleneck with cardinality x width inner channels, which double from stage
    to stage, in as many groups as the cardinality. Shake-Shake-29 2x4x64d with 10 classes has 34,437,450 parameters.

    Args:
      factory: makes the layers, as in `shake_shake`.
      depth: 9n + 2 with n at least 1: 29 in the paper.
      cardinality: number of groups of the 3 x 3 convolutions of a branch.
      width: channels per group in the first stage.
      forward: as in `shake_shake`.
      backward: as in `shake_shake`, but "even" by default, the paper's choice for this network.
      level: as in `shake_shake`.
      branch_merge: as in `shake_shake`.
      final_relu: whether a ReLU follows each addition; if not, one ReLU ends the network.

    Raises:
      ValueError: no n gives that depth, or for the reasons of `shake_shake`.

    References:
      Gastaldi, "Shake-shake regularization", arXiv 1705.07485, 2017, section 2.2 and table 2.
      Xie et al., "Aggregated residual transformations for deep neural networks", CVPR 2017, figure 3c.
    """
    network = "shake_shake_<depth>_2x<cardinality>x<width>d"
    if depth < 11 or depth % 9 != 2:
        raise ValueError(f"{network} takes a depth of 9n + 2 (11, 20, 29, ...); got {depth}.")
    shake = Shake(forward, backward, level)
    merge = _merge(network, factory, shake, Shake(backward="even"), branch_merge)
    return resnext_trunk(
        factory,
        blocks=3 * ((depth - 2) // 9,),
        cardinality=cardinality,
        width=width,
        small=True,
        spec=BlockSpec(branches=2, merge=merge, final_relu=final_relu),
    )


def _merge(
    network: str, factory: LayerFactory, shake: Shake, default: Shake, branch_merge: MergeType | None
) -> MergeType | Shake:
    """Returns how to merge the branches, after checking that only one of the two ways was asked for."""
    for name, choices in (("forward", Forward), ("backward", Backward), ("level", Level)):
        check_choice(network, name, getattr(shake, name), get_args(choices))
    if branch_merge is None:
        if factory.regularizer is not None:
            raise ValueError(
                f"{network} accepts a regularizer only in place of Shake-Shake: set branch_merge='A' to regularize the "
                "sum of the two branches, or branch_merge='B' to regularize each; got branch_merge=None."
            )
        return shake
    check_choice(network, "branch_merge", branch_merge, get_args(MergeType))
    if shake != default:
        raise ValueError(
            f"{network} accepts forward, backward and level only without branch_merge, which replaces Shake-Shake; "
            f"got branch_merge={branch_merge!r}."
        )
    return branch_merge
