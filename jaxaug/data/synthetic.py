"""Synthetic noise images of any size, for tests and speed measurements without files."""

import re

import numpy as np

from jaxaug.data.dataset import Dataset, Split

FORM = "HxWxC[,classes=K][,n=N], as in synthetic:32x32x3,classes=10,n=1024 or synthetic:32x32x3,10,1024"
SPEC = re.compile(r"(\d+)x(\d+)x(\d+)(?:,(?:classes=)?(\d+))?(?:,(?:n=)?(\d+))?")
# n can also be given without the classes.
SPEC_N = re.compile(r"(\d+)x(\d+)x(\d+)(),n=(\d+)")


def synthetic_dataset(spec: str) -> Dataset:
    """Returns uint8 noise whose mean depends on the class: value = level[class, channel] + U{0, ..., 127}.

    In every channel, the K levels are evenly spaced in [0, 127], in a random order. The mean color identifies the class
    and does not change if images are flipped or cropped. There are N training and max(1, N // 4) test examples with the
    labels 0, 1, ..., K - 1, 0, ... The seed is fixed, so a spec always gives the same dataset.

    Args:
      spec: `HxWxC[,classes=K][,n=N]` or `HxWxC[,K[,N]]`; by default, K is 10 and N is 1024.
    """
    match = SPEC_N.fullmatch(spec) or SPEC.fullmatch(spec)
    if match is None:
        raise ValueError(f"synthetic: takes {FORM}; got {spec!r}.")
    height, width, channels = map(int, match.groups()[:3])
    classes, count = int(match.group(4) or 10), int(match.group(5) or 1024)
    if 0 in (height, width, channels, classes, count):
        raise ValueError(f"synthetic: takes sizes of at least 1 in {FORM}; got {spec!r}.")

    rng = np.random.default_rng(0)
    levels = np.linspace(0, 127, classes).round().astype(np.uint8)
    levels = np.stack([rng.permutation(levels) for _ in range(channels)], axis=-1)

    def split(size: int) -> Split:
        labels = np.arange(size, dtype=np.int32) % classes
        images = rng.integers(0, 128, (size, height, width, channels), np.uint8)
        images += levels[labels][:, None, None, :]
        return Split(images, labels)

    names = tuple(str(k) for k in range(classes))
    return Dataset(f"synthetic:{spec}", split(count), split(max(1, count // 4)), names)
