"""Draws every augmentation at three strengths: `python -m experiments.gallery`.

The images are crops of the two photographs that scikit-learn ships, and its handwritten digits.
"""

import dataclasses
import pathlib
import sys

import numpy as np
import tyro

from experiments.figures.gallery import SIDE, names, sheet
from experiments.figures.photographs import digits, photographs
from jaxaug.checks import nearest


@dataclasses.dataclass(frozen=True)
class Command:
    """What to draw, and where."""

    out: pathlib.Path = pathlib.Path("gallery.png")
    """Output PNG."""
    functions: tuple[str, ...] = ()
    """Augmentations to draw; all by default."""
    photos: int = 2
    """Photographs in each cell, at most 6."""
    digits: int = 1
    """Digits in each cell, at most 6."""
    seed: int = 0
    """Seed of the draws."""


def main() -> int:
    """Draws the sheet."""
    from PIL import Image

    command = tyro.cli(Command, description=__doc__, prog="python -m experiments.gallery")
    for name in command.functions:
        if name not in names():
            print(f"error: {nearest(name, names(), 'augmentation')}", file=sys.stderr)
            return 2
    images = np.concatenate([photographs(SIDE)[[1, 4, 0, 3, 2, 5][: command.photos]], digits(command.digits, SIDE)])
    command.out.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(sheet(list(command.functions) or names(), images, command.seed)).save(command.out)
    print(f"Wrote {command.out} with {len(command.functions or names())} functions.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
