"""The residual block of ResNet, ResNeXt and Shake-Shake networks: its branches, their merge and its shortcut."""

from typing import ClassVar, Literal, NamedTuple

import flax.linen as nn
from jaxtyping import Array, Float

from jaxaug.layers import ShakeShake
from jaxaug.layers._shake_shake import Backward, Forward
from jaxaug.layers.levels import Level
from jaxaug.models.layer_factory import LayerFactory
from jaxaug.models.trunk import Block


class BasicBranch(nn.Module):
    """Residual branch of two 3 x 3 convolutions: conv, BN, ReLU, conv, BN.

    References:
      He et al., "Deep residual learning for image recognition", CVPR 2016, figure 5 left.
    """

    factory: LayerFactory
    channels: int
    stride: int

    def setup(self) -> None:
        """Makes the layers."""
        self.conv1 = self.factory.spatial_conv(self.channels, stride=self.stride)
        self.conv2 = self.factory.spatial_conv(self.channels)
        self.bn1, self.bn2 = self.factory.batch_norm(), self.factory.batch_norm()

    def __call__(self, x: Float[Array, "b h w c"], *, train: bool) -> Float[Array, "b h2 w2 c2"]:
        """Returns `[B, ceil(H / stride), ceil(W / stride), channels]`."""
        x = self.factory.activated(self.bn1, self.conv1(x), train=train)
        return self.factory.normalized(self.bn2, self.conv2(x), train=train)


class BottleneckBranch(nn.Module):
    """Residual branch with a bottleneck: 1 x 1, BN, ReLU, 3 x 3, BN, ReLU, 1 x 1, BN.

    The first two convolutions have `inner` channels, and the 3 x 3 convolution splits them into `groups` (more than
    one: form C of ResNeXt). As in fb.resnet.torch and ResNeXt, the 3 x 3 convolution has the stride. In the Caffe
    networks of the ResNet paper the first 1 x 1 convolution has it and ignores three quarters of its input.

    References:
      He et al., "Deep residual learning for image recognition", CVPR 2016, figure 5 right.
      Xie et al., "Aggregated residual transformations for deep neural networks", CVPR 2017, figure 3c.
    """

    factory: LayerFactory
    channels: int
    stride: int
    inner: int
    groups: int = 1

    def setup(self) -> None:
        """Makes the layers."""
        self.conv1 = self.factory.pointwise_conv(self.inner)
        self.conv2 = self.factory.spatial_conv(self.inner, stride=self.stride, groups=self.groups)
        self.conv3 = self.factory.pointwise_conv(self.channels)
        self.bn1, self.bn2, self.bn3 = (self.factory.batch_norm() for _ in range(3))

    def __call__(self, x: Float[Array, "b h w c"], *, train: bool) -> Float[Array, "b h2 w2 c2"]:
        """Returns `[B, ceil(H / stride), ceil(W / stride), channels]`."""
        x = self.factory.activated(self.bn1, self.conv1(x), train=train)
        x = self.factory.activated(self.bn2, self.conv2(x), train=train)
        return self.factory.normalized(self.bn3, self.conv3(x), train=train)


class Projection(nn.Module):
    """Shortcut that changes the shape by a 1 x 1 convolution and BN: option B of He et al., CVPR 2016."""

    factory: LayerFactory
    channels: int
    stride: int

    def setup(self) -> None:
        """Makes the layers."""
        self.conv = self.factory.pointwise_conv(self.channels, stride=self.stride)
        self.bn = self.factory.batch_norm()

    def __call__(self, x: Float[Array, "b h w c"], *, train: bool) -> Float[Array, "b h2 w2 c2"]:
        """Returns bn(conv(x))."""
        return self.factory.normalized(self.bn, self.conv(x), train=train)


class Shake(NamedTuple):
    """The options of `ShakeShake`, as a way to merge two branches."""

    forward: Forward = "shake"
    backward: Backward = "shake"
    level: Level = "example"


MergeType = Literal["A", "B"]
"""Where the regularizer acts when branches are summed: on the sum ("A"), or on each branch ("B")."""


