"""Datasets of images averaged down, for tables that a CPU is to fill."""

import dataclasses

import numpy as np

from jaxaug.data import Dataset, Split


def downsample(dataset: Dataset, side: int) -> Dataset:
    """Returns the dataset with square images of this side, each pixel the rounded mean of a square of pixels.

    Args:
      dataset: images uint8 of sides that are multiples of `side`.
      side: in pixels.

    Raises:
      ValueError: the images are no such multiple.
    """
    height, width = dataset.shape[:2]
    if side < 1 or height % side or width % side:
        raise ValueError(f"a side that divides {height} x {width} is expected; got {side}.")

    def smaller(split: Split) -> Split:
        squares = split.images.reshape(len(split.labels), side, height // side, side, width // side, -1)
        return Split(np.round(squares.mean(axis=(2, 4))).astype(np.uint8), split.labels)

    validation = None if dataset.validation is None else smaller(dataset.validation)
    return dataclasses.replace(dataset, train=smaller(dataset.train), test=smaller(dataset.test), validation=validation)
