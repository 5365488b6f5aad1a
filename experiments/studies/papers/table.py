"""A published table as data: arms as options of `experiments.train`, what the paper printed, what a scale cuts."""

from collections.abc import Mapping
from typing import Literal, NamedTuple

Scale = Literal["full", "gpu10", "cpu"]
SCALES: tuple[Scale, ...] = ("full", "gpu10", "cpu")

Mark = Literal["S", "C", "W"]
MARKS: dict[Mark, str] = {
    "S": "the authors' own figures",
    "C": "printed beside the authors' code",
    "W": "second-hand, from a summary of the paper",
}


class Figure(NamedTuple):
    """A printed test error in percent."""

    value: float
    deviation: float | None = None
    mark: Mark = "S"


class Arm(NamedTuple):
    """One row of a table."""

    name: str
    options: tuple[str, ...] = ()
    """Of `experiments.train`."""
    augment: tuple[str, ...] = ()
    """Augmentations after those of the recipe; {half} stands for half the side of the images."""
    figure: Figure | None = None
    parts: tuple[str, ...] = ()
    """Names of the arms that this one puts together."""


class Block(NamedTuple):
    """Rows of one network on one dataset; the first is what the others are compared with."""

    name: str
    config: str
    arms: tuple[Arm, ...]
    options: tuple[str, ...] = ()
    """Of `experiments.train`, the same for all arms."""
    side: int = 32
    """Of the images, in pixels."""


class Cut(NamedTuple):
    """How a scale shortens the recipe of a table, keeping its arms and the differences that it asks about."""

    epochs: int | None = None
    """Length of a run, milestones and warm-up in proportion; None keeps the recipe's."""
    seeds: int = 3
    options: tuple[str, ...] = ()
    """Of `experiments.train`, for all blocks. {tiny_imagenet} stands for the folder of 30 classes of Tiny ImageNet."""
    models: Mapping[str, str] = {}
    """Another network, by block."""
    blocks: tuple[str, ...] | None = None
    """The blocks that are run; None runs all."""
    augment: tuple[str, ...] | None = None
    """In place of the recipe's augmentations."""
    side: int | None = None
    """Of the images, where it is not the block's."""
    about: str = "the paper's recipe"
    """In words."""


class Table(NamedTuple):
    """A table of a paper."""

    name: str
    title: str
    question: str
    source: str
    blocks: tuple[Block, ...]
    cuts: Mapping[Scale, Cut]
    second_stage: bool = False
    """Whether a new classifier is trained on the features of each run, every class equally often, and counts."""

    def blocks_at(self, scale: Scale) -> list[Block]:
        """Returns the blocks that are run at a scale."""
        kept = self.cuts[scale].blocks
        return [block for block in self.blocks if kept is None or block.name in kept]
