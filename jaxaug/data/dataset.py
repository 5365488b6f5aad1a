"""A dataset: validated inputs and labels for each split."""

import functools
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from jaxaug.checks import described
from jaxaug.data.encoded import EncodedImages, for_moments


class Split(NamedTuple):
    """Inputs and labels in the same order."""

    images: Any  # uint8 [N, H, W, C], in memory or EncodedImages, or float32 [N, D] feature vectors
    labels: np.ndarray  # int32 [N], in [0, num_classes)


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """A classification dataset, in memory or decoded on demand, which is validated on creation.

    Args:
      name: the name that it was loaded by.
      train: training split: images uint8 `[N, H, W, C]`, or standardized feature vectors float32 `[N, D]`; labels int32
        `[N]`.
      test: test split, with the same dtype and example shape.
      class_names: one name for each class; label k means class k.
      validation: validation split, or None.

    Raises:
      TypeError: images or labels have another dtype.
      ValueError: a split is empty, counts or shapes disagree, a label is out of range, or a feature is NaN or infinite.

    Example:
      >>> images, labels = np.zeros((4, 2, 2, 1), np.uint8), np.array([0, 1, 1, 0], np.int32)
      >>> images[2:] = 255
      >>> dataset = Dataset("squares", Split(images, labels), Split(images, labels), ("dark", "light"))
      >>> dataset
      Dataset('squares': 2 classes of (2, 2, 1), 4 train, 4 test)
      >>> dataset.mean, dataset.std
      (array([0.5], dtype=float32), array([0.5], dtype=float32))
    """

    name: str
    train: Split
    test: Split
    class_names: tuple[str, ...]
    validation: Split | None = None

    def __post_init__(self):
        if not self.class_names:
            raise ValueError(f"dataset {self.name}: expected at least one class name; got none.")
        for split, (images, labels) in self.splits.items():
            _check_split(f"dataset {self.name}, split {split}", images, labels, self.num_classes)
            if images.shape[1:] != self.shape or images.dtype != self.train.images.dtype:
                raise ValueError(
                    f"dataset {self.name}: examples are {images.dtype}{images.shape[1:]} in split {split} but "
                    f"{self.train.images.dtype}{self.shape} in split train; both must be the same."
                )

    def __repr__(self):
        sizes = ", ".join(f"{len(labels)} {split}" for split, (_, labels) in self.splits.items())
        return f"Dataset({self.name!r}: {self.num_classes} classes of {self.shape}, {sizes})"

    @property
    def splits(self) -> dict[str, Split]:
        """The existing splits by name."""
        pairs = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: split for name, split in pairs.items() if split is not None}

    @property
    def num_classes(self) -> int:
        """K, the number of class names."""
        return len(self.class_names)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one example, `(H, W, C)` or `(D,)`."""
        return self.train.images.shape[1:]

    @property
    def streamed(self) -> bool:
        """Whether the images are encoded on disk and decoded batch by batch."""
        return isinstance(self.train.images, EncodedImages)

    @property
    def mean(self) -> np.ndarray:
        """Mean of each channel over the training images scaled to [0, 1], float32 `[C]`; zeros for feature vectors."""
        return self._moments[0]

    @property
    def std(self) -> np.ndarray:
        """Standard deviation of each channel, at least 1e-6; ones for feature vectors, which are standardized."""
        return self._moments[1]

    @functools.cached_property
    def _moments(self) -> tuple[np.ndarray, np.ndarray]:
        images = for_moments(self.train.images)
        if images.dtype != np.uint8:
            return np.zeros(self.shape, np.float32), np.ones(self.shape, np.float32)
        # A histogram of the 256 values gives exact moments without a floating-point copy of the images.
        histogram = np.zeros((images.shape[-1], 256), np.int64)
        step = max(1, 2**20 // (images.shape[1] * images.shape[2]))
        for start in range(0, len(images), step):
            for channel, counts in enumerate(histogram):
                counts += np.bincount(images[start : start + step, ..., channel].ravel(), minlength=256)
        weight = histogram / histogram.sum(axis=1, keepdims=True)
        value = np.arange(256) / 255
        mean = weight @ value
        variance = np.sum(weight * (value - mean[:, None]) ** 2, axis=1)
        return mean.astype(np.float32), np.maximum(np.sqrt(variance), 1e-6).astype(np.float32)


def _check_split(where: str, images: Any, labels: Any, num_classes: int) -> None:
    """Raises unless images and labels have the dtypes, ranks, counts and ranges that `Split` documents."""
    arrays = isinstance(images, np.ndarray | EncodedImages) and isinstance(labels, np.ndarray)
    if not (arrays and images.dtype in (np.uint8, np.float32) and labels.dtype == np.int32):
        raise TypeError(
            f"{where}: expected NumPy arrays, uint8 images or float32 feature vectors and int32 labels; "
            f"got {described(images)} and labels {described(labels)}."
        )
    if images.ndim != (4 if images.dtype == np.uint8 else 2) or labels.ndim != 1 or 0 in images.shape[1:]:
        raise ValueError(
            f"{where}: expected uint8 images [N, H, W, C] or float32 features [N, D], and labels [N]; "
            f"got {described(images)} and labels {described(labels)}."
        )
    if len(images) == 0 or len(images) != len(labels):
        raise ValueError(
            f"{where}: expected as many images as labels, at least one; got {len(images)} and {len(labels)}."
        )
    outside = (labels < 0) | (labels >= num_classes)
    if outside.any():
        index = int(np.argmax(outside))
        raise ValueError(
            f"{where}: expected labels in [0, {num_classes}); got label {labels[index]} in example {index}."
        )
    if images.dtype == np.float32:
        bad = ~np.isfinite(images).all(axis=1)
        if bad.any():
            raise ValueError(f"{where}: expected finite features; example {int(np.argmax(bad))} has a NaN or infinity.")
