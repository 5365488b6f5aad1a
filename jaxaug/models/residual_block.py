"""The residual block with branches that end in BN, of ResNet, ResNeXt and Shake-Shake networks."""

from typing import NamedTuple

import flax.linen as nn
from jaxtyping import Array, Float

from jaxaug.models.branch_merge import Joined, Joining, Shake
from jaxaug.models.parts import Parts
from jaxaug.models.residual_branches import BasicBranch, BottleneckBranch
from jaxaug.models.shortcuts import Projection, ShiftedShortcut, ZeroPadding


class Form(NamedTuple):
    """What all blocks of a network have in common."""

    branch: type[BasicBranch] | type[BottleneckBranch]
    shortcut: type[Projection] | type[ZeroPadding] | type[ShiftedShortcut] = Projection  # x itself where it fits
    branches: int = 1
    joining: Joining | Shake = "A"
    first_relu: bool = False  # before branches and shortcut, the identity apart
    final_relu: bool = True  # after the addition


class ResidualBlock(nn.Module):
    """Residual branches, the addition, a ReLU before or after, and the caller's pooling if there is one.

    y = relu(s(x) + F(x)), with s the shortcut and F one branch, or two of one form, as `Joined` has them. A caller's
    pooling takes the stride from the convolutions: they have stride 1 then, and the pooling comes last.

    References:
      He et al., "Deep residual learning for image recognition", CVPR 2016, figure 2 and section 3.3.
      Dong et al., "EraseReLU", arXiv 1709.07634, 2017 (no ReLU after the addition).
      Kobayashi, "Gaussian-based pooling for convolutional neural networks", NeurIPS 2019 (pooling; the author's code).
    """

    parts: Parts
    channels: int
    stride: int
    keep_prob: float | int
    form: Form
    branch_options: tuple[int, ...] = ()

    def setup(self) -> None:
        """Names the layers; the shortcut has parameters only if it is called."""
        pooled = self.parts.pool is not None and self.stride > 1
        stride = 1 if pooled else self.stride
        for name in self._branch_names():
            setattr(self, name, self.form.branch(self.parts, self.channels, stride, *self.branch_options))
        self.joined = Joined(self.parts, self.keep_prob, self.form.joining)
        self.shortcut = self.form.shortcut(self.parts, self.channels, stride)
        sides = (self.stride, self.stride)
        self.pool = self.parts.max_pool(window=sides, strides=sides) if pooled else None

    def __call__(self, x: Float[Array, "b h w c"], *, train: bool) -> Float[Array, "b h2 w2 c2"]:
        """Returns `[B, ceil(H / stride), ceil(W / stride), channels]`; a 2 x 2 pooling drops an odd border."""
        entering = nn.relu(x) if self.form.first_relu else x
        branches = [getattr(self, name)(entering, train=train) for name in self._branch_names()]
        same = self.stride == 1 and x.shape[-1] == self.channels
        identity = x if same else self.shortcut(entering, train=train)
        y = identity + self.joined(*branches, train=train)
        if self.form.final_relu:
            y = nn.relu(y)
        return y if self.pool is None else self.pool(y, deterministic=not train)

    def _branch_names(self) -> list[str]:
        return [f"branch{number}" for number in range(1, self.form.branches + 1)]
