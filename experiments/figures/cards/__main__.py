"""Draws the pictures of the method cards: `python -m experiments.figures.cards`.

The images are scikit-learn's handwritten digits and crops of its two photographs.
"""

import dataclasses
import pathlib
import sys
from collections.abc import Callable
from typing import Any

import tyro

from experiments.figures.cards.drawing import save
from experiments.figures.cards.layers import disentangled_convolution, gaussian_pooling
from experiments.figures.cards.logits import rotation_regularization
from experiments.figures.cards.strategies import importance_sampled, self_paced
from jaxaug.checks import nearest

# Functions that draw, by the name of the card and of its picture.
PICTURES: dict[str, Callable[[], Any]] = {
    "self_paced": self_paced,
    "importance_sampled": importance_sampled,
    "gaussian_pooling": gaussian_pooling,
    "disentangled_convolution": disentangled_convolution,
    "rotation_regularization": rotation_regularization,
}


@dataclasses.dataclass(frozen=True)
class Command:
    """What to draw, and where."""

    methods: tuple[str, ...] = ()
    """Names of method cards; by default all that have a picture here."""
    out: pathlib.Path = pathlib.Path("docs/images")
    """Directory of the PNG files."""


def main() -> int:
    """Draws the pictures."""
    command = tyro.cli(Command, description=__doc__, prog="python -m experiments.figures.cards")
    for name in command.methods:
        if name not in PICTURES:
            print(f"error: {nearest(name, PICTURES, 'method')}", file=sys.stderr)
            return 2
    for name in command.methods or PICTURES:
        path = command.out / f"{name}.png"
        save(PICTURES[name](), path)
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
