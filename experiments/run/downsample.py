"""Downsamples image datasets, for CPU-scale studies."""

import dataclasses

import numpy as np

from jaxaug.data import Dataset, Split


def downsample(dataset: Dataset, side: int) -> Dataset:
    """Returns the dataset with square images of this side, each pixel the rounded mean of a square of pixels.

    Args:
      dataset: uint8 images in memory, with sides that are multiples of `side`.
      side: in pixels.

    Raises:
      ValueError: the dataset has no images in memory, or their sides are not multiples of `side`.
    """
    if len(dataset.shape) != 3 or dataset.streamed:
        raise ValueError(f"--data.downsample expects a dataset of images in memory; {dataset.name} has none.")
    height, width = dataset.shape[:2]
    if side < 1 or height % side or width % side:
        raise ValueError(f"--data.downsample expects a side length that divides {height} x {width}; got {side}.")

    def smaller(split: Split) -> Split:
        squares = split.images.reshape(len(split.labels), side, height // side, side, width // side, -1)
        return Split(np.round(squares.mean(axis=(2, 4))).astype(np.uint8), split.labels)

    validation = None if dataset.validation is None else smaller(dataset.validation)
    return dataclasses.replace(dataset, train=smaller(dataset.train), test=smaller(dataset.test), validation=validation)
