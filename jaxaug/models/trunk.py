"""A trunk that is a list of layers by name: every family of deep networks is a function that makes such a list."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
from jaxtyping import Array, Float

from jaxaug.models.network import Trunk
from jaxaug.models.parts import Parts


class Layer(NamedTuple):
    """A name and how to make the module: `make(parts, *arguments)`, which is called `module(x, train=)`."""

    name: str
    make: Callable[..., nn.Module]
    arguments: tuple[Any, ...] = ()


class LayeredTrunk(Trunk):
    """Layers one after another, the stem the first and the ending the last of them."""

    parts: Parts
    layers: tuple[Layer, ...]

    def setup(self) -> None:
        """Makes the layers under their names."""
        for name, make, arguments in self.layers:
            setattr(self, name, make(self.parts, *arguments))

    def __call__(self, images: Float[Array, "b h w c"], *, train: bool) -> Float[Array, "b h2 w2 c2"]:
        """Returns the features after the last layer."""

        def called(layer: nn.Module, x: Array) -> Array:
            return layer(x, train=train)

        if self.parts.remat:
            called = nn.remat(called)
        x = images.astype(self.parts.dtype)
        for name, *_ in self.layers:
            x = called(getattr(self, name), x)
        return x


def stage_blocks(blocks: Sequence[int], strides: Sequence[int]) -> Iterator[tuple[str, int, int]]:
    """Yields name, stage (from 0) and stride of each block; the first one of a stage has the stage's stride."""
    for stage, (count, stride) in enumerate(zip(blocks, strides, strict=True)):
        for block in range(count):
            yield f"stage{stage + 1}_block{block + 1}", stage, stride if block == 0 else 1
