"""Draws the gallery of augmentations: `python -m experiments.gallery`."""

import sys

from experiments.figures.gallery import main

if __name__ == "__main__":
    sys.exit(main())
