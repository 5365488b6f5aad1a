"""The box to decode from an image: random for training, central for evaluation."""

import math

import numpy as np

_TRIES = 10


def random_box(
    rng: np.random.Generator,
    height: int,
    width: int,
    *,
    area: tuple[float, float] = (0.08, 1.0),
    aspect: tuple[float, float] = (3 / 4, 4 / 3),
) -> tuple[int, int, int, int]:
    """Returns top, left, height and width of a random box with the distribution of `jaxaug.augment.resized_crop`.

    The share of the area is uniform, width / height is log-uniform, and the position is uniform. The first of ten draws
    that fits inside the image is used; if none fits, the largest central box with the nearest allowed aspect ratio.
    """
    shares = rng.uniform(*area, _TRIES) * height * width
    aspects = np.exp(rng.uniform(math.log(aspect[0]), math.log(aspect[1]), _TRIES))
    sides = np.round(np.stack([np.sqrt(shares / aspects), np.sqrt(shares * aspects)])).astype(int)
    fits = (sides >= 1).all(axis=0) & (sides[0] <= height) & (sides[1] <= width)
    if not fits.any():
        nearest = min(max(width / height, aspect[0]), aspect[1])
        return _central(height, width, min(height, round(width / nearest)), min(width, round(height * nearest)))
    box_height, box_width = map(int, sides[:, np.argmax(fits)])
    top, left = rng.integers(height - box_height + 1), rng.integers(width - box_width + 1)
    return int(top), int(left), box_height, box_width


def central_box(height: int, width: int, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Returns the central box with the aspect ratio of the output and 7/8 of the sides of the largest such box.

    This is the usual evaluation of networks trained on random boxes: the central 224 of 256 pixels.
    """
    scale = min(height / size[0], width / size[1]) * 7 / 8
    return _central(height, width, max(1, math.floor(size[0] * scale)), max(1, math.floor(size[1] * scale)))


def _central(height: int, width: int, box_height: int, box_width: int) -> tuple[int, int, int, int]:
    box_height, box_width = max(1, box_height), max(1, box_width)
    return (height - box_height) // 2, (width - box_width) // 2, box_height, box_width
