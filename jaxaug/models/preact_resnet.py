"""Residual networks of pre-activation basic blocks."""

import math
from collections.abc import Iterator
from typing import ClassVar

from jaxtyping import Array, Float

from jaxaug.models.blocks import PreActBlock
from jaxaug.models.network import Trunk
from jaxaug.models.parts import Parts, keep_probs


class PreActTrunk(Trunk):
    """A 3 x 3 stem, stages of `PreActBlock`, and a last BN and ReLU; the first block of a stage has its stride."""

    stem_channels: int
    channels: tuple[int, ...]
    blocks: tuple[int, ...]
    strides: tuple[int, ...]
    parts: Parts
    dropout_rate: float | int = 0.0

    sites: ClassVar[frozenset[str]] = frozenset({"regularizer", "conv"})

    @property
    def total_stride(self) -> int:
        """Pixels of the image per pixel of the features."""
        return math.prod(self.strides)

    def setup(self) -> None:
        """Names the layers: stem, stage1_block1, stage1_block2, ..., final_bn."""
        self.stem = self.parts.spatial_conv(self.stem_channels)
        keep_prob = iter(keep_probs(sum(self.blocks)))
        for name, stage, stride in self._layout():
            block = PreActBlock(self.channels[stage], stride, next(keep_prob), self.parts, self.dropout_rate)
            setattr(self, name, block)
        self.final_bn = self.parts.batch_norm()

    def __call__(self, images: Float[Array, "b h w c"], *, train: bool) -> Float[Array, "b h2 w2 c2"]:
        """Returns the features after the last BN and ReLU."""
        x = self.stem(images.astype(self.parts.dtype))
        for name, _, _ in self._layout():
            x = getattr(self, name)(x, train=train)
        return self.parts.activated(self.final_bn, x, train=train)

    def _layout(self) -> Iterator[tuple[str, int, int]]:
        """Yields name, stage and stride of each block, in order."""
        for stage, (blocks, stride) in enumerate(zip(self.blocks, self.strides, strict=True)):
            for block in range(blocks):
                yield f"stage{stage + 1}_block{block + 1}", stage, stride if block == 0 else 1


def preact_resnet(parts: Parts, *, blocks: tuple[int, int, int, int]) -> PreActTrunk:
    """Returns the trunk of PreActResNet for small images (32 x 32): stages of 64 to 512 channels, total stride 8.

    Widely used code leaves out the BN and ReLU after the last block; they are here, as in the paper. Eighteen layers
    and 10 classes make 11,172,170 parameters.

    References:
      He et al., "Identity mappings in deep residual networks", ECCV 2016.
    """
    return PreActTrunk(64, (64, 128, 256, 512), blocks, (1, 2, 2, 2), parts, parent=None)