class BranchMerge(nn.Module):
    """Merges the branches of a residual block into one residual.

    With one regularizer r1 the residual is r1(F1(x) + F2(x)) (type A), with two it is r1(F1(x)) + r2(F2(x)) (type B);
    without any it is the sum of the branches. With `shake` it is their random combination.

    References:
      Yamada et al., "ShakeDrop regularization for deep residual learning", IEEE Access 7, 2019 (types A and B).
      Gastaldi, "Shake-shake regularization", arXiv 1705.07485, 2017, equation 2.
    """

    regularizer1: nn.Module | None = None
    regularizer2: nn.Module | None = None
    shake: nn.Module | None = None

    def __call__(self, *branches: Float[Array, "b h w c"], train: bool) -> Float[Array, "b h w c"]:
        """Returns the residual, which has the shape of each branch."""
        if self.shake is not None:
            return self.shake(*branches, deterministic=not train)

        def regularized(regularizer: nn.Module | None, branch: Array) -> Array:
            return branch if regularizer is None else regularizer(branch, deterministic=not train)

        first, *rest = branches
        if self.regularizer2 is None:
            return regularized(self.regularizer1, sum(rest, first))
        (second,) = rest
        return regularized(self.regularizer1, first) + regularized(self.regularizer2, second)


class BlockSpec(NamedTuple):
    """What all blocks of a network have in common."""

    shortcut: type[nn.Module] = Projection  # replaces the identity where the shape changes
    branches: int = 1  # 1 or 2
    merge: MergeType | Shake = "A"
    first_relu: bool = False  # whether a ReLU precedes the branches and a shortcut that changes the shape
    final_relu: bool = True  # whether a ReLU follows the addition


class ResidualBlock(Block):
    """Residual branches, a shortcut, the addition, and a ReLU before or after.

    y = relu(s(x) + F(x)), where s is the shortcut and F the merge of one or two branches. If the caller passes in a
    pooling layer, it takes over the stride: the convolutions then have stride 1, and the pooling comes last.

    References:
      He et al., "Deep residual learning for image recognition", CVPR 2016, figure 2 and section 3.3.
      Dong et al., "EraseReLU", arXiv 1709.07634, 2017 (no ReLU after the addition).
      Kobayashi, "Gaussian-based pooling for convolutional neural networks", NeurIPS 2019 (pooling; the author's code).
    """

    slots: ClassVar[frozenset[str]] = frozenset({"regularizer", "pool", "conv"})

    spec: BlockSpec
    inner: int | None = None  # channels of the 3 x 3 convolution of a bottleneck; None: basic branches
    groups: int = 1  # of the 3 x 3 convolution of a bottleneck

    def setup(self) -> None:
        """Makes the layers; the shortcut has parameters only if it is called."""
        pooled = self.factory.pool is not None and self.stride > 1
        stride = 1 if pooled else self.stride
        self.branch1 = self._branch(stride)
        self.branch2 = self._branch(stride) if self.spec.branches == 2 else None
        # The keys of random layers derive from names, so renaming `joined` would change what a seed gives.
        self.joined = self._merge()
        self.shortcut = self.spec.shortcut(self.factory, self.channels, stride)
        window = (self.stride, self.stride)
        self.pool = self.factory.max_pool(window=window, strides=window) if pooled else None

    def __call__(self, x: Float[Array, "b h w c"], *, train: bool) -> Float[Array, "b h2 w2 c2"]:
        """Returns `[B, ceil(H / stride), ceil(W / stride), channels]`; a caller's pooling rounds down instead."""
        inputs = nn.relu(x) if self.spec.first_relu else x
        branches = [branch(inputs, train=train) for branch in (self.branch1, self.branch2) if branch is not None]
        same_shape = self.stride == 1 and x.shape[-1] == self.channels
        identity = x if same_shape else self.shortcut(inputs, train=train)
        y = identity + self.joined(*branches, train=train)
        if self.spec.final_relu:
            y = nn.relu(y)
        return y if self.pool is None else self.pool(y, deterministic=not train)

    def _branch(self, stride: int) -> BasicBranch | BottleneckBranch:
        if self.inner is None:
            return BasicBranch(self.factory, self.channels, stride)
        return BottleneckBranch(self.factory, self.channels, stride, inner=self.inner, groups=self.groups)

    def _merge(self) -> BranchMerge:
        merge = self.spec.merge
        if isinstance(merge, Shake):
            return BranchMerge(shake=ShakeShake(**merge._asdict()))
        regularized = 2 if merge == "B" and self.spec.branches == 2 else 1
        return BranchMerge(*(self.factory.branch_regularizer(self.keep_prob) for _ in range(regularized)))
